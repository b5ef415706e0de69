//! The events of a server.

use core::fmt;
use core::net::SocketAddr;
use core::num::NonZero;
use core::time::Duration;

use heartwire_core::internal::Typed;
use heartwire_core::v1::{self, ByeCode, Contract, Health};
use heartwire_core::{LinkState, Pause, Verdict};

use super::id::SessionId;
use crate::reason::Reason;
use crate::undelivered::{Replayed, Undelivered};

/// An event of a server. `D` is the type of its data: `&[u8]` in a [`Handler`](super::Handler),
/// `Vec<u8>` where it was copied.
///
/// The events of one session come in order: first `Online`, then others such as `Data`, and last
/// exactly one `Offline`. A `Verdict` comes at most once, or, in a session that outlives its
/// connections, at most once before each `Away`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<D> {
    /// A client is online: its first frame has arrived, and on protocol v1 the server has accepted
    /// it. (A server that speaks [v0 only](super::Protocols::V0) reports it as soon as the client
    /// has connected.)
    Online {
        /// The new session.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
        /// The client's identity and the negotiated settings, on protocol v1.
        agreed: Option<Box<Agreed>>,
    },
    /// The client changed its heartbeat interval, and its timeout changes with it (protocol v1).
    Promise {
        /// The session.
        id: SessionId,
        /// The interval of the client's beats from now on.
        interval: Duration,
        /// The client's timeout from now on; `None` without one.
        timeout: Option<Duration>,
    },
    /// The client's health changed (protocol v1).
    Health {
        /// The session.
        id: SessionId,
        /// The health that it reports.
        health: Health,
    },
    /// Clients with the same name take it over from each other again and again. The newer ones are
    /// rejected, for longer and longer times. Reported once, until the name has been quiet for a
    /// while.
    Fighting {
        /// The name.
        name: Box<str>,
        /// The address of the client that was rejected.
        peer: SocketAddr,
    },
    /// A client was rejected at the handshake: its token is wrong, its name is taken, its settings
    /// conflict with the server's, or it speaks v0 and the server v1 only. It never became a
    /// session. (A client that is rejected for lack of room is only counted.)
    Rejected {
        /// The client's address.
        peer: SocketAddr,
        /// The client's name, if it gave a valid one.
        name: Option<Box<str>>,
        /// The reason that the client was told; [`ByeCode::Version`] for one that speaks v0, which
        /// cannot be told, to a server that speaks v1 only.
        code: ByeCode,
    },
    /// A data frame arrived.
    Data {
        /// The session it came from.
        id: SessionId,
        /// The body, possibly empty.
        data: D,
    },
    /// The client sends no more data. The server still can
    /// ([`ServerConfig::resume`](super::ServerConfig::resume)).
    Ended {
        /// The session.
        id: SessionId,
    },
    /// There is room for data again, after [`Control::send`](super::Control::send) had failed with
    /// [`CommandError::Full`](super::CommandError::Full).
    Room {
        /// The session.
        id: SessionId,
    },
    /// The connection to the client is lost, and the session waits for the client to come back
    /// ([`ServerConfig::resume`](super::ServerConfig::resume)). What is sent to it meanwhile is
    /// kept. `Back` or `Offline` follows; data that had arrived before may still come first.
    Away {
        /// The session.
        id: SessionId,
        /// The address that the client had.
        peer: SocketAddr,
        /// Why the connection ended.
        reason: Reason,
        /// How long the session waits.
        within: Duration,
    },
    /// The client is back. It comes without an `Away` before it where the client has connected
    /// again before the server noticed that the older connection was lost.
    Back {
        /// The session.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
        /// How long the client was away.
        away: Duration,
        /// What is sent again, because the client had not received it.
        replayed: Replayed,
    },
    /// The client is dead. `Away` or `Offline` with the same verdict follows.
    Verdict {
        /// The session of the dead client.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
        /// The cause, the silence, its bound, and how late the verdict was.
        verdict: Verdict,
    },
    /// The session has ended: clean up here. Its socket is closed, or waits up to 1 s for the
    /// client to receive the last bytes and close; until then it still counts as a session.
    Offline {
        /// The session that ended.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
        /// Why it ended.
        reason: Reason,
        /// Beats received from the client.
        beats: u32,
        /// How long the session lasted.
        lasted: Duration,
        /// What was sent and the client has not taken over, in a session that outlives its
        /// connections. Of other sessions that is not known, and this is
        /// [`NOTHING`](Undelivered::NOTHING).
        undelivered: Undelivered,
    },
    /// A shard was paused. It restarts the timeouts of all its sessions before any verdict.
    Paused {
        /// The number of the shard.
        shard: usize,
        /// When it ran again and how long it was paused.
        pause: Pause,
    },
    /// The server refuses new clients: it closes their connections. If there are too many sessions,
    /// a few clients on protocol v1 are told so first, with a BYE
    /// [`Full`](heartwire_core::v1::ByeCode::Full). Reported once, until `Accepting`.
    Refusing {
        /// Why it refuses them.
        cause: Refusal,
    },
    /// The server accepts new clients again.
    Accepting {
        /// Clients refused since the server started.
        refused: u64,
    },
}

/// The result of a handshake.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Agreed {
    /// The client's name, if it gave one.
    pub name: Option<Box<str>>,
    /// Orders the sessions of one name: later ones have higher epochs. 0 without a name. Each is
    /// the time in microseconds since 1970, by the server's [clock](super::EpochClock), or one
    /// more than the last: so later runs have higher epochs too, unless the wall clock was set
    /// back by more than the time between the two.
    pub epoch: u64,
    /// The client's instance, if it tells it: a number that a client draws when it starts, and that
    /// it has until it ends.
    pub instance: Option<NonZero<u64>>,
    /// The client's program and version, as the client reports them.
    pub agent: Option<Box<str>>,
    /// How the client's last connection ended, as the client reports it.
    pub last: Option<LastConnection>,
    /// The negotiated settings of both ends.
    pub contract: Contract,
    /// How long the session is kept each time that it loses its connection, until `Offline`.
    /// `None`: it ends with its connection ([`ServerConfig::resume`](super::ServerConfig::resume)).
    pub grace: Option<Duration>,
}

/// How a client's last connection ended, as the client reports it. It is for logs: nothing checks
/// it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LastConnection {
    /// Why it ended: the [name](Reason::name) of a reason, such as `dead`, if the client is one of
    /// ours. At most 32 bytes. Escape it before you show it: the client chose the text.
    pub reason: Box<str>,
    /// How long before the HELLO of this connection it ended.
    pub ago: Duration,
    /// Its session, if it had one. That may have been on another server, or in an earlier run of
    /// this one, whose ids come again.
    pub session: Option<SessionId>,
}

impl LastConnection {
    pub(super) fn of(said: v1::LastConnection<'_>) -> Self {
        let session = said.session.map(SessionId::of);
        Self { reason: said.reason.into(), ago: said.ago, session }
    }
}

/// `last connection 0-17-3 ended 2.500 s ago: "dead"`.
impl fmt::Display for LastConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("last connection ")?;
        if let Some(session) = self.session {
            write!(f, "{session} ")?;
        }
        write!(f, "ended {:.3} s ago: {:?}", self.ago.as_secs_f64(), self.reason)
    }
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server has reached its maximum number of sessions.
    SessionLimit,
    /// The client's address has reached its maximum number of sessions.
    AddressSessions,
    /// Too many clients have connected lately, from that address or from all.
    ArrivalRate,
    /// The process or the system has no file descriptor or memory left for a socket.
    Descriptors,
}

impl Refusal {
    /// A short name that does not change between versions, for logs, counters and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionLimit => "max_sessions",
            Self::AddressSessions => "max_per_address",
            Self::ArrivalRate => "accept_rate",
            Self::Descriptors => "descriptors",
        }
    }
}

/// One session in a [list](super::Handle::list) or a [page](super::Handle::query).
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// How much longer it waits for its client to come back, if that is away.
    pub away_within: Option<Duration>,
    /// Time since the client connected, or first connected if the session outlives its connections.
    pub age: Duration,
    /// The protocol that the client speaks: `v0` or `v1`.
    pub protocol: &'static str,
    /// Whether the connection is encrypted.
    pub is_secure: bool,
    /// Time since the last byte from the client. If that is longer than the client's interval, a
    /// beat may wait in the kernel, and the kernel was asked, which knows it to a few milliseconds.
    pub silence: Duration,
    /// The client's interval, as far as it is known.
    pub interval: Option<Duration>,
    /// The silence after which the client is declared dead; `None` if it never is.
    pub timeout: Option<Duration>,
    /// Time left until its verdict if it stays silent; `None` without a timeout, and while it is
    /// away.
    pub due: Option<Duration>,
    /// Beats of the client that were read: later ones may wait in the kernel.
    pub beats: u32,
    /// Bytes queued for the client.
    pub queued: usize,
    /// The client's name, if it gave one (protocol v1).
    pub name: Option<Box<str>>,
    /// Orders the sessions of that name, see [`Agreed::epoch`]. 0 without a name.
    pub epoch: u64,
    /// The state of both directions (protocol v1).
    pub link_state: Option<LinkState>,
}

impl<D: AsRef<[u8]>> Event<D> {
    /// Copies the event, with its data.
    pub fn to_owned(&self) -> Event<Vec<u8>> {
        match self {
            Self::Data { id, data } => Event::Data { id: *id, data: data.as_ref().to_vec() },
            Self::Online { id, peer, agreed } => {
                Event::Online { id: *id, peer: *peer, agreed: agreed.clone() }
            }
            Self::Promise { id, interval, timeout } => {
                Event::Promise { id: *id, interval: *interval, timeout: *timeout }
            }
            Self::Health { id, health } => Event::Health { id: *id, health: *health },
            Self::Rejected { peer, name, code } => {
                Event::Rejected { peer: *peer, name: name.clone(), code: *code }
            }
            Self::Fighting { name, peer } => Event::Fighting { name: name.clone(), peer: *peer },
            Self::Verdict { id, peer, verdict } => {
                Event::Verdict { id: *id, peer: *peer, verdict: *verdict }
            }
            Self::Ended { id } => Event::Ended { id: *id },
            Self::Room { id } => Event::Room { id: *id },
            Self::Away { id, peer, reason, within } => {
                Event::Away { id: *id, peer: *peer, reason: *reason, within: *within }
            }
            Self::Back { id, peer, away, replayed } => {
                Event::Back { id: *id, peer: *peer, away: *away, replayed: *replayed }
            }
            Self::Offline { id, peer, reason, beats, lasted, undelivered } => Event::Offline {
                id: *id,
                peer: *peer,
                reason: *reason,
                beats: *beats,
                lasted: *lasted,
                undelivered: *undelivered,
            },
            Self::Paused { shard, pause } => Event::Paused { shard: *shard, pause: *pause },
            Self::Refusing { cause } => Event::Refusing { cause: *cause },
            Self::Accepting { refused } => Event::Accepting { refused: *refused },
        }
    }
}

impl<D: AsRef<[u8]>> fmt::Display for Event<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online { id, peer, agreed: None } => write!(f, "{id} online from {peer}"),
            Self::Online { id, peer, agreed: Some(agreed) } => {
                write!(f, "{id} online from {peer}{}; {}", Named(&agreed.name), agreed.contract)?;
                agreed.last.as_ref().map_or(Ok(()), |last| write!(f, "; {last}"))
            }
            Self::Promise { id, interval, timeout } => {
                write!(f, "{id} changes its interval to {}, timeout ", Typed(*interval))?;
                match timeout {
                    Some(timeout) => write!(f, "{}", Typed(*timeout)),
                    None => f.write_str("off"),
                }
            }
            Self::Health { id, health } => write!(f, "{id} reports health {}", health.name()),
            Self::Fighting { name, peer } => {
                write!(f, "clients take the name {name:?} from each other; rejected {peer}")
            }
            Self::Rejected { peer, name, code } => {
                write!(f, "rejected {peer}{}: {}", Named(name), code.name())
            }
            Self::Data { id, data } => write!(f, "{id} {} B of data", data.as_ref().len()),
            Self::Verdict { id, peer, verdict } => write!(f, "{id} dead at {peer}: {verdict}"),
            Self::Ended { id } => write!(f, "{id} sends no more"),
            Self::Room { id } => write!(f, "{id} has room for data again"),
            Self::Away { id, peer, reason, within } => {
                write!(f, "{id} away from {peer} for {} at most: {reason}", Typed(*within))
            }
            Self::Back { id, peer, away, replayed } => {
                let (away, Replayed { frames, bytes }) = (away.as_secs_f64(), replayed);
                let s = if *frames == 1 { "" } else { "s" };
                write!(
                    f,
                    "{id} back from {peer} after {away:.3} s; {frames} message{s} ({bytes} B) sent \
                     again"
                )
            }
            Self::Offline { id, peer, reason, beats, lasted, undelivered } => {
                let (lasted, s) = (lasted.as_secs_f64(), if *beats == 1 { "" } else { "s" });
                write!(f, "{id} offline from {peer}: {reason} ({beats} beat{s} in {lasted:.3} s)")?;
                if undelivered.frames > 0 { write!(f, "; {undelivered}") } else { Ok(()) }
            }
            Self::Paused { shard, pause } => {
                write!(f, "shard {shard} was paused for {:.3} s", pause.gap.as_secs_f64())
            }
            Self::Refusing { cause } => write!(f, "refusing new clients: {}", cause.name()),
            Self::Accepting { refused } => {
                write!(f, "accepting new clients again, {refused} refused so far")
            }
        }
    }
}

/// A client's name after a space, if it gave one. The client chose it, so it is escaped.
struct Named<'a>(&'a Option<Box<str>>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, " {name:?}"))
    }
}

#[cfg(test)]
mod tests;
