//! Guests: refused clients that are told why.
//!
//! A client that finds the server full, or its address, would otherwise see its connection closed
//! without a word, as by a server of another service. A guest is a session without a place: it can
//! say HELLO, and gets a BYE. It counts nowhere, and its HELLO is not looked into: the answer is the
//! same whatever its name and token.

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

/// Maximum number of guests that a shard takes in any [`HELD_FOR`]. Enough to tell 200 clients that
/// try again every 15 s or so, as the default back-off does. A flood costs this many descriptors
/// and TLS handshakes a second: at a millisecond each, with an RSA key, a fiftieth of the shard's
/// time.
const MAX_GUESTS: usize = 16;

/// How long a guest stays, its BYE and TLS included: a HELLO comes with the connection, or a round
/// trip or two after it with TLS. One that has said nothing by then is closed without a word.
pub(in crate::server) const HELD_FOR: Duration = Duration::from_secs(1);

/// A guest's place, which it has for [`HELD_FOR`] even if it goes earlier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    id: SessionId,
    cause: Refusal,
    pub(super) until: Instant,
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Keeps a refused client as a guest. Returns its socket if there is no place for one, or if
    /// this server speaks v0 only, which has no BYE.
    pub(super) fn keep_guest(
        &mut self,
        stream: W::Socket,
        peer: SocketAddr,
        cause: Refusal,
    ) -> Option<W::Socket> {
        if self.guests.len() >= MAX_GUESTS || self.state.agenda.config.online_at_once {
            return Some(stream);
        }
        let (id, failed) = self.open(stream, peer, &mut None)?;
        let until = self.state.find(id)?.0.since.saturating_add(HELD_FOR);
        self.guests.push_back(Guest { id, cause, until });
        self.begin(id.slot(), failed);
        None
    }

    /// Tells a guest that has said HELLO why it is refused.
    pub(super) fn tell_full(&mut self, id: SessionId) {
        let Some(guest) = self.guests.iter().find(|guest| guest.id == id) else { return };
        let detail = match guest.cause {
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

    /// Closes guests whose time is over, and frees their places.
    pub(super) fn end_guests(&mut self) {
        let now = self.awake_at;
        while let Some(&Guest { id, .. }) = self.guests.front().filter(|guest| guest.until <= now) {
            self.guests.pop_front();
            // One that is being closed has the same deadline.
            if let Some((session, agenda)) = self.state.find(id) {
                agenda.end(session, Reason::Rejected(ByeCode::Full));
            }
        }
    }

    /// Closes the oldest guest that is still there, for its descriptor. Returns whether there was
    /// one.
    pub(super) fn drop_guest(&mut self) -> bool {
        for index in 0..self.guests.len() {
            let Some(&Guest { id, .. }) = self.guests.get(index) else { break };
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
        let guests = self.guests.iter().filter(|guest| sessions.find(guest.id).is_some()).count();
        sessions.len() - guests
    }
}
