//! Counts single bytes as signs of life, below a codec that yields complete items only.

use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::Arc;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The time of the last byte that was read from a [watched](Self::watch) connection.
///
/// A codec yields complete items only, so a big item on a slow link looks like silence while it
/// arrives (measured: 512 KiB at 64 kbit/s, 70 s between two frames, 4.2 s between bytes). Pass
/// this to [`Heartbeat::last_byte`](super::Heartbeat::last_byte), and every byte is a sign of life.
///
/// The price: a peer that sends one item slowly without end stays alive. Without this, an item has
/// to be complete within the policy's timeout.
#[derive(Clone, Debug)]
pub struct LastByte(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    origin: Instant,
    /// Since the origin. No other memory access depends on it, so `Relaxed` is enough.
    nanos: AtomicU64,
}

impl LastByte {
    /// Wraps `io` to record when bytes are read from it, and passes everything on unchanged. Costs
    /// one allocation, and one clock read per read.
    #[must_use]
    pub fn watch(io: impl AsyncRead + AsyncWrite) -> (impl AsyncRead + AsyncWrite, Self) {
        let heard = Heard { origin: Instant::now(), nanos: AtomicU64::new(0) };
        let last_byte = Self(Arc::new(heard));
        (WatchBytes { inner: io, last_byte: last_byte.clone() }, last_byte)
    }

    /// Time since the last byte was read, or since [`watch`](Self::watch).
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.at().elapsed()
    }

    pub(super) fn at(&self) -> Instant {
        self.0.origin + Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed))
    }

    fn handle_byte(&self) {
        let nanos = self.0.origin.elapsed().as_nanos();
        self.0.nanos.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

pin_project! {
    /// A connection that records when bytes are read from it, see [`LastByte::watch`].
    struct WatchBytes<T> {
        #[pin]
        inner: T,
        last_byte: LastByte,
    }
}

impl<T: AsyncRead> AsyncRead for WatchBytes<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let len = buf.filled().len();
        let read = this.inner.poll_read(cx, buf);
        if buf.filled().len() > len {
            this.last_byte.handle_byte();
        }
        read
    }
}

impl<T: AsyncWrite> AsyncWrite for WatchBytes<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
