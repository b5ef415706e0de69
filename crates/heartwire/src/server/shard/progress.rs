//! Load shedding: how far a shard is behind, and which clients have waited too long.
//!
//! A client that has waited so long that it is about to leave gets no handshake: that work would be
//! wasted while other clients wait and become too old in turn. Otherwise reconnecting clients could
//! keep down a server that is fast enough for all of them (see
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

/// Up to which time everything that has arrived was handled. Costs no system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Clients that had connected by then were accepted.
    accepted: Instant,
    /// Bytes that they had sent by then were read too.
    read: Instant,
    /// The log says that clients are rejected.
    said: bool,
}

impl Progress {
    pub(super) const fn new(now: Instant) -> Self {
        Self { accepted: now, read: now, said: false }
    }

    /// Handles the end of a turn that began at `awake_at`. `read_all`: no session waits to be read;
    /// `accepted_all`: no client waits to be accepted.
    pub(super) fn end_turn(&mut self, awake_at: Instant, read_all: bool, accepted_all: bool) {
        if read_all {
            // Not `awake_at`: clients accepted in this turn may have waited for long, and are read
            // in the next one.
            self.read = self.accepted;
        }
        if accepted_all {
            self.accepted = awake_at;
        }
    }

    /// The maximum age of bytes that are first found in a socket at `now`.
    fn oldest(&self, now: Instant) -> Duration {
        now.saturating_since(self.read)
    }
}

impl Progress {
    fn may_be_stale(&self, now: Instant, config: &ShardConfig) -> bool {
        self.oldest(now) >= config.stale_after
    }

    /// Whether the last bytes of a client came too long ago. Asks the kernel only if that is
    /// possible.
    fn is_stale<S: Socket>(
        &self,
        session: &Session<S>,
        now: Instant,
        config: &ShardConfig,
    ) -> bool {
        let age = || session.link.stream.as_ref()?.since_last_receive().ok();
        self.may_be_stale(now, config) && age().is_some_and(|age| age >= config.stale_after)
    }

    /// Whether a client that begins a TLS handshake has waited too long and has probably left.
    /// Checked before reading, to save the cryptography.
    pub(super) fn client_has_left<W: ServerWorld>(
        &self,
        session: &mut Session<W::Socket>,
        agenda: &Agenda<W>,
    ) -> bool {
        let now = agenda.world.now();
        // An end or an error is handled elsewhere; and the socket may be empty.
        self.may_be_stale(now, &agenda.config)
            && session.link.peek().is_ok_and(|len| len > 0)
            && self.is_stale(session, now, &agenda.config)
    }

    /// Logs once that clients are rejected.
    pub(super) fn note_too_late(&mut self, shard: usize, config: &ShardConfig) {
        if !core::mem::replace(&mut self.said, true) {
            let after = config.stale_after;
            tracing::warn!(shard, ?after, "overloaded: rejecting clients that waited too long");
        }
    }
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Checks after a HELLO whether its client has left or has waited too long. If so, ends the
    /// session and returns true.
    pub(super) fn has_left(&mut self, slot: u32, now: Instant) -> bool {
        let Some((session, agenda)) = self.state.at(slot) else { return true };
        // The poller tells of an end together with the bytes before it, which saves a system call.
        let unread = if self.is_there { Ok(1) } else { session.link.peek() };
        match unread {
            Ok(0) => {}
            Err(error) if !is_passing(&error) => session.fail(error.kind()),
            Ok(_) | Err(_) => {
                // With TLS most of the work is done: it was not begun for one that had waited long.
                let is_cheap = session.link.is_secure();
                if is_cheap || !self.progress.is_stale(session, now, &agenda.config) {
                    return false;
                }
                self.progress.note_too_late(session.id.shard(), &agenda.config);
                // No retry window: the client's own back-off grows, and is random already.
                let detail = "the server is overloaded and read this too late";
                session.queue(
                    &Bye::new(ByeCode::Full, RetryHint::AtWill)
                        .detail(detail)
                        .encode_greased(session.id.as_u64()),
                );
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
        // A shard to which another one hands clients does not know when they connected.
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
