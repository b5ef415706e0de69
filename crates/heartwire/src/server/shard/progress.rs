//! How far a shard has come with what has arrived, and who has waited too long for it.
//!
//! Whoever has waited so long that it is about to leave gets no handshake: the work would be done
//! for nobody, while others wait and grow old in their turn. That is how a server which is fast
//! enough for everybody can be kept down by those who come back (see
//! `docs/adr/0011-stale-handshakes-are-rejected.md`).

use core::time::Duration;
use std::io;

use heartwire_core::Instant;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};

use super::{Reported, Shard, ShardConfig};
use crate::reason::Reason;
use crate::server::agenda::Agenda;
use crate::server::handler::Handler;
use crate::server::session::Session;
use crate::world::{ServerWorld, Socket};

/// Up to when everything that has arrived has been dealt with. Costs no call of the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Clients that had come by then have been accepted.
    accepted: Instant,
    /// What they had said by then has been read too.
    read: Instant,
    /// The log says that some are rejected.
    said: bool,
}

impl Progress {
    pub(super) const fn new(now: Instant) -> Self {
        Self { accepted: now, read: now, said: false }
    }

    /// A turn that began at `awake_at` is over. `read_all`: nobody has to wait for the next one to
    /// be read; `accepted_all`: nor to be accepted.
    pub(super) fn end_turn(&mut self, awake_at: Instant, read_all: bool, accepted_all: bool) {
        if read_all {
            // Not `awake_at`: what was accepted in this turn may have waited for long, and is read
            // in the next one.
            self.read = self.accepted;
        }
        if accepted_all {
            self.accepted = awake_at;
        }
    }

    /// Nothing that is found in a socket at `now` for the first time has been there for longer.
    fn oldest(&self, now: Instant) -> Duration {
        now.saturating_since(self.read)
    }
}

impl Progress {
    fn may_be_stale(&self, now: Instant, config: &ShardConfig) -> bool {
        self.oldest(now) >= config.stale_after
    }

    /// Whether the last bytes of a client came too long ago. The kernel is asked only if that can
    /// be.
    fn is_stale(&self, socket: &impl Socket, now: Instant, config: &ShardConfig) -> bool {
        let age = || socket.since_last_receive().ok();
        self.may_be_stale(now, config) && age().is_some_and(|age| age >= config.stale_after)
    }

    /// Whether a client that has begun a handshake of TLS has waited too long for it, before what
    /// came is read: no cipher is computed for nothing.
    pub(super) fn client_has_left<W: ServerWorld>(
        &self,
        session: &mut Session<W::Socket>,
        agenda: &Agenda<W>,
    ) -> bool {
        let now = agenda.world.now();
        // The end, and errors, are found where they are looked for; but there may be nothing at
        // all.
        self.may_be_stale(now, &agenda.config)
            && session.link.stream.peek().is_ok_and(|len| len > 0)
            && self.is_stale(&session.link.stream, now, &agenda.config)
    }

    /// Says, once, that some are rejected.
    pub(super) fn note_too_late(&mut self, shard: usize, config: &ShardConfig) {
        if !core::mem::replace(&mut self.said, true) {
            let after = config.stale_after;
            tracing::warn!(shard, ?after, "behind: rejecting those who have waited too long");
        }
    }
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// A HELLO has come. Whether its client has left, or has waited too long for this; if so, it is
    /// gone.
    pub(super) fn has_left(&mut self, slot: u32, now: Instant) -> bool {
        let Some((session, agenda)) = self.state.at(slot) else { return true };
        match session.link.stream.peek() {
            Ok(0) => {}
            Err(error) if !is_passing(&error) => session.fail(error.kind()),
            Ok(_) | Err(_) => {
                if !self.progress.is_stale(&session.link.stream, now, &agenda.config) {
                    return false;
                }
                self.progress.note_too_late(session.id.shard(), &agenda.config);
                // Not before its own backoff says so: that grows, and is spread already.
                let detail = "the server is behind, and got round to this too late";
                session.queue(&Bye::new(ByeCode::Full, RetryHint::AtWill).detail(detail).encode());
                agenda.end(session, Reason::Rejected(ByeCode::Full));
                return true;
            }
        }
        agenda.end(session, session.link.reason_to_end(now, false));
        true
    }

    pub(super) fn end_progress(&mut self) {
        if self.told == Reported::Nothing {
            return;
        }
        let Agenda { unread, unread_newcomers, config, .. } = &self.state.agenda;
        let read_all =
            self.told == Reported::All && unread.is_empty() && unread_newcomers.is_empty();
        // A shard that is handed its clients does not know when they came.
        let accepted_all = self
            .listener
            .as_ref()
            .is_some_and(|listener| listener.next_try(self.awake_at).is_none());
        self.progress.end_turn(self.awake_at, read_all, accepted_all);
        self.progress.said &= self.progress.may_be_stale(self.awake_at, config);
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
