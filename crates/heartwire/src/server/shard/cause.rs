//! Ends sessions for a cause that is outside of their connections: their tokens, their
//! certificates, and their age.

use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::v1::{ByeCode, RetryHint};

use super::Shard;
use super::handshake::reject;
use crate::reason::{Credential, Reason};
use crate::server::admission::Ended;
use crate::server::grants::Grant;
use crate::server::handler::Handler;
use crate::server::session::Standing;
use crate::world::ServerWorld;

/// Maximum number of slots that one turn looks at. For each session with a token for all clients
/// its name is hashed again: a look takes 0.15 µs (measured), so all of them less than 0.1 ms.
const LOOKS_PER_TURN: usize = 512;

/// How long one turn verifies certificates. With ECDSA keys one takes 50 µs, and 90 µs with a
/// revocation list (measured).
const VERIFY_WITHIN: Duration = Duration::from_micros(500);

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Begins to look at all sessions if the tokens, or the settings of TLS, have changed.
    pub(super) fn notice_changes(&mut self) {
        let changes = self.state.handle.changes();
        self.state.agenda.grants.notice_changes(changes);
    }

    /// Ends sessions whose token or certificate is not valid any more, among the next ones to look
    /// at.
    pub(super) fn end_for_cause(&mut self) {
        let agenda = &mut self.state.agenda;
        if !agenda.grants.is_due(self.awake_at) {
            return;
        }
        let (now, wall) = (agenda.world.now(), agenda.world.wall_secs());
        let verifies = agenda.grants.verifies();
        let mut most = LOOKS_PER_TURN;
        while let Some(slot) = self.state.agenda.grants.next(&mut most, now, wall) {
            self.look_at(slot, wall, verifies);
            let looked_for = || self.state.agenda.world.now().saturating_since(now);
            if verifies && looked_for() >= VERIFY_WITHIN {
                return;
            }
        }
    }

    /// Keeps when the certificate of a client expires, which has ended its TLS handshake. If the
    /// settings of TLS have changed since that began, verifies it again.
    pub(super) fn note_certificate(&mut self, slot: u32) {
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let Some(tls) = session.link.tls() else { return };
        let certificate = tls.certificate_until();
        if certificate.is_none() {
            return;
        }
        let (now, wall) = (agenda.world.now(), agenda.world.wall_secs());
        agenda.grants.set(slot, Grant { certificate, ..Grant::NONE }, now, wall);
        self.look_again(slot);
    }

    /// Looks at a client once more, at its certificate only if the settings of TLS have changed
    /// since its handshake began.
    pub(super) fn look_again(&mut self, slot: u32) {
        let handle = self.state.handle.clone();
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let tls = session.link.tls().zip(handle.tls());
        let is_outdated = tls.is_some_and(|(tls, settings)| tls.is_outdated(settings));
        let wall = agenda.world.wall_secs();
        self.look_at(slot, wall, is_outdated);
    }

    /// Ends the session in this slot if its token, or its certificate, is not valid any more.
    fn look_at(&mut self, slot: u32, wall: u64, verifies: bool) {
        let handle = self.state.handle.clone();
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let Grant { token, mut until, certificate } = agenda.grants.get(slot);
        if let (Some(tokens), Some(token)) = (handle.tokens(), token) {
            let name = session.identity().map(|identity| &*identity.name);
            until = match tokens.check_again(token, name, wall) {
                Ok(until) => until,
                Err(ended) => return self.end_for(slot, Credential::Token, ended),
            };
        }
        if certificate.is_some_and(|certificate| certificate.is_over(wall)) {
            return self.end_for(slot, Credential::Certificate, Ended::Expired);
        }
        // A session that is away has none to verify: its client needs a valid one to come back.
        if let (Some(tls), Some(settings)) = (session.link.tls(), handle.tls()) {
            if verifies && certificate.is_some() {
                if let Err(ended) = tls.check_again(settings, wall) {
                    return self.end_for(slot, Credential::Certificate, ended);
                }
            }
        }
        agenda.grants.keep_until(slot, until);
    }

    /// Ends a session that has reached its greatest age, when nothing is under way, or when it had
    /// the time of a drain and an interval for that. Returns whether nothing else is to be judged.
    pub(super) fn judge_age(&mut self, slot: u32, now: Instant) -> bool {
        let Some(too_old_at) = self.too_old_at(slot, now) else { return false };
        // What has come is delivered first.
        self.read_first(slot);
        let Some((session, _)) = self.state.live(slot) else { return true };
        if session.is_away() {
            return true;
        }
        // Its beats carry what the client has taken over.
        let contract = session.link.connection.contract();
        let interval = contract.and_then(|contract| contract.to_server.interval());
        let within = self.state.handle.drain().saturating_add(interval.unwrap_or_default());
        let until = too_old_at.saturating_add(within);
        let Some((session, agenda)) = self.state.live(slot) else { return true };
        if now < until && session.has_under_way() {
            return false;
        }
        agenda.end(session, Reason::MaxAge);
        true
    }

    /// When a session had reached its greatest age, if it has. A client that waits to be accepted
    /// has deadlines of its own, and a drain ends all sessions.
    fn too_old_at(&mut self, slot: u32, now: Instant) -> Option<Instant> {
        let is_draining = self.drained_by.is_some();
        let (session, agenda) = self.state.live(slot)?;
        let at = agenda.too_old_at(session).filter(|&at| at <= now)?;
        agenda.judged_at = agenda.judged_at.max(now);
        (session.phase().is_known() && !is_draining).then_some(at)
    }

    fn end_for(&mut self, slot: u32, what: Credential, ended: Ended) {
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let reason = match ended {
            Ended::Revoked => Reason::Revoked(what),
            Ended::Expired => Reason::Expired(what),
        };
        if session.phase().standing() == Standing::Waiting {
            // It waits for its name, and is told what it would be told if it came now.
            let detail = reason.to_string();
            return reject(session, agenda, ByeCode::Unauthorized, RetryHint::Never, &detail);
        }
        tracing::info!(session = %session.id, peer = %session.link.peer(), "ended: {reason}");
        agenda.end(session, reason);
    }
}
