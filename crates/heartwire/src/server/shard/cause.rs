//! Ends sessions for a cause that is outside of their connections: their tokens.

use heartwire_core::v1::{ByeCode, RetryHint};

use super::Shard;
use super::handshake::reject;
use crate::reason::{Credential, Reason};
use crate::server::admission::Ended;
use crate::server::grants::Grant;
use crate::server::handler::Handler;
use crate::world::ServerWorld;

/// Maximum number of slots that one turn looks at. For each session with a token for all clients
/// its name is hashed again, which is most of the 0.3 µs that a look takes.
const LOOKS_PER_TURN: usize = 512;

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Begins to look at all sessions if the tokens have changed.
    pub(super) fn notice_changes(&mut self) {
        let changes = self.state.handle.changes();
        self.state.agenda.grants.notice_changes(changes);
    }

    /// Ends sessions whose token is not valid any more, among the next ones to look at.
    pub(super) fn end_for_cause(&mut self) {
        let agenda = &mut self.state.agenda;
        if !agenda.grants.is_due(self.awake_at) {
            return;
        }
        let (now, wall) = (agenda.world.now(), agenda.world.wall_secs());
        let mut most = LOOKS_PER_TURN;
        while let Some(slot) = self.state.agenda.grants.next(&mut most, now, wall) {
            self.look_at(slot, wall);
        }
    }

    /// Ends the session in this slot if its token is not valid any more.
    pub(super) fn look_at(&mut self, slot: u32, wall: u64) {
        let handle = self.state.handle.clone();
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let Grant { token, mut until } = agenda.grants.get(slot);
        if let (Some(tokens), Some(token)) = (handle.tokens(), token) {
            let name = session.identity().map(|identity| &*identity.name);
            until = match tokens.check_again(token, name, wall) {
                Ok(until) => until,
                Err(ended) => return self.end_for(slot, ended),
            };
        }
        agenda.grants.keep_until(slot, until);
    }

    fn end_for(&mut self, slot: u32, ended: Ended) {
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let reason = match ended {
            Ended::Revoked => Reason::Revoked(Credential::Token),
            Ended::Expired => Reason::Expired(Credential::Token),
        };
        if session.phase().is_known() {
            tracing::info!(session = %session.id, peer = %session.link.peer(), "ended: {reason}");
            return agenda.end(session, reason);
        }
        // It waits for its name, and is told what it would be told if it came now.
        let detail = reason.to_string();
        reject(session, agenda, ByeCode::Unauthorized, RetryHint::Never, &detail);
    }
}
