//! Why a connection ended.

use core::fmt;
use core::time::Duration;
use std::io;

use heartwire_core::v1::ByeCode;
use heartwire_core::{Verdict, Violation};

use crate::tls::TlsError;

/// Why a connection ended. Each connection has exactly one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The peer closed it between two frames. Closing only the sending half counts too.
    ClosedByPeer,
    /// The peer closed it in the middle of a frame.
    Truncated,
    /// It ended between two frames but without TLS's `close_notify`: the peer left it out, or the
    /// connection was cut off before the last bytes.
    NoGoodbye,
    /// The peer or the path reset it.
    Reset,
    /// The peer is dead.
    Dead(Verdict),
    /// The peer broke the protocol.
    Protocol(Violation),
    /// The peer did not read, and its queue was full.
    SlowReader,
    /// All sessions together had reached
    /// [`max_buffered`](crate::server::limits::Limits::max_buffered), and this one was among those
    /// that held most of it.
    MostBuffered,
    /// The application disconnected the client.
    Kicked,
    /// The application closed the client or shut the server down.
    Shutdown,
    /// This end closed it, and the peer did not acknowledge everything in time: the last bytes sent
    /// may be lost. Where the system cannot tell (only Linux can), the peer did not close its side
    /// in time.
    Unacknowledged,
    /// The peer disconnected with a BYE, which says why (protocol v1).
    Bye(ByeCode),
    /// This end rejected the peer with a BYE, which says why (protocol v1).
    Rejected(ByeCode),
    /// A newer session of the same name replaced it (protocol v1).
    TakenOver,
    /// The client was admitted with something that is not accepted any more.
    Revoked(Credential),
    /// The time of what the client was admitted with is over.
    Expired(Credential),
    /// The [network changed](crate::client::Client::network_changed), and the peer's kernel
    /// acknowledged nothing that was sent since: the path is lost. This is not a verdict on the
    /// peer.
    NetworkChanged,
    /// It had reached the [greatest age](crate::server::ServerConfig::max_age) of a session.
    MaxAge,
    /// The client was away for longer than its session is kept.
    NotBack,
    /// The client came back to its session, and the server does not have it any more: it was
    /// restarted, or had ended the session.
    NotResumed,
    /// The session's window was full, and the application had more to send and could not wait.
    Overflow,
    /// All sessions that were away had together reached
    /// [`max_replay`](crate::server::Resume::max_replay), and this one had been away longest; or as
    /// many of its address as [may be connected](crate::server::limits::Admission::max_per_address)
    /// were away already.
    ReplayFull,
    /// Both ends had said that they send no more, and each has taken over everything.
    Done,
    /// The link of a client's session was silent, or the network had changed, and another
    /// connection was made first: see [`suspect`](crate::client::Resume::suspect). This is not a
    /// verdict on the peer.
    Suspected,
    /// TLS failed.
    Tls(TlsError),
    /// A [balancer](crate::server::ServerConfig::proxy_from)'s connection did not begin with a
    /// header of the PROXY protocol.
    Proxy(ProxyFault),
    /// Another error of the system.
    Failed(io::ErrorKind),
}

/// What a server admits a client with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A [token](crate::server::auth::Tokens).
    Token,
    /// A client certificate.
    Certificate,
}

impl Credential {
    const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
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
            Self::Revoked(_) => "revoked",
            Self::Expired(_) => "expired",
            Self::NetworkChanged => "network_changed",
            Self::MaxAge => "max_age",
            Self::NotBack => "not_back",
            Self::NotResumed => "not_resumed",
            Self::Overflow => "overflow",
            Self::ReplayFull => "replay_full",
            Self::Done => "done",
            Self::Suspected => "suspected",
            Self::Tls(_) => "tls",
            Self::Proxy(_) => "proxy",
            Self::Failed(_) => "failed",
        }
    }

    /// The reason for a socket error, on a connection that has been silent for `silence`.
    pub(crate) fn of_error(error: &io::Error, silence: Duration) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of error kinds is open")]
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            // The connection existed, and is gone.
            | io::ErrorKind::NotConnected => Self::Reset,
            // On an established connection these mean that the kernel has given up on it.
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
            Self::NoGoodbye => f.write_str("ended without TLS's close_notify"),
            Self::Reset => f.write_str("reset by the peer or on the path"),
            Self::Dead(verdict) => write!(f, "dead: {verdict}"),
            Self::Protocol(violation) => write!(f, "protocol error: {violation}"),
            Self::SlowReader => f.write_str("the peer did not read, and its queue was full"),
            Self::MostBuffered => f.write_str(
                "all sessions together had buffered too much, and this one was among the largest",
            ),
            Self::Kicked => f.write_str("disconnected by the application"),
            Self::Shutdown => f.write_str("shut down"),
            Self::Unacknowledged => {
                f.write_str("closed before the peer had acknowledged everything")
            }
            Self::Bye(code) => write!(f, "the peer disconnected: {}", code.name()),
            Self::Rejected(code) => write!(f, "rejected: {}", code.name()),
            Self::TakenOver => f.write_str("taken over by a newer session of the same name"),
            Self::Revoked(what) => write!(f, "its {} is not accepted any more", what.name()),
            Self::Expired(what) => write!(f, "its {} has expired", what.name()),
            Self::NetworkChanged => {
                f.write_str("the network changed, and nothing sent since was acknowledged")
            }
            Self::MaxAge => f.write_str("it had reached the greatest age of a session"),
            Self::NotBack => f.write_str("the client did not come back in time"),
            Self::NotResumed => f.write_str("the server does not have the session any more"),
            Self::Overflow => {
                f.write_str("the window was full, and the application could not wait")
            }
            Self::ReplayFull => f.write_str(
                "too many sessions were away, of all or of its address, or they kept too much",
            ),
            Self::Done => f.write_str("both ends have sent everything"),
            Self::Suspected => f.write_str("silent, and another connection was made first"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Proxy(fault) => write!(f, "PROXY protocol: {fault}"),
            Self::Failed(kind) => write!(f, "failed: {kind}"),
        }
    }
}

/// What is wrong with the header of the PROXY protocol on a balancer's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFault {
    /// The connection began with something else.
    Missing,
    /// It is not as specified.
    Malformed,
    /// It is longer than a header can be, or than is read.
    TooLong,
    /// It was not complete in time.
    Slow,
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a listed balancer's connection began without a header",
            Self::Malformed => "a header that is not as specified",
            Self::TooLong => "a header that is too long",
            Self::Slow => "no whole header in time",
        })
    }
}
