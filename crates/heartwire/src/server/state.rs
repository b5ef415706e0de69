//! What a shard holds, and what its handler can reach while it runs.

use std::collections::VecDeque;

use heartwire_core::v1::Terms;
use heartwire_core::wheel::Wheel;
use heartwire_core::{Instant, Settings};
use mio::{Registry, Token};

use super::id::SessionId;
use super::mailbox::Command;
use super::session::TlsWithin;
use super::sessions::Sessions;
use super::{CommandError, Handle};
use crate::clock;
use crate::reason::Reason;

/// The part of a shard that its handler can reach while it runs.
#[derive(Debug)]
pub(super) struct ShardState {
    pub(super) index: u8,
    pub(super) handle: Handle,
    pub(super) settings: Settings,
    pub(super) receive_mark: u32,
    pub(super) tls_within: TlsWithin,
    /// What clients that speak v1 are agreed with.
    pub(super) terms: Terms,
    /// Clients that have connected and are not in.
    pub(super) pending: usize,
    pub(super) turns: u64,
    /// Deadlines put into the wheel.
    pub(super) timers: u64,
    pub(super) registry: Registry,
    pub(super) sessions: Sessions,
    pub(super) wheel: Wheel,
    /// Sessions with bytes queued in this turn.
    pub(super) unflushed: Vec<u32>,
    /// Sessions that have ended but for their `Offline`. Their slots stay taken until then.
    pub(super) ending: VecDeque<(u32, Reason)>,
}

/// A handler that panicked takes its shard along. The sessions of that shard are gone then, and leave
/// their places to those of others.
impl Drop for ShardState {
    fn drop(&mut self) {
        let now = clock::now();
        for session in self.sessions.drain() {
            self.handle.admission().leave();
            if let Some(entered) = session.entered {
                self.handle.addresses().leave(session.peer.ip(), entered, now);
            }
        }
        for (_, next) in self.handle.names().release_shard(usize::from(self.index)) {
            if let Some(mailbox) = self.handle.mailbox(next.id.shard()) {
                // If that shard is gone too, so is the client.
                let _ = mailbox.post(Command::Welcome { id: next.id });
            }
        }
    }
}

impl ShardState {
    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(super) fn is_mine(&self, id: SessionId) -> bool {
        id.shard() == usize::from(self.index)
    }

    pub(super) fn send(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        let slot = self.live_slot(id)?;
        let len = self.handle.frame_len(data)?;
        let most = self.handle.outbound_max();
        let session = self.sessions.get_mut(slot).ok_or(CommandError::Gone)?;
        let head = session.connection.data_head(data.len()).ok_or(CommandError::TooLong)?;
        if session.queued() + len > most && !session.blocked {
            // The queue may have grown within this turn only.
            let now = clock::now();
            if let Err(error) = session.flush(&self.registry, token(slot), now) {
                session.fail(error.kind());
                let reason = session.reason_to_end(now, false);
                self.end(slot, reason);
                return Err(CommandError::Gone);
            }
        }
        if session.queued() + len > most {
            self.end(slot, Reason::SlowReader);
            return Err(CommandError::SlowReader);
        }
        session.queue(head.as_ref());
        session.queue(data);
        self.flush_later(slot);
        Ok(())
    }

    pub(super) fn kick(&mut self, id: SessionId) -> Result<(), CommandError> {
        let slot = self.live_slot(id)?;
        self.end(slot, Reason::Kicked);
        Ok(())
    }

    fn live_slot(&mut self, id: SessionId) -> Result<u32, CommandError> {
        let slot = self.sessions.slot(id).ok_or(CommandError::Gone)?;
        match self.sessions.get_mut(slot) {
            Some(session) if !session.ending && session.online => Ok(slot),
            Some(_) | None => Err(CommandError::Gone),
        }
    }

    pub(super) fn count_turn(&mut self) {
        self.turns += 1;
        self.handle.count_turns(usize::from(self.index), self.turns, self.timers);
    }

    /// Queues the beats and answers that are due, and sets the timer for the next beat: one that had to
    /// wait for the socket was due all the while, so that the timer is set for the verdict alone.
    pub(super) fn transmit(&mut self, slot: u32, now: Instant) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.is_handshaking() {
            return;
        }
        if session.blocked {
            // What is queued will show that we live, as soon as the peer takes it. (A beat that says or
            // asks what nothing else does stays due until then.)
            session.connection.handle_sent(now);
            self.arm(slot);
            return;
        }
        let mut any = false;
        while let Some(bytes) = session.connection.poll_transmit(now) {
            session.queue(bytes.as_ref());
            any = true;
        }
        if any {
            self.flush_later(slot);
            self.arm(slot);
        }
    }

    pub(super) fn flush_later(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if !session.unflushed && !session.blocked {
            session.unflushed = true;
            self.unflushed.push(slot);
        }
    }

    /// Ends a session: nothing more happens to it, and its `Offline` comes when its turn is over.
    pub(super) fn end(&mut self, slot: u32, reason: Reason) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.ending {
            return;
        }
        session.ending = true;
        if !session.online {
            self.pending = self.pending.saturating_sub(1);
        }
        self.wheel.remove(slot);
        self.ending.push_back((slot, reason));
    }

    /// Sets the session's timer, unless it is set for an earlier time. (One that is set for the same
    /// time is set again, because the wheel has rounded it up. That happens within frames only.)
    pub(super) fn arm(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        if session.ending {
            return;
        }
        let tls = session.tls_deadline(self.tls_within);
        let own = session.connection.poll_timeout().filter(|_| !session.is_handshaking());
        if let Some(deadline) = [tls, own].into_iter().flatten().min() {
            if self.wheel.armed(slot).is_none_or(|armed| deadline < armed) {
                self.wheel.insert(slot, deadline);
                self.timers += 1;
            }
        }
    }
}

/// What the poller calls a session: its slot.
pub(super) fn token(slot: u32) -> Token {
    Token(usize::try_from(slot).unwrap_or(usize::MAX))
}
