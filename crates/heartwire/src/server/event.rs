//! What a server tells its application.

use core::net::SocketAddr;
use core::time::Duration;

use heartwire_core::v1::{ByeCode, Contract, Health};
use heartwire_core::{LinkState, Pause, Verdict};

use super::id::SessionId;
use crate::reason::Reason;

/// Something that happened on a server. `D` is how it holds data: `&[u8]` for a
/// [`Handler`](super::Handler), `Vec<u8>` where it was copied.
///
/// The events of one session come in order: `Online`, any number of `Data`, at most one `Verdict`,
/// and exactly one `Offline`, after which nothing follows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<D> {
    /// A client is there: it has said its first frame, and on protocol v1 it was taken in. (On a server that
    /// speaks [v0 only](super::Protocols::V0), where a client need not say anything: it connected.)
    Online {
        /// The new session.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
        /// Who it is and what was agreed, on protocol v1.
        agreed: Option<Box<Agreed>>,
    },
    /// The client will beat in another interval from now on, and is judged accordingly (protocol v1).
    Promise {
        /// The session.
        id: SessionId,
        /// The client promises a beat this often.
        interval: Duration,
        /// The silence that is called death now; `None` without a timeout.
        timeout: Option<Duration>,
    },
    /// The client says that it is otherwise than it said before (protocol v1).
    Health {
        /// The session.
        id: SessionId,
        /// How it says it is.
        health: Health,
    },
    /// Two clients take one name from each other again and again. Newcomers are rejected for longer
    /// and longer times. Said once, until it has been quiet for a while.
    Fighting {
        /// The name.
        name: Box<str>,
        /// The address of the client that was rejected.
        peer: SocketAddr,
    },
    /// A client was rejected at the handshake: its token is wrong, its name is taken, or it wants what this
    /// server does not agree to. It never was a session. (One for which there is no room is only counted.)
    Rejected {
        /// The client's address.
        peer: SocketAddr,
        /// The name that it gave, if it gave one that is valid.
        name: Option<Box<str>>,
        /// What it was told.
        code: ByeCode,
    },
    /// The whole body of a data frame.
    Data {
        /// The session it came from.
        id: SessionId,
        /// The body, possibly empty.
        data: D,
    },
    /// The client is dead. `Offline` with the same verdict follows.
    Verdict {
        /// The session of the dead client.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
        /// The cause, the silence, its bound, and how late this end was.
        verdict: Verdict,
    },
    /// The session has ended. This is where an application cleans up. Its socket is closed, or waits up to 1 s for
    /// its client to take the last words and close; until then it has its place among the sessions.
    Offline {
        /// The session that ended.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
        /// Why it ended.
        reason: Reason,
        /// Beats that came from the client.
        beats: u32,
        /// How long the session lasted.
        lasted: Duration,
    },
    /// A shard stood still, and gives all its sessions another chance before any verdict.
    Paused {
        /// The number of the shard.
        shard: usize,
        /// When it ran again and how long it stood still.
        pause: Pause,
    },
    /// New clients are being refused: their connections are closed at once. Said once, until
    /// `Accepting`.
    Refusing {
        /// What there is no room in.
        cause: Refusal,
    },
    /// New clients are accepted again, after `refused` had been refused since the start.
    Accepting {
        /// Clients refused since the server started.
        refused: u64,
    },
}

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed {
    /// What the client calls itself, if it does.
    pub name: Option<Box<str>>,
    /// Which one of the sessions under that name this is: later ones have higher numbers. 0 without a
    /// name. A server begins with the microseconds since 1970, so that later runs have higher numbers too,
    /// unless the clock was set back by more than the earlier run had lasted.
    pub epoch: u64,
    /// Which program the client says it is.
    pub agent: Option<Box<str>>,
    /// What both ends go by.
    pub contract: Contract,
}

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server has as many sessions as it may have.
    SessionLimit,
    /// The client's address has as many sessions as it may have.
    AddressSessions,
    /// Too many clients have come from that address lately, or from all.
    ArrivalRate,
    /// The process, or the system, has no file descriptor or no memory left for a socket.
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

/// One line of a [list](super::Handle::list) of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// The client's address.
    pub peer: SocketAddr,
    /// How long nothing has come from the client.
    pub silence: Duration,
    /// Beats that came from the client.
    pub beats: u32,
    /// Bytes that wait to be sent to the client.
    pub queued: usize,
    /// What the client calls itself, if it does (protocol v1).
    pub name: Option<Box<str>>,
    /// How both directions fare (protocol v1).
    pub link_state: Option<LinkState>,
}

impl<D: AsRef<[u8]>> Event<D> {
    /// The same event with its data copied.
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
            Self::Offline { id, peer, reason, beats, lasted } => Event::Offline {
                id: *id,
                peer: *peer,
                reason: *reason,
                beats: *beats,
                lasted: *lasted,
            },
            Self::Paused { shard, pause } => Event::Paused { shard: *shard, pause: *pause },
            Self::Refusing { cause } => Event::Refusing { cause: *cause },
            Self::Accepting { refused } => Event::Accepting { refused: *refused },
        }
    }
}
