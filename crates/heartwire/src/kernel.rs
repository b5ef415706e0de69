//! The kernel's own timers and options for a connection, set and checked as one.

use core::fmt;
use core::time::Duration;
use std::io;

use socket2::{SockRef, TcpKeepalive};

/// Kernel options for a TCP socket. The default sets `TCP_NODELAY` and nothing else.
///
/// A value that exists is consistent. The kernel's timers complement beats: they see a machine or a
/// path that is gone, but answer for a hung process themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    keepalive: Option<Keepalive>,
    user_timeout: Option<Duration>,
    nodelay: bool,
}

impl Default for KernelOptions {
    fn default() -> Self {
        Self { keepalive: None, user_timeout: None, nodelay: true }
    }
}

/// `SO_KEEPALIVE` with its three numbers: probes on a connection that is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    idle: Duration,
    interval: Duration,
    count: u32,
}

impl Keepalive {
    /// The first probe after `idle`, the next ones `interval` apart, and the connection is dead
    /// after `count` without an answer: `idle + interval × count` after its last byte. While data
    /// is unacknowledged no probe is sent; [`KernelOptions::new`]'s user timeout covers that.
    ///
    /// # Errors
    ///
    /// [`KernelError::Keepalive`] unless both times are whole seconds from 1 to 32,767 and `count`
    /// is 1 to 127 (the kernel's ranges, `tcp(7)`).
    pub fn new(idle: Duration, interval: Duration, count: u32) -> Result<Self, KernelError> {
        let seconds = |d: Duration| d.subsec_nanos() == 0 && (1..=32_767).contains(&d.as_secs());
        if !seconds(idle) || !seconds(interval) || !(1..=127).contains(&count) {
            return Err(KernelError::Keepalive { idle, interval, count });
        }
        Ok(Self { idle, interval, count })
    }

    /// How long after its last byte an idle connection is given up.
    #[must_use]
    pub const fn bound(&self) -> Duration {
        self.idle.saturating_add(self.interval.saturating_mul(self.count))
    }
}

impl KernelOptions {
    /// Options that fit together.
    ///
    /// `user_timeout` is `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged before the
    /// kernel gives up. It covers what keepalive cannot see: data in flight to a machine that is
    /// gone (15 minutes otherwise) and a peer that never reads.
    ///
    /// # Errors
    ///
    /// [`KernelError::UserTimeout`] if `user_timeout` is less than the keepalive's
    /// [bound](Keepalive::bound): it replaces the count of probes, so that one lost probe would
    /// kill a healthy connection (measured with 5 s, 5 s, 9 and 7 s). Also if it is under 1 ms or
    /// over 24 days.
    pub fn new(
        keepalive: Option<Keepalive>,
        user_timeout: Option<Duration>,
        nodelay: bool,
    ) -> Result<Self, KernelError> {
        if let Some(user_timeout) = user_timeout {
            let least = keepalive.map_or(Duration::from_millis(1), |keepalive| keepalive.bound());
            // The kernel counts it in an `int` of milliseconds.
            let most = Duration::from_millis(u64::from(i32::MAX.unsigned_abs()));
            if !(least..=most).contains(&user_timeout) {
                return Err(KernelError::UserTimeout { user_timeout, least, most });
            }
        }
        Ok(Self { keepalive, user_timeout, nodelay })
    }

    /// Sets the options on a socket and reads back what is in force. What this system lacks is in
    /// [`KernelReport::missing`]; it is not an error.
    ///
    /// # Errors
    ///
    /// Whatever the system says to an option that it does have.
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<KernelReport> {
        let mut missing = Vec::new();
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(keepalive) = self.keepalive {
            set_keepalive(socket, keepalive, &mut missing)?;
        }
        if let Some(user_timeout) = self.user_timeout {
            set_user_timeout(socket, user_timeout, &mut missing)?;
        }
        let in_force = Self {
            keepalive: read_keepalive(socket)?,
            user_timeout: read_user_timeout(socket)?,
            nodelay: socket.tcp_nodelay()?,
        };
        Ok(KernelReport { in_force, missing })
    }
}

impl fmt::Display for KernelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.keepalive {
            Some(keepalive) => write!(
                f,
                "keepalive after {:?}, every {:?}, {} times ({:?} in all)",
                keepalive.idle,
                keepalive.interval,
                keepalive.count,
                keepalive.bound()
            )?,
            None => f.write_str("keepalive off")?,
        }
        match self.user_timeout {
            Some(user_timeout) => write!(f, ", user timeout {user_timeout:?}")?,
            None => f.write_str(", user timeout off")?,
        }
        write!(f, ", nodelay {}", if self.nodelay { "on" } else { "off" })
    }
}

/// What the kernel made of some [`KernelOptions`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelReport {
    /// The options as they were read back.
    pub in_force: KernelOptions,
    /// Options that were asked for and that this system does not have.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for KernelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.in_force)?;
        if !self.missing.is_empty() {
            write!(f, "; this system has no {}", self.missing.join(" and no "))?;
        }
        Ok(())
    }
}

/// Why some options do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A keepalive number is outside the kernel's range.
    #[error(
        "keepalive {idle:?},{interval:?},{count}: both times must be whole seconds from 1 s to \
         32767 s, and the count 1 to 127"
    )]
    Keepalive {
        /// Time before the first probe.
        idle: Duration,
        /// Time between probes.
        interval: Duration,
        /// Probes without an answer.
        count: u32,
    },
    /// The user timeout would cut the keepalive short, or is out of range.
    #[error(
        "a user timeout of {user_timeout:?} must be {least:?} to {most:?}: below the keepalive's \
         idle + interval × count, one lost probe would kill a healthy connection"
    )]
    UserTimeout {
        /// What was asked for.
        user_timeout: Duration,
        /// The least that fits.
        least: Duration,
        /// The most that fits.
        most: Duration,
    },
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
))]
fn set_keepalive(
    socket: &SockRef<'_>,
    keepalive: Keepalive,
    _missing: &mut Vec<&'static str>,
) -> io::Result<()> {
    let params = TcpKeepalive::new()
        .with_time(keepalive.idle)
        .with_interval(keepalive.interval)
        .with_retries(keepalive.count);
    socket.set_tcp_keepalive(&params)
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
fn set_keepalive(
    socket: &SockRef<'_>,
    keepalive: Keepalive,
    missing: &mut Vec<&'static str>,
) -> io::Result<()> {
    missing.push("keepalive interval or count that could be read back");
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(keepalive.idle))
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
))]
fn read_keepalive(socket: &SockRef<'_>) -> io::Result<Option<Keepalive>> {
    if !socket.keepalive()? {
        return Ok(None);
    }
    Ok(Some(Keepalive {
        idle: socket.tcp_keepalive_time()?,
        interval: socket.tcp_keepalive_interval()?,
        count: socket.tcp_keepalive_retries()?,
    }))
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_vendor = "apple"
)))]
fn read_keepalive(_socket: &SockRef<'_>) -> io::Result<Option<Keepalive>> {
    Ok(None)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(
    socket: &SockRef<'_>,
    user_timeout: Duration,
    _missing: &mut Vec<&'static str>,
) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(user_timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(
    _socket: &SockRef<'_>,
    _user_timeout: Duration,
    missing: &mut Vec<&'static str>,
) -> io::Result<()> {
    missing.push("TCP_USER_TIMEOUT");
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read_user_timeout(socket: &SockRef<'_>) -> io::Result<Option<Duration>> {
    Ok(socket.tcp_user_timeout()?.filter(|timeout| !timeout.is_zero()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn read_user_timeout(_socket: &SockRef<'_>) -> io::Result<Option<Duration>> {
    Ok(None)
}

#[cfg(test)]
mod tests;
