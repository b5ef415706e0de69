//! The state of a shard that its handler can use.

use std::sync::Arc;

use heartwire_core::Transmit;
use heartwire_core::resume::Ledger;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};

use super::agenda::{Account, Agenda};
use super::handler::Commands;
use super::id::SessionId;
use super::link::Cut;
use super::mailbox::Command;
use super::receipts::{Receipt, Receipts};
use super::sender::Room;
use super::session::{Phase, Session};
use super::sessions::Sessions;
use super::stats::{Counters, ShardCounters, ShardHeld};
use super::{CommandError, Handle};
use crate::reason::Reason;
use crate::world::{ServerWorld, Socket as _};

/// The part of a shard that its handler can use while it runs.
#[derive(Debug)]
pub(super) struct ShardState<W: ServerWorld> {
    pub(super) index: u8,
    pub(super) handle: Handle,
    pub(super) sessions: Sessions<W::Socket>,
    pub(super) agenda: Agenda<W>,
    pub(super) turns: u64,
    /// What the application has taken out of a channel.
    pub(super) receipts: Arc<Receipts>,
    /// The data that the handler is being told of, of a session that can be resumed.
    pub(super) untaken: Option<Untaken>,
}

/// Data that the application has not taken over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Untaken {
    pub(super) id: SessionId,
    /// Of the frame.
    pub(super) len: usize,
    /// The shard has to know when so many bytes were taken over.
    pub(super) wake_at: u32,
}

/// A handler that panics ends its shard. Its sessions are gone then, and free their places and
/// names.
impl<W: ServerWorld> Drop for ShardState<W> {
    fn drop(&mut self) {
        let now = self.agenda.world.now();
        for mut session in self.sessions.drain() {
            let peer = session.link.peer();
            if let Some((peer, place)) = session.leave_away() {
                self.handle.away_count().leave(peer, place, now);
            }
            if let Some(entered) = session.link.entered {
                self.handle.places().leave();
                self.handle.addresses().leave(peer.ip(), entered, now);
            }
        }
        for (_, next) in self.handle.names().release_shard(usize::from(self.index)) {
            if let Some(mailbox) = self.handle.mailbox(next.id.shard()) {
                // If that shard is gone too, its client is as well.
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
        let Self { handle, sessions, agenda, .. } = self;
        let session = sessions.find(id).filter(|session| session.phase().is_online());
        let session = session.ok_or(CommandError::Gone)?;
        if session.is_resumable() {
            return self.send_resumable(id, data);
        }
        let len = handle.frame_len(data)?;
        let most = handle.max_queue();
        let header =
            session.link.connection.data_header(data.len()).ok_or(CommandError::TooLong)?;
        if len > most {
            return Err(CommandError::TooLong);
        }
        if session.queued() + len > most && !session.link.blocked {
            // The queue may only have grown within this turn.
            let now = agenda.world.now();
            if let Err(error) = session.flush(&mut agenda.world, now) {
                session.fail(error.kind());
                // Bytes that the client sent before it went can still be read.
                agenda.read_later(session);
                return Err(CommandError::Gone);
            }
        }
        if session.queued() + len > most {
            agenda.end(session, Reason::SlowReader);
            return Err(CommandError::SlowReader);
        }
        session.queue(header.as_ref());
        session.queue(data);
        agenda.flush_later(session);
        if agenda.count_held(session) {
            self.hold_less();
            // It may have been ended as one of the largest.
            let session = self.sessions.find(id);
            if session.is_none_or(|session| session.phase().has_ended()) {
                return Err(CommandError::SlowReader);
            }
        }
        Ok(())
    }

    fn end(&mut self, id: SessionId) -> Result<(), CommandError> {
        let session = self.sessions.find(id).filter(|session| session.phase().is_online());
        let session = session.ok_or(CommandError::Gone)?;
        if !session.is_resumable() {
            return Err(CommandError::NotResumable);
        }
        if !session.queue_end() {
            return Err(CommandError::Ended);
        }
        self.agenda.flush_later(session);
        Ok(())
    }

    fn receipt(&mut self) -> Option<Receipt> {
        let Untaken { id, len, wake_at } = self.untaken.take()?;
        let wake_at = usize::try_from(wake_at).unwrap_or(usize::MAX);
        let receipts = Arc::clone(&self.receipts);
        Some(Receipt { receipts, id, frame_len: len, wake_at })
    }

    fn kick(&mut self, id: SessionId, retry: RetryHint, detail: &str) -> Result<(), CommandError> {
        let session = self.sessions.find(id).filter(|session| session.phase().is_online());
        let session = session.ok_or(CommandError::Gone)?;
        if session.understands_bye() {
            let bye = Bye::new(ByeCode::Kicked, retry).detail(detail);
            session.queue(&bye.taken(session.final_position()).encode_greased(id.as_u64()));
        }
        if retry == RetryHint::Never {
            // A client that is away gets the BYE when it comes back.
            session.ban();
        }
        self.agenda.end(session, Reason::Kicked);
        Ok(())
    }
}

impl<W: ServerWorld> ShardState<W> {
    /// Sends to a session that can be resumed, as far as its window allows.
    fn send_resumable(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        let header = self.resumable_header(id, data)?;
        let Self { sessions, agenda, .. } = self;
        let session = sessions.find(id).ok_or(CommandError::Gone)?;
        let len = header.as_ref().len() + data.len();
        if !session.count_queued(len) {
            return Err(CommandError::Full);
        }
        session.queue(header.as_ref());
        session.queue(data);
        agenda.flush_later(session);
        let is_away = session.is_away();
        if agenda.count_held(session) {
            self.hold_less();
            // It may have been ended as one of the largest.
            let session = self.sessions.find(id);
            if session.is_none_or(|session| session.phase().has_ended()) && !is_away {
                return Err(CommandError::SlowReader);
            }
        }
        Ok(())
    }

    /// The header of a frame for a session that can be resumed, if it may ever be sent.
    fn resumable_header(&mut self, id: SessionId, data: &[u8]) -> Result<Transmit, CommandError> {
        let session = self.sessions.find(id).filter(|session| session.phase().is_online());
        let session = session.ok_or(CommandError::Gone)?;
        if session.has_ended_sending() {
            return Err(CommandError::Ended);
        }
        let header = session.link.connection.data_header(data.len());
        let longest = session.ledger().map_or(0, Ledger::longest_frame);
        let fits = |header: &Transmit| {
            u32::try_from(header.as_ref().len() + data.len()).is_ok_and(|len| len <= longest)
        };
        header.filter(fits).ok_or(CommandError::TooLong)
    }

    /// Sends data of a sender that waits for room.
    pub(super) fn send_when_room(&mut self, id: SessionId, data: &[u8], room: Room) {
        let is_behind = self.sessions.find(id).is_some_and(|session| session.has_waiting());
        let sent = if is_behind { Err(CommandError::Full) } else { self.send(id, data) };
        let sent = match sent {
            Err(CommandError::Full) => self.resumable_header(id, data),
            Err(error) => Err(error),
            Ok(()) => return,
        };
        let Some(session) = self.sessions.find(id) else { return room.close() };
        match sent {
            Ok(header) => {
                session.keep_waiting([header.as_ref(), data].concat(), room);
                self.count_held(id.slot());
            }
            Err(error) => {
                tracing::debug!(session = %id, %error, "a frame was not sent");
                room.close();
                // What follows it would leave a gap.
                self.agenda.end(session, Reason::Overflow);
            }
        }
    }

    /// A session that is not closed, and the agenda.
    pub(super) fn at(&mut self, slot: u32) -> Option<(&mut Session<W::Socket>, &mut Agenda<W>)> {
        Some((self.sessions.get_mut(slot)?, &mut self.agenda))
    }

    /// A session that has not ended, and the agenda.
    pub(super) fn live(&mut self, slot: u32) -> Option<(&mut Session<W::Socket>, &mut Agenda<W>)> {
        self.at(slot).filter(|(session, _)| !session.phase().has_ended())
    }

    /// A session that is not closed, by its id.
    pub(super) fn find(
        &mut self,
        id: SessionId,
    ) -> Option<(&mut Session<W::Socket>, &mut Agenda<W>)> {
        Some((self.sessions.find(id)?, &mut self.agenda))
    }

    /// Counts a session's buffered bytes after a change. If all sessions together exceed the
    /// maximum, the largest ones end.
    pub(super) fn count_held(&mut self, slot: u32) {
        if self.at(slot).is_some_and(|(session, agenda)| agenda.count_held(session)) {
            self.hold_less();
        }
    }

    /// Ends sessions, the largest first, until a quarter is free again. It takes as many new bytes
    /// before it runs again, so visiting all sessions is rare.
    fn hold_less(&mut self) {
        let held = self.agenda.held;
        let of_all = held.all.is_over();
        let Account { bytes, max } = if of_all { held.all } else { held.pending };
        let holds = |session: &&Session<W::Socket>| {
            session.held > 0
                && if of_all { !session.is_away() } else { !session.phase().is_known() }
        };
        let holders = self.sessions.iter().filter(holds);
        let mut holders: Vec<_> = holders.map(|session| (session.held, session.slot())).collect();
        holders.sort_unstable_by(|a, b| b.cmp(a));
        let too_many = bytes.saturating_sub(max - max / 4);
        let (mut freed, mut ended) = (0_usize, 0_usize);
        for (held, slot) in holders {
            if freed >= too_many {
                break;
            }
            let Some((session, agenda)) = self.at(slot) else { continue };
            match session.phase() {
                Phase::Live(_) => {
                    session.drop_held();
                    agenda.end(session, Reason::MostBuffered);
                    // The count has fallen, so there is nothing else to do.
                    let _ = agenda.count_held(session);
                }
                Phase::Ended(_) => continue,
                // Its client has not taken its last bytes.
                Phase::Parting(_) => agenda.end_parting_now(session),
            }
            freed = freed.saturating_add(usize::try_from(held).unwrap_or(usize::MAX));
            ended += 1;
        }
        let shard = self.index;
        let whom = if of_all { "all sessions" } else { "pending clients" };
        tracing::warn!(
            shard,
            max,
            ended,
            "{whom} had buffered too many bytes: ended the largest ones"
        );
    }

    /// Removes a session that has ended.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Session<W::Socket>> {
        let session = self.sessions.remove(slot)?;
        self.agenda.forget(&session);
        Some(session)
    }

    /// Closes the socket of a link that was cut, and frees its place and descriptor.
    pub(super) fn close(&mut self, cut: Option<Cut<W::Socket>>, with_reset: bool) {
        let Some(Cut { mut stream, peer, entered }) = cut else { return };
        if with_reset {
            // If setting the option fails, the kernel sends its queued data before the end.
            stream.reset_when_closed();
        }
        self.agenda.world.deregister(&mut stream);
        drop(stream);
        if let Some(entered) = entered {
            let now = self.agenda.world.now();
            self.handle.places().leave();
            self.handle.addresses().leave(peer.ip(), entered, now);
        }
    }

    /// What this shard alone counts.
    pub(super) fn counters(&self) -> Option<&ShardCounters> {
        self.handle.shard_counters(usize::from(self.index))
    }

    /// Where this shard counts its clients.
    pub(super) fn counts(&self) -> &Counters {
        self.counters().map_or(self.handle.counters(), |own| &own.counts)
    }

    pub(super) fn count_turn(&mut self) {
        self.turns += 1;
        if let Some(counters) = self.counters() {
            let Agenda { held, pending: clients, timers, .. } = self.agenda;
            let (all, pending, away) = (held.all.bytes, held.pending.bytes, held.away.bytes);
            counters.publish(self.turns, timers, ShardHeld { all, pending, away, clients });
        }
    }
}
