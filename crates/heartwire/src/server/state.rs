//! What a shard holds, and what its handler can reach while it runs.

use std::collections::VecDeque;
use std::sync::Arc;

use heartwire_core::Instant;
use heartwire_core::order::Next;
use heartwire_core::wheel::Wheel;

use super::handler::Commands;
use super::id::SessionId;
use super::mailbox::Command;
use super::session::Session;
use super::sessions::Sessions;
use super::shard::ShardConfig;
use super::{CommandError, Handle};
use crate::reason::Reason;
use crate::world::ServerWorld;

/// The part of a shard that its handler can reach while it runs.
#[derive(Debug)]
pub(super) struct ShardState<W: ServerWorld> {
    pub(super) index: u8,
    pub(super) handle: Handle,
    pub(super) config: Arc<ShardConfig>,
    /// Clients that have connected and are not in.
    pub(super) pending: usize,
    pub(super) turns: u64,
    /// Deadlines put into the wheel.
    pub(super) timers: u64,
    pub(super) world: W,
    pub(super) sessions: Sessions<W::Socket>,
    pub(super) wheel: Wheel,
    pub(super) held: Held,
    /// Sessions with bytes queued in this turn.
    pub(super) unflushed: Vec<u32>,
    /// Sessions that have ended but for their `Offline`. Their slots stay taken until then.
    pub(super) ending: VecDeque<(u32, Reason)>,
}

/// The bytes that a shard holds for its sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) all: Account,
    /// Those for clients that are not in.
    pub(super) pending: Account,
}

/// So many bytes, of so many that may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) bytes: usize,
    pub(super) max: usize,
}

impl Account {
    pub(super) const fn new(max: usize) -> Self {
        Self { bytes: 0, max }
    }

    const fn is_over(self) -> bool {
        self.bytes > self.max
    }

    fn count(&mut self, before: u32, now: u32) {
        let as_usize = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        self.bytes = self.bytes.saturating_sub(as_usize(before)).saturating_add(as_usize(now));
    }
}

/// A handler that panicked takes its shard along. The sessions of that shard are gone then, and leave
/// their places to those of others.
impl<W: ServerWorld> Drop for ShardState<W> {
    fn drop(&mut self) {
        let now = self.world.now();
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

impl<W: ServerWorld> Commands for ShardState<W> {
    fn handle(&self) -> &Handle {
        &self.handle
    }

    fn is_mine(&self, id: SessionId) -> bool {
        id.shard() == usize::from(self.index)
    }

    fn send(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        let slot = self.live_slot(id)?;
        let len = self.handle.frame_len(data)?;
        let most = self.handle.outbound_max();
        let session = self.sessions.get_mut(slot).ok_or(CommandError::Gone)?;
        let head = session.connection.data_head(data.len()).ok_or(CommandError::TooLong)?;
        if session.queued() + len > most && !session.blocked {
            // The queue may have grown within this turn only.
            let now = self.world.now();
            if let Err(error) = session.flush(&mut self.world, slot, now) {
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
        self.count_held(slot);
        match self.live_slot(id) {
            Ok(_) => Ok(()),
            Err(_) => Err(CommandError::SlowReader),
        }
    }

    fn kick(&mut self, id: SessionId) -> Result<(), CommandError> {
        let slot = self.live_slot(id)?;
        self.end(slot, Reason::Kicked);
        Ok(())
    }
}

impl<W: ServerWorld> ShardState<W> {
    /// Counts the bytes that are held for a session, after a change. When there are too many for all, those
    /// sessions end for which most are held.
    pub(super) fn count_held(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let now = session.held();
        let before = core::mem::replace(&mut session.held, now);
        let is_pending = !session.online;
        if now == before {
            return;
        }
        self.held.all.count(before, now);
        if is_pending {
            self.held.pending.count(before, now);
        }
        if now > before && (self.held.all.is_over() || self.held.pending.is_over()) {
            self.hold_less();
        }
    }

    /// A session that was pending is in.
    pub(super) fn let_in(&mut self, slot: u32) {
        let Some(session) = self.sessions.get_mut(slot) else { return };
        session.online = true;
        self.held.pending.count(session.held, 0);
        self.pending = self.pending.saturating_sub(1);
    }

    /// Takes out a session that has ended.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Session<W::Socket>> {
        let session = self.sessions.remove(slot)?;
        self.held.all.count(session.held, 0);
        if !session.online {
            self.held.pending.count(session.held, 0);
        }
        Some(session)
    }

    /// Ends sessions, those first for which most bytes are held, until a quarter is free again. Before the next
    /// time as many bytes have to come, so that looking at all sessions is done for very few of them.
    fn hold_less(&mut self) {
        let of_all = self.held.all.is_over();
        let holds = |session: &Session<W::Socket>| session.held > 0 && (of_all || !session.online);
        let holders = self.sessions.iter().filter(|(_, session)| holds(session));
        let mut holders: Vec<_> = holders.map(|(id, session)| (session.held, id.slot())).collect();
        holders.sort_unstable_by(|a, b| b.cmp(a));
        let Account { bytes, max } = if of_all { self.held.all } else { self.held.pending };
        let too_many = bytes.saturating_sub(max - max / 4);
        let (mut freed, mut ended) = (0_usize, 0_usize);
        for (held, slot) in holders {
            if freed >= too_many {
                break;
            }
            let Some(session) = self.sessions.get_mut(slot) else { continue };
            if let Some(parting) = session.parting_mut() {
                // It has ended, and its client has not taken what there is for it.
                let now = self.world.now();
                parting.until = now;
                self.wheel.insert(slot, now);
            } else if session.ending {
                continue;
            } else {
                session.drop_held();
                self.end(slot, Reason::HeldMost);
                self.count_held(slot);
            }
            freed = freed.saturating_add(usize::try_from(held).unwrap_or(usize::MAX));
            ended += 1;
        }
        let shard = self.index;
        let whom = if of_all { "all sessions" } else { "clients that are not in" };
        tracing::warn!(
            shard,
            max,
            ended,
            "too many bytes were held for {whom}: those had to go for which most were held"
        );
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
        let Some(session) = self.live(slot) else { return };
        if session.is_handshaking() {
            return;
        }
        let is_blocked = session.blocked;
        let next = session.poll(now);
        let writes = matches!(next, Next::Write(_));
        if let Next::ReadFirst(_) = self.write_beats(slot, next, now) {
            // A verdict, and a beat that says what has been heard, come in their turn.
            self.arm_for(slot, now);
        } else if writes || is_blocked {
            self.arm(slot);
        }
    }

    /// Queues the beats and answers that a connection has to write. Returns what it has to do then.
    pub(super) fn write_beats(&mut self, slot: u32, mut next: Next, now: Instant) -> Next {
        while let Next::Write(bytes) = &next {
            let Some(session) = self.live(slot) else { break };
            session.queue_first(bytes.as_ref());
            next = session.poll(now);
            self.flush_later(slot);
        }
        next
    }

    /// A session that has not ended.
    pub(super) fn live(&mut self, slot: u32) -> Option<&mut Session<W::Socket>> {
        self.sessions.get_mut(slot).filter(|session| !session.ending)
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
        let tls = session.tls_deadline(self.config.tls_within);
        let own = session.connection.poll_timeout().filter(|_| !session.is_handshaking());
        if let Some(deadline) = [tls, own].into_iter().flatten().min() {
            self.arm_for(slot, deadline);
        }
    }

    fn arm_for(&mut self, slot: u32, deadline: Instant) {
        if self.wheel.armed(slot).is_none_or(|armed| deadline < armed) {
            self.wheel.insert(slot, deadline);
            self.timers += 1;
        }
    }
}
