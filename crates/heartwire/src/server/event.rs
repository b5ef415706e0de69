//! What a server tells its owner.

use core::net::SocketAddr;
use core::time::Duration;

use heartwire_core::{Stall, Verdict};

use super::id::SessionId;
use crate::reason::Reason;

/// Something that happened on a server. `D` is how it holds data: `&[u8]` for a
/// [`Handler`](super::Handler), `Vec<u8>` where it was copied.
///
/// The events of one session come in order: `Online`, any number of `Data`, at most one `Verdict`,
/// and exactly one `Offline`, after which nothing follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<D> {
    /// A client connected. Nothing has come from it yet.
    Online {
        /// The new session.
        id: SessionId,
        /// The client's address.
        peer: SocketAddr,
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
    /// The session has ended and its socket is closed. This is where an owner cleans up.
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
    Stalled {
        /// The number of the shard.
        shard: usize,
        /// When it ran again and how long it stood still.
        stall: Stall,
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

/// Why a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server has as many sessions as it may have.
    SessionLimit,
    /// The process, or the system, has no file descriptor or no memory left for a socket.
    Descriptors,
}

impl Refusal {
    /// A short name that does not change between versions, for logs, counters and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionLimit => "session_limit",
            Self::Descriptors => "descriptors",
        }
    }
}

/// One line of a [list](super::Handle::list) of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}

impl<D: AsRef<[u8]>> Event<D> {
    /// The same event with its data copied.
    pub fn to_owned(&self) -> Event<Vec<u8>> {
        match self {
            Self::Data { id, data } => Event::Data { id: *id, data: data.as_ref().to_vec() },
            Self::Online { id, peer } => Event::Online { id: *id, peer: *peer },
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
            Self::Stalled { shard, stall } => Event::Stalled { shard: *shard, stall: *stall },
            Self::Refusing { cause } => Event::Refusing { cause: *cause },
            Self::Accepting { refused } => Event::Accepting { refused: *refused },
        }
    }
}
