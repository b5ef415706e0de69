//! Why a connection ended.

use core::fmt;
use core::time::Duration;
use std::io;

use heartwire_core::v1::ByeCode;
use heartwire_core::{Verdict, Violation};

use crate::tls::TlsFault;

/// Why a connection ended. Each ends for exactly one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The peer closed it, between two frames. A peer that closes only its sending half counts as
    /// closed too.
    ClosedByPeer,
    /// The peer closed it in the middle of a frame.
    Truncated,
    /// It ended between two frames, but without the goodbye that TLS has for it (`close_notify`): the peer
    /// left it out, or the path cut off what came last.
    NoGoodbye,
    /// The peer, or something on the path, reset it.
    Reset,
    /// The peer is dead.
    Dead(Verdict),
    /// The peer broke the protocol.
    Protocol(Violation),
    /// The peer did not read, and the queue of bytes for it was full.
    SlowReader,
    /// What is held for all peers had reached its bound ([`max_buffered`](crate::server::ServerConfig::max_buffered)), and this
    /// one was among those for which most was held.
    MostBuffered,
    /// The application ended it.
    Kicked,
    /// The application shut everything down.
    Shutdown,
    /// This end closed it, and the peer had not acknowledged everything in the time for that: the last of
    /// what was sent may be lost. So is it called where the system cannot tell (only Linux can) and the peer
    /// did not close its side in time.
    Unacknowledged,
    /// The peer took its leave, and said why (protocol v1).
    Bye(ByeCode),
    /// This end would not talk to the peer, and said why (protocol v1).
    Rejected(ByeCode),
    /// The client has a newer session under its name (protocol v1).
    TakenOver,
    /// This end had been told that its [network changed](crate::client::Client::network_changed), and the peer's
    /// system acknowledged nothing that was sent since: the way to it is lost. It is no verdict on the
    /// peer.
    NetworkChanged,
    /// TLS ended it.
    Tls(TlsFault),
    /// The system reported an error that means none of the above.
    Failed(io::ErrorKind),
}

impl Reason {
    /// A short name that does not change between versions, for logs, counters and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ClosedByPeer => "closed_by_peer",
            Self::Truncated => "truncated",
            Self::NoGoodbye => "no_goodbye",
            Self::Reset => "reset",
            Self::Dead(_) => "dead",
            Self::Protocol(_) => "protocol_error",
            Self::SlowReader => "slow_reader",
            Self::MostBuffered => "most_buffered",
            Self::Kicked => "kicked",
            Self::Shutdown => "shutdown",
            Self::Unacknowledged => "unacknowledged",
            Self::Bye(_) => "bye",
            Self::Rejected(_) => "rejected",
            Self::TakenOver => "taken_over",
            Self::NetworkChanged => "network_changed",
            Self::Tls(_) => "tls",
            Self::Failed(_) => "failed",
        }
    }

    /// What an error of a socket means, on a connection that has been silent for `silence`.
    pub(crate) fn of_error(error: &io::Error, silence: Duration) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of error kinds is open")]
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            // A connection that there was, and is not there any more.
            | io::ErrorKind::NotConnected => Self::Reset,
            // The kernel reports these on an established connection only when it gives up on it.
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Self::Dead(Verdict::kernel(silence)),
            kind => Self::Failed(kind),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByPeer => f.write_str("closed by the peer"),
            Self::Truncated => f.write_str("closed by the peer in the middle of a frame"),
            Self::NoGoodbye => f.write_str("ended without TLS's goodbye (close_notify)"),
            Self::Reset => f.write_str("reset by the peer or on the path"),
            Self::Dead(verdict) => write!(f, "dead: {verdict}"),
            Self::Protocol(violation) => write!(f, "protocol error: {violation}"),
            Self::SlowReader => f.write_str("the peer did not read and its queue was full"),
            Self::MostBuffered => f.write_str(
                "the bytes held for all sessions had reached their bound, and most were held for this one",
            ),
            Self::Kicked => f.write_str("ended by the application"),
            Self::Shutdown => f.write_str("shut down"),
            Self::Unacknowledged => {
                f.write_str("closed before the peer had acknowledged everything")
            }
            Self::Bye(code) => write!(f, "the peer took its leave: {}", code.name()),
            Self::Rejected(code) => write!(f, "rejected: {}", code.name()),
            Self::TakenOver => f.write_str("taken over by a newer session of the same name"),
            Self::NetworkChanged => {
                f.write_str("the network has changed, and nothing sent since was acknowledged")
            }
            Self::Tls(fault) => write!(f, "TLS: {fault}"),
            Self::Failed(kind) => write!(f, "failed: {kind}"),
        }
    }
}
