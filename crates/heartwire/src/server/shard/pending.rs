//! Pending clients, which have connected and are not accepted yet.

use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::v1::{ByeCode, RetryHint};

use super::Shard;
use super::handshake::reject;
use crate::reason::Reason;
use crate::server::event::{Agreed, Event};
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::session::Standing;
use crate::world::ServerWorld;

/// The list of pending clients is cleaned when it has this many entries more than twice the pending
/// clients.
const PENDING_SLACK: usize = 1024;

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Adds a pending client, which has to send its first frame. If there are too many, drops those
    /// that have waited longest.
    pub(super) fn expect_first_frame(&mut self, id: SessionId) {
        self.state.agenda.pending += 1;
        self.pending.push_back(id);
        while self.state.agenda.pending > self.state.agenda.config.max_pending
            && self.reject_longest_waiting(self.awake_at, Duration::ZERO)
        {}
        if self.pending.len() > 2 * self.state.agenda.pending + PENDING_SLACK {
            let sessions = &mut self.state.sessions;
            self.pending.retain(|&id| {
                sessions.find(id).is_some_and(|session| session.phase().is_pending())
            });
        }
    }

    /// Rejects the pending client that has waited longest, if it has waited for `least` or longer.
    pub(super) fn reject_longest_waiting(&mut self, now: Instant, least: Duration) -> bool {
        while let Some(oldest) = self.pending.pop_front() {
            let Some((session, agenda)) = self.state.find(oldest) else { continue };
            if !session.phase().is_pending() {
                continue;
            }
            if now.saturating_since(session.since) < least {
                self.pending.push_front(oldest);
                return false;
            }
            if session.phase().standing() == Standing::Waiting {
                let detail = "too many clients are waiting";
                reject(session, agenda, ByeCode::Full, RetryHint::AtWill, detail);
            } else {
                agenda.end(session, Reason::Rejected(ByeCode::Full));
            }
            return true;
        }
        false
    }

    /// Brings a client online, and reports it to the application.
    pub(super) fn go_online(&mut self, slot: u32, agreed: Option<Box<Agreed>>) {
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let (id, peer) = (session.id, session.link.peer());
        agenda.let_in(session);
        self.tell(Event::Online { id, peer, agreed });
    }
}
