//! The real world of a client: the machine's clocks and the runtime's sockets.

use core::mem::MaybeUninit;
use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use heartwire_core::Instant;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::clock;
use crate::sys::{self, Way};
use crate::world::{Socket, World};

/// The machine that the client runs on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runtime;

impl World for Runtime {
    type Socket = Stream;

    fn now(&self) -> Instant {
        clock::now()
    }

    fn now_and_suspended(&self) -> (Instant, Duration) {
        clock::now_and_suspended()
    }

    fn jiffy(&self) -> Duration {
        clock::jiffy()
    }
}

/// A socket of the runtime. It reads when the runtime has seen the socket ready.
#[derive(Debug)]
pub(super) struct Stream(TcpStream);

impl Stream {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self(stream)
    }

    /// Waits until the socket may be readable.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// Waits until the socket may be writable.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Stream {
    fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(&self.0)).read(buffer)
    }

    fn peek(&mut self) -> io::Result<usize> {
        SockRef::from(&self.0).peek(&mut [MaybeUninit::uninit()])
    }

    fn shutdown_writing(&mut self) -> io::Result<()> {
        SockRef::from(&self.0).shutdown(Shutdown::Write)
    }

    fn reset_when_closed(&mut self) {
        // If this fails, the kernel sends its queued data before the end.
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }

    fn since_last_receive(&self) -> io::Result<Duration> {
        sys::since_last_receive(&self.0)
    }

    fn unacknowledged(&self) -> Option<usize> {
        sys::unacknowledged(&self.0)
    }

    fn set_receive_mark(&mut self, bytes: u32) -> io::Result<()> {
        sys::set_receive_mark(&self.0, bytes)
    }

    fn way(&self) -> Option<Way> {
        sys::way(&self.0)
    }

    fn resends_after(&self) -> Option<Duration> {
        sys::resends_after(&self.0)
    }
}

#[cfg(test)]
mod tests;
