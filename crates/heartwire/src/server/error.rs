//! Why a server or a command fails.

use core::fmt;
use core::net::SocketAddr;
use core::ops::RangeInclusive;
use std::{fs, io};

/// Why a server did not start, or ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// The server could not listen on an address.
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// A [socket that was to listen already](super::ServerConfig::from_listener) does not, or is
    /// no TCP socket.
    Listener(io::Error),
    /// The configuration has no address.
    NoAddress,
    /// The system refused a poller, a thread or random numbers.
    System(io::Error),
    /// A handler panicked.
    Panicked,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { addr, error } => {
                write!(f, "cannot listen on {addr}: {error}")?;
                f.write_str(bind_help(*addr, error))
            }
            Self::Listener(error) => write!(f, "cannot serve a socket that was passed: {error}"),
            Self::NoAddress => f.write_str("no address to listen on was given"),
            Self::System(error) => {
                write!(f, "the system refused a poller, a thread or random numbers: {error}")
            }
            Self::Panicked => f.write_str("a handler panicked, and its shard ended with it"),
        }
    }
}

fn bind_help(addr: SocketAddr, error: &io::Error) -> &'static str {
    if addr.is_ipv6() && error.raw_os_error() == Some(FAMILY_NOT_SUPPORTED) {
        return ". This machine has no IPv6: listen on an IPv4 address; 0.0.0.0 stands for all";
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of error kinds is open")]
    match error.kind() {
        io::ErrorKind::AddrInUse if addr.port() == 0 => {
            ". The system has no port left of those that it chooses from: wait until connections \
             end, or name a port outside of that range (on Linux: \
             `sysctl net.ipv4.ip_local_port_range`)"
        }
        io::ErrorKind::AddrInUse if outgoing_ports().contains(&addr.port()) => {
            ". Another program listens there, or an outgoing connection happens to use this port: \
             it is in the range that the system takes such ports from. Stop the other program, or \
             choose another port; `ss -tanp` shows who has it"
        }
        io::ErrorKind::AddrInUse => {
            ". Another program listens there: stop it, or choose another port; `ss -tlnp` shows \
             who it is"
        }
        io::ErrorKind::AddrNotAvailable => {
            ". This machine does not have that address: `ip address` shows those it has; 0.0.0.0 \
             stands for all IPv4 addresses, [::] for all of both kinds"
        }
        io::ErrorKind::PermissionDenied if addr.port() < 1024 => {
            ". A port below 1024 needs a privilege: choose a higher port, or give the program \
             CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
        }
        io::ErrorKind::PermissionDenied => {
            ". A rule of this system, such as one of SELinux or AppArmor, keeps the program from \
             this port"
        }
        _ => "",
    }
}

/// The system's error on a machine without IPv6.
#[cfg(unix)]
const FAMILY_NOT_SUPPORTED: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
/// `WSAEAFNOSUPPORT`.
#[cfg(not(unix))]
const FAMILY_NOT_SUPPORTED: i32 = 10_047;

/// The ports that the system uses for outgoing connections: on Linux the configured range,
/// elsewhere, or if it cannot be read, the widest usual range.
fn outgoing_ports() -> RangeInclusive<u16> {
    let read = || {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let mut ends = text.split_whitespace().map(|end| end.parse::<u16>().ok());
        Some(ends.next()??..=ends.next()??)
    };
    read().unwrap_or(32_768..=u16::MAX)
}

/// `Display` includes the system's error, so `source` does not repeat it.
impl core::error::Error for ServerError {}

/// Why a command failed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The session has ended, or the server has. Do not try again.
    #[error("the session has ended")]
    Gone,
    /// The shard has too many commands waiting. Try again later.
    #[error("the shard has too many commands waiting; try again later")]
    Busy,
    /// The data is longer than a frame, or than the queue for one session. Send it in parts.
    #[error("the data is longer than a frame may be, or than a session's queue")]
    TooLong,
    /// The session's queue was full, so the client was disconnected. Do not try again.
    #[error("the client does not read, and was disconnected")]
    SlowReader,
    /// The session's window has no room: the client has not taken over what was sent before. Try
    /// again after [`Event::Room`](super::Event::Room).
    #[error("the client has not taken over what was sent before; try again when there is room")]
    Full,
    /// This end's direction of the session was [ended](super::Handle::end) before.
    #[error("this end has said that it sends no more")]
    Ended,
    /// The session does not [outlive its connection](super::ServerConfig::resume), so its
    /// directions end together.
    #[error("the session ends with its connection, in both directions at once")]
    NotResumable,
}
