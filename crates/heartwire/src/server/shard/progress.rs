//! How far a shard has come with what has arrived, and who has waited too long for it.
//!
//! Whoever has waited so long that it is about to leave gets no handshake: the work would be done for
//! nobody, while others wait and grow old in their turn. That is how a server which is fast enough for
//! everybody can be kept down by those who come back (see `docs/adr/0011-nobody-is-served-too-late.md`).

use core::time::Duration;
use std::io;

use heartwire_core::Instant;
use heartwire_core::v1::{Bye, ByeCode, Retry};

use super::{Shard, Told};
use crate::reason::Reason;
use crate::server::handler::Handler;
use crate::world::{ServerWorld, Socket};

/// Up to when everything that has arrived has been dealt with. Costs no call of the system.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Clients that had come by then have been accepted.
    accepted: Instant,
    /// What they had said by then has been read too.
    read: Instant,
    /// The log says that some are turned away.
    said: bool,
}

impl Progress {
    pub(super) const fn new(now: Instant) -> Self {
        Self { accepted: now, read: now, said: false }
    }

    /// A turn that began at `awake_at` is over. `read_all`: nobody has to wait for the next one to be
    /// read; `accepted_all`: nor to be accepted.
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

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// A HELLO has come. Whether its client has left, or has waited too long for this; if so, it is gone.
    pub(super) fn is_in_vain(&mut self, slot: u32, now: Instant) -> bool {
        let Some(session) = self.state.sessions.get_mut(slot) else { return true };
        match session.stream.peek() {
            Ok(0) => {}
            Err(error) if !is_passing(&error) => session.fail(error.kind()),
            Ok(_) | Err(_) => return self.is_stale(slot, now) && self.say_too_late(slot),
        }
        let reason = session.reason_to_end(now, false);
        self.state.end(slot, reason);
        true
    }

    /// The same for the handshake of TLS, before what came is read: no cipher is computed for nobody. (Who
    /// speaks v0 waits for ever, so they are all served where everybody does.)
    pub(super) fn is_tls_in_vain(&mut self, slot: u32) -> bool {
        let now = self.state.world.now();
        if self.state.config.online_at_once || !self.may_be_stale(now) {
            return false;
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return true };
        // The end, and errors, are found where they are looked for; but there may be nothing at all.
        if !session.stream.peek().is_ok_and(|len| len > 0) || !self.is_stale(slot, now) {
            return false;
        }
        self.note_too_late();
        self.state.end(slot, Reason::TurnedAway(ByeCode::Full));
        true
    }

    fn may_be_stale(&self, now: Instant) -> bool {
        self.progress.oldest(now) >= self.state.config.stale_after
    }

    /// Whether the last bytes of a client came too long ago. The kernel is asked only if that can be.
    fn is_stale(&mut self, slot: u32, now: Instant) -> bool {
        if !self.may_be_stale(now) {
            return false;
        }
        let Some(session) = self.state.sessions.get_mut(slot) else { return false };
        age(&session.stream).is_some_and(|age| age >= self.state.config.stale_after)
    }

    fn say_too_late(&mut self, slot: u32) -> bool {
        self.note_too_late();
        let Some(session) = self.state.sessions.get_mut(slot) else { return true };
        // Not before its own backoff says so: that grows, and is spread already.
        let detail = "the server is behind, and got round to this too late";
        session.queue(&Bye::new(ByeCode::Full, Retry::AtWill).detail(detail).encode());
        self.state.end(slot, Reason::TurnedAway(ByeCode::Full));
        true
    }

    fn note_too_late(&mut self) {
        if !core::mem::replace(&mut self.progress.said, true) {
            let (shard, after) = (self.state.index, self.state.config.stale_after);
            tracing::warn!(shard, ?after, "behind: turning away those who have waited too long");
        }
    }

    pub(super) fn end_progress(&mut self) {
        if self.told == Told::Nothing {
            return;
        }
        let read_all =
            self.told == Told::All && self.unread.is_empty() && self.unread_newcomers.is_empty();
        // A shard that is handed its clients does not know when they came.
        let accepted_all = self
            .listener
            .as_ref()
            .is_some_and(|listener| listener.next_try(self.awake_at).is_none());
        self.progress.end_turn(self.awake_at, read_all, accepted_all);
        self.progress.said &= self.may_be_stale(self.awake_at);
    }
}

/// Since when the last bytes of a client have been here, as far as the system knows.
fn age(stream: &impl Socket) -> Option<Duration> {
    stream.since_last_receive().ok()
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
