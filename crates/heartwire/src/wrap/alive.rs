//! A timeout for a stream of bytes.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};

use bytes::BytesMut;
use heartwire_core::order::Found;
use heartwire_core::{Bound, Policy, Protocol, Settings, Verdict};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::io_error;
use super::fanout::Fanout;
use super::pulse::Pulse;
use crate::TICK;

/// Maximum bytes read ahead while a write waits: the size of most codecs' buffers.
const MAX_AHEAD: usize = 8 * 1024;

/// Bytes read ahead at once, into a buffer on the stack.
const CHUNK_LEN: usize = 1024;

pin_project! {
    /// Declares the peer of a byte stream dead when no byte has come from it for the policy's
    /// timeout.
    ///
    /// For protocols whose peer sends often enough by itself. It sends nothing: a byte stream has
    /// no frames between which a beat could go, so only the policy's timeout counts, as on
    /// [`Protocol::Raw`]. To send heartbeats too, wrap the codec above the bytes in a
    /// [`Heartbeat`](super::Heartbeat).
    ///
    /// After the verdict every read and write fails with an [`io::Error`] of the kind `TimedOut`
    /// that [carries the verdict](super::verdict_in); bytes that were read before come first. The
    /// inner connection is not closed, and written bytes may still wait in it: drop it.
    ///
    /// After the peer has closed its side (a read of 0 bytes) the timeout is off.
    ///
    /// Polling, halves (`tokio::io::split`), time, cancelling and panics are as with
    /// [`Heartbeat`](super::Heartbeat): a half that is polled and waits checks the timeout. While a
    /// write waits, up to 8 KiB are read ahead; if more waits beyond that, the peer is not declared
    /// dead.
    ///
    /// ```
    /// use core::time::Duration;
    /// use heartwire::Policy;
    /// use heartwire::wrap::{Alive, verdict_in};
    /// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (near, mut far) = tokio::io::duplex(1024);
    /// let policy = Policy::builder().timeout(Duration::from_millis(50)).build()?;
    /// let mut near = Alive::new(near, policy);
    ///
    /// far.write_all(b"hello").await?;
    /// let mut buf = [0; 16];
    /// assert_eq!(near.read(&mut buf).await?, 5);
    ///
    /// // Then nothing more comes.
    /// let error = near.read(&mut buf).await.expect_err("dead");
    /// let verdict = verdict_in(&error).expect("a verdict");
    /// assert!(verdict.silence >= Duration::from_millis(50));
    /// # Ok(())
    /// # }
    /// ```
    #[derive(Debug)]
    pub struct Alive<T> {
        #[pin]
        inner: T,
        fanout: Fanout,
        state: State,
    }
}

/// The state of a wrapped connection, without the connection.
#[derive(Debug)]
struct State {
    pulse: Pulse,
    ahead: BytesMut,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    Open,
    /// The peer has closed its side, or reading has failed: the timeout is off. An error from
    /// reading ahead is kept for the reader.
    Ended(Option<io::Error>),
    Dead(Verdict),
}

impl<T> Alive<T> {
    /// Wraps a connection. The timeout starts here. Without a timeout in the policy there are no
    /// verdicts; its interval and echo are ignored.
    #[must_use]
    pub fn new(inner: T, policy: Policy) -> Self {
        let policy = Settings::new(policy).protocol(Protocol::Raw).policy();
        let pulse = Pulse::new(policy);
        let state = State { pulse, ahead: BytesMut::new(), reading: Reading::Open };
        Self { inner, fanout: Fanout::new(), state }
    }

    /// When the verdict comes, counted from the peer's last byte. `None` without a timeout.
    #[must_use]
    pub fn bound(&self) -> Option<Bound> {
        self.state.pulse.policy().bound(TICK)
    }

    /// Time since the last byte that was read from the peer.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.state.pulse.silence()
    }

    /// The verdict, if the peer is dead.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        self.state.verdict()
    }

    /// The inner connection.
    pub const fn get_ref(&self) -> &T {
        &self.inner
    }

    /// The inner connection, to change its settings. Bytes read from it directly do not count as
    /// signs of life.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.inner
    }

    /// The inner connection, and the bytes that were read ahead and not returned yet.
    pub fn into_parts(self) -> (T, BytesMut) {
        (self.inner, self.state.ahead)
    }
}

impl State {
    const fn verdict(&self) -> Option<Verdict> {
        match self.reading {
            Reading::Dead(verdict) => Some(verdict),
            Reading::Open | Reading::Ended(_) => None,
        }
    }

    /// Fails after the verdict.
    fn check(&self) -> io::Result<()> {
        self.verdict().map_or(Ok(()), |verdict| Err(io_error(verdict)))
    }

    /// Fails after the verdict, and once with an error that occurred while reading ahead.
    fn check_reading(&mut self) -> io::Result<()> {
        match &mut self.reading {
            Reading::Ended(error) => error.take().map_or(Ok(()), Err),
            Reading::Open | Reading::Dead(_) => self.check(),
        }
    }

    /// Copies bytes that were read ahead into `buf`. Returns whether there were any.
    fn take_ahead(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let len = self.ahead.len().min(buf.remaining());
        if len == 0 {
            return false;
        }
        buf.put_slice(&self.ahead.split_to(len));
        if self.ahead.is_empty() {
            // An idle connection holds no buffer.
            self.ahead = BytesMut::new();
        }
        true
    }

    /// Checks the timeout after a read with the result `found`, and sets the timer.
    fn judge(&mut self, fanout: &Fanout, found: Found) -> io::Result<()> {
        if !matches!(self.reading, Reading::Open) {
            return Ok(());
        }
        // The timer that leads to a verdict wakes both halves.
        if let Some(verdict) = self.pulse.poll(&mut fanout.context(), found) {
            self.reading = Reading::Dead(verdict);
        }
        self.check()
    }

    /// Reads ahead until nothing or no room is left, and checks the timeout. For a poll of the
    /// write half that has to wait or comes after a deadline.
    fn drive<T: AsyncRead>(&mut self, mut inner: Pin<&mut T>, fanout: &Fanout) -> io::Result<()> {
        while matches!(self.reading, Reading::Open) && self.ahead.len() < MAX_AHEAD {
            let mut bytes = [0; CHUNK_LEN];
            let room = CHUNK_LEN.min(MAX_AHEAD - self.ahead.len());
            let mut buf = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
            match inner.as_mut().poll_read(&mut fanout.context(), &mut buf) {
                Poll::Pending => return self.judge(fanout, Found::All),
                Poll::Ready(Ok(())) => {
                    self.handle_read(buf.filled().len());
                    self.ahead.extend_from_slice(buf.filled());
                }
                Poll::Ready(Err(error)) => self.reading = Reading::Ended(Some(error)),
            }
            fanout.wake_reader();
        }
        self.judge(fanout, Found::NoRoom(self.pulse.now()))
    }

    /// Handles a read of `len` bytes into a buffer that had room.
    fn handle_read(&mut self, len: usize) {
        if len == 0 {
            self.reading = Reading::Ended(None);
        } else {
            self.pulse.handle_heard(self.pulse.now());
        }
    }
}

impl<T: AsyncRead> AsyncRead for Alive<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if this.state.take_ahead(buf) {
            return Poll::Ready(Ok(()));
        }
        this.state.check_reading()?;
        this.fanout.set_reader(cx.waker());
        let room = buf.remaining();
        let Poll::Ready(read) = this.inner.poll_read(&mut this.fanout.context(), buf) else {
            this.state.judge(this.fanout, Found::All)?;
            return Poll::Pending;
        };
        if read.is_ok() && room > 0 {
            this.state.handle_read(room - buf.remaining());
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncRead> Alive<T> {
    /// Calls `poll` to write; if it has to wait, reads ahead and checks the timeout.
    fn poll_writing<R>(
        self: Pin<&mut Self>,
        cx: &Context<'_>,
        poll: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let mut this = self.project();
        this.state.check()?;
        this.fanout.set_writer(cx.waker());
        let written = poll(this.inner.as_mut(), &mut this.fanout.context())?;
        if written.is_pending() || this.state.pulse.is_overdue(this.state.pulse.now()) {
            this.state.drive(this.inner, this.fanout)?;
        }
        if written.is_ready() {
            this.fanout.forget_writer();
        }
        written.map(Ok)
    }
}

impl<T: AsyncRead + AsyncWrite> AsyncWrite for Alive<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_writing(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_writing(cx, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, |inner, cx| inner.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
