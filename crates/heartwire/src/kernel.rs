//! Kernel options for a connection: keepalive, user timeout, `TCP_NODELAY` and buffers, checked as
//! one set.

use core::fmt;
use core::num::NonZeroU32;
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
///
/// ```
/// use core::time::Duration;
/// use heartwire::kernel::{Keepalive, KernelOptions, KernelTimers};
///
/// let secs = Duration::from_secs;
/// let keepalive = Keepalive::new(secs(20), secs(5), 4)?;
/// let timers = KernelTimers::new(Some(keepalive), Some(keepalive.bound()))?;
/// let options = KernelOptions::default().timers(timers);
/// # let _ = options;
/// # Ok::<(), heartwire::kernel::KernelError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct KernelOptions {
    timers: KernelTimers,
    nodelay: bool,
    buffers: Option<NonZeroU32>,
    max_unsent: Option<NonZeroU32>,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self { timers: KernelTimers::default(), nodelay: true, buffers: None, max_unsent: None }
    }
}

impl KernelOptions {
    /// The kernel's timers. Default: off.
    pub const fn timers(mut self, timers: KernelTimers) -> Self {
        self.timers = timers;
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`). Default: yes. Without it the kernel may
    /// hold a heartbeat back until the peer has acknowledged what was sent before.
    pub const fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// The kernel's buffer sizes in bytes, for each direction of a connection (`SO_SNDBUF`,
    /// `SO_RCVBUF`). Default: `None`, the system decides: on Linux up to several MB for a peer that
    /// does not read. For a connection that carries little more than heartbeats 8 KiB is plenty,
    /// but data then takes a round trip per buffer. Linux doubles the value for its own
    /// bookkeeping, and has a minimum of a few KB.
    pub const fn buffers(mut self, bytes: Option<NonZeroU32>) -> Self {
        self.buffers = bytes;
        self
    }

    /// How many bytes the kernel may hold that it has not sent yet (`TCP_NOTSENT_LOWAT`, Linux
    /// only). Default: `None`, as many as its buffer takes. A beat waits behind these: they bound
    /// by how much bulk data delays it, and unlike [`buffers`](Self::buffers) they do not limit the
    /// throughput.
    pub const fn max_unsent(mut self, bytes: Option<NonZeroU32>) -> Self {
        self.max_unsent = bytes;
        self
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
        if let Some(bytes) = self.buffers {
            let bytes = usize::try_from(bytes.get()).unwrap_or(usize::MAX);
            socket.set_send_buffer_size(bytes)?;
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.max_unsent {
            max_unsent::set(socket, bytes)?;
            missing.extend(max_unsent::MISSING);
        }
        let in_force = |read: fn(&SockRef<'_>) -> io::Result<usize>| {
            self.buffers.map(|_| read(socket)).transpose()
        };
        Ok(KernelReport {
            timers,
            nodelay: socket.tcp_nodelay()?,
            send_buffer: in_force(|socket| socket.send_buffer_size())?,
            receive_buffer: in_force(|socket| socket.recv_buffer_size())?,
            max_unsent: self.max_unsent.and_then(|_| max_unsent::read(socket)),
            missing,
            buffers: self.buffers,
        })
    }

    /// A report of these options, as if the system had them all.
    pub(crate) const fn report(&self) -> KernelReport {
        KernelReport {
            timers: self.timers,
            nodelay: self.nodelay,
            send_buffer: None,
            receive_buffer: None,
            max_unsent: self.max_unsent,
            missing: Vec::new(),
            buffers: None,
        }
    }
}

/// The [`KernelOptions`] in force on a socket, as read back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KernelReport {
    /// The kernel's timers.
    pub timers: KernelTimers,
    /// Whether small writes leave at once (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Send buffer in bytes by the kernel's own count (`SO_SNDBUF`); `None` if the system chose it.
    pub send_buffer: Option<usize>,
    /// Receive buffer in bytes by the kernel's own count (`SO_RCVBUF`); `None` if the system chose
    /// it.
    pub receive_buffer: Option<usize>,
    /// How many bytes the kernel holds that it has not sent (`TCP_NOTSENT_LOWAT`); `None` for as
    /// many as its buffer takes.
    pub max_unsent: Option<NonZeroU32>,
    /// Requested options that this system does not have.
    pub missing: Vec<&'static str>,
    /// The buffer sizes as requested.
    buffers: Option<NonZeroU32>,
}

impl fmt::Display for KernelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, nodelay {}", self.timers, if self.nodelay { "on" } else { "off" })?;
        if let Some(bytes) = self.buffers {
            write!(f, ", buffers of {bytes} B")?;
        }
        if let (Some(send), Some(receive)) = (self.send_buffer, self.receive_buffer) {
            write!(f, " (in force: {send} B to send, {receive} B to receive)")?;
        }
        if let Some(bytes) = self.max_unsent {
            write!(f, ", at most {bytes} B unsent")?;
        }
        if !self.missing.is_empty() {
            write!(f, "; this system has no {}", self.missing.join(" and no "))?;
        }
        Ok(())
    }
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

#[cfg(any(target_os = "linux", target_os = "android"))]
mod max_unsent {
    use core::num::NonZeroU32;
    use std::io;

    use socket2::SockRef;

    pub(super) const MISSING: Option<&str> = None;

    pub(super) fn set(socket: &SockRef<'_>, bytes: NonZeroU32) -> io::Result<()> {
        socket.set_tcp_notsent_lowat(bytes.get())
    }

    pub(super) fn read(socket: &SockRef<'_>) -> Option<NonZeroU32> {
        socket.tcp_notsent_lowat().ok().and_then(NonZeroU32::new)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod max_unsent {
    use core::num::NonZeroU32;
    use std::io;

    use socket2::SockRef;

    pub(super) const MISSING: Option<&str> = Some("TCP_NOTSENT_LOWAT");

    pub(super) fn set(_socket: &SockRef<'_>, _bytes: NonZeroU32) -> io::Result<()> {
        Ok(())
    }

    pub(super) const fn read(_socket: &SockRef<'_>) -> Option<NonZeroU32> {
        None
    }
}

#[cfg(test)]
mod tests;
