//! Kernel options for a connection: keepalive, user timeout, `TCP_NODELAY` and buffers, checked as
//! one set.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::io;

use socket2::SockRef;

pub use heartwire_core::kernel::{Keepalive, KernelError, KernelTimers};

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
))]
#[path = "kernel/full.rs"]
mod keepalive;
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
#[path = "kernel/partial.rs"]
mod keepalive;

/// Kernel options for a TCP socket. The default sets `TCP_NODELAY` and nothing else.
///
/// Every value is consistent. The kernel's timers complement heartbeats: they detect a machine or a
/// path that is gone, but not a hung process, for which its kernel still answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    timers: KernelTimers,
    nodelay: bool,
    buffers: Option<NonZeroU32>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self { timers: KernelTimers::default(), nodelay: true, buffers: None }
    }
}

impl KernelOptions {
    /// Options with the timers as in [`KernelTimers::new`], and with `TCP_NODELAY` or without.
    ///
    /// # Errors
    ///
    /// [`KernelError::UserTimeout`] as for [`KernelTimers::new`].
    pub fn new(
        keepalive: Option<Keepalive>,
        user_timeout: Option<Duration>,
        nodelay: bool,
    ) -> Result<Self, KernelError> {
        Ok(Self { timers: KernelTimers::new(keepalive, user_timeout)?, nodelay, buffers: None })
    }

    /// The kernel's buffer sizes in bytes, for each direction of a connection (`SO_SNDBUF`,
    /// `SO_RCVBUF`). Default: `None`, the system decides: on Linux up to several MB for a peer that
    /// does not read. For a connection that carries little more than heartbeats 8 KiB is plenty,
    /// but data then takes a round trip per buffer. Linux doubles the value for its own
    /// bookkeeping, and has a minimum of a few KB.
    #[must_use]
    pub const fn buffers(mut self, bytes: Option<NonZeroU32>) -> Self {
        self.buffers = bytes;
        self
    }

    /// The kernel's timers.
    #[must_use]
    pub const fn timers(&self) -> KernelTimers {
        self.timers
    }

    /// Sets the options on a socket and reads back what is in force. Options that this system lacks
    /// are in [`KernelReport::missing`], and are not an error.
    ///
    /// # Errors
    ///
    /// The system refused an option that it does have, or the options in force do not fit together.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<KernelReport> {
        let mut missing = Vec::new();
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(keepalive) = self.timers.keepalive() {
            keepalive::set(socket, keepalive)?;
            missing.extend(keepalive::MISSING);
        }
        if let Some(user_timeout) = self.timers.user_timeout() {
            user_timeout::set(socket, user_timeout)?;
            missing.extend(user_timeout::MISSING);
        }
        let timers = KernelTimers::new(keepalive::read(socket)?, user_timeout::read(socket)?);
        let timers = timers.map_err(io::Error::other)?;
        let buffers = self.buffers.map(|bytes| set_buffers(socket, bytes)).transpose()?;
        let in_force = Self { timers, nodelay: socket.tcp_nodelay()?, buffers: self.buffers };
        Ok(KernelReport { in_force, buffers, missing })
    }
}

fn set_buffers(socket: &SockRef<'_>, bytes: NonZeroU32) -> io::Result<Buffers> {
    let bytes = usize::try_from(bytes.get()).unwrap_or(usize::MAX);
    socket.set_send_buffer_size(bytes)?;
    socket.set_recv_buffer_size(bytes)?;
    Ok(Buffers { send: socket.send_buffer_size()?, receive: socket.recv_buffer_size()? })
}

impl fmt::Display for KernelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, nodelay {}", self.timers, if self.nodelay { "on" } else { "off" })?;
        match self.buffers {
            Some(bytes) => write!(f, ", buffers of {bytes} B"),
            None => Ok(()),
        }
    }
}

/// The [`KernelOptions`] in force on a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelReport {
    /// The options as read back, except [buffers](KernelOptions::buffers), which are as requested.
    pub in_force: KernelOptions,
    /// The buffer sizes as read back; `None` if the system chose them.
    pub buffers: Option<Buffers>,
    /// Requested options that this system does not have.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for KernelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.in_force)?;
        if let Some(Buffers { send, receive }) = self.buffers {
            write!(f, " (in force: {send} B to send, {receive} B to receive)")?;
        }
        if !self.missing.is_empty() {
            write!(f, "; this system has no {}", self.missing.join(" and no "))?;
        }
        Ok(())
    }
}

/// The kernel's buffer sizes, by its own count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Buffers {
    /// Send buffer (`SO_SNDBUF`), in bytes.
    pub send: usize,
    /// Receive buffer (`SO_RCVBUF`), in bytes.
    pub receive: usize,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod user_timeout {
    use core::time::Duration;
    use std::io;

    use socket2::SockRef;

    pub(super) const MISSING: Option<&str> = None;

    pub(super) fn set(socket: &SockRef<'_>, user_timeout: Duration) -> io::Result<()> {
        socket.set_tcp_user_timeout(Some(user_timeout))
    }

    pub(super) fn read(socket: &SockRef<'_>) -> io::Result<Option<Duration>> {
        Ok(socket.tcp_user_timeout()?.filter(|timeout| !timeout.is_zero()))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod user_timeout {
    use core::time::Duration;
    use std::io;

    use socket2::SockRef;

    pub(super) const MISSING: Option<&str> = Some("TCP_USER_TIMEOUT");

    pub(super) fn set(_socket: &SockRef<'_>, _user_timeout: Duration) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn read(_socket: &SockRef<'_>) -> io::Result<Option<Duration>> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
