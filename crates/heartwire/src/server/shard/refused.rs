//! Refused clients that are told why.
//!
//! A client that finds the server full, or its address, would otherwise see its connection closed
//! without a word, as by a server of another service. Instead it gets a session without a place: it
//! can say HELLO, and gets a BYE. It counts nowhere, and its HELLO is not looked into: the answer
//! is the same whatever its name and token.

use core::net::SocketAddr;
use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};

use super::Shard;
use crate::reason::Reason;
use crate::server::event::Refusal;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::world::ServerWorld;

/// Maximum number of refused clients that a shard keeps in any [`HELD_FOR`]. Enough to tell 200
/// clients that try again every 15 s or so, as the default back-off does. A flood costs this many
/// descriptors and TLS handshakes a second.
const MAX_REFUSED: usize = 16;

/// How long one stays, its BYE and TLS included: a HELLO comes with the connection, or a round
/// trip or two after it with TLS. One that has said nothing by then is closed without a word.
pub(in crate::server) const HELD_FOR: Duration = Duration::from_secs(1);

/// A refused client, which counts for [`HELD_FOR`] even if it goes earlier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    id: SessionId,
    cause: Refusal,
    pub(super) until: Instant,
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Keeps a refused client, to tell it why. Returns its socket if there are too many, or if
    /// this server speaks v0 only, which has no BYE.
    pub(super) fn keep_refused(
        &mut self,
        stream: W::Socket,
        peer: SocketAddr,
        cause: Refusal,
    ) -> Option<W::Socket> {
        if !self.has_room_for_refused() {
            return Some(stream);
        }
        let (id, failed) = self.open(stream, peer, &mut None)?;
        self.note_refused(id, cause);
        self.begin(id.slot(), failed);
        None
    }

    pub(super) fn has_room_for_refused(&self) -> bool {
        self.refused.len() < MAX_REFUSED && !self.state.agenda.config.online_at_once
    }

    /// Keeps a session without a place, to tell its client why it is refused.
    pub(super) fn note_refused(&mut self, id: SessionId, cause: Refusal) {
        let Some((session, _)) = self.state.find(id) else { return };
        let until = session.since.saturating_add(HELD_FOR);
        self.refused.push_back(Refused { id, cause, until });
    }

    /// Tells a client that has said HELLO why it is refused.
    pub(super) fn tell_full(&mut self, id: SessionId) {
        let Some(refused) = self.refused.iter().find(|refused| refused.id == id) else { return };
        let detail = match refused.cause {
            Refusal::AddressSessions => "too many sessions from this address",
            Refusal::SessionLimit | Refusal::Descriptors | Refusal::ArrivalRate => {
                "maximum number of sessions reached"
            }
        };
        let Some((session, agenda)) = self.state.find(id) else { return };
        // No retry window: it is unknown when there will be room, and the client's own back-off
        // grows.
        session.queue(&Bye::new(ByeCode::Full, RetryHint::AtWill).detail(detail).encode());
        agenda.end(session, Reason::Rejected(ByeCode::Full));
    }

    /// Closes refused clients whose time is over, and makes room for others.
    pub(super) fn end_refused(&mut self) {
        let now = self.awake_at;
        while let Some(&Refused { id, .. }) =
            self.refused.front().filter(|refused| refused.until <= now)
        {
            self.refused.pop_front();
            // One that is being closed has the same deadline.
            if let Some((session, agenda)) = self.state.find(id) {
                agenda.end(session, Reason::Rejected(ByeCode::Full));
            }
        }
    }

    /// Closes the oldest refused client that is still there, for its descriptor. Returns whether
    /// there was one.
    pub(super) fn drop_refused(&mut self) -> bool {
        for index in 0..self.refused.len() {
            let Some(&Refused { id, .. }) = self.refused.get(index) else { break };
            let Some((session, agenda)) = self.state.find(id) else { continue };
            agenda.end(session, Reason::Rejected(ByeCode::Full));
            self.close_ended();
            self.end_parting(id.slot());
            if self.state.find(id).is_none() {
                return true;
            }
        }
        false
    }

    /// How many sessions of this shard have a place.
    pub(super) fn places(&mut self) -> usize {
        let sessions = &mut self.state.sessions;
        let is_here = |refused: &&Refused| sessions.find(refused.id).is_some();
        let refused = self.refused.iter().filter(is_here).count();
        sessions.len() - refused - self.state.agenda.away_count
    }
}
