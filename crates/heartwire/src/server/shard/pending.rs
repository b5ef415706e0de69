//! Pending clients, which have connected and are not accepted yet.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Instant;
use heartwire_core::v1::{ByeCode, RetryHint};

use super::Shard;
use super::clients::ROOM_AFTER;
use super::handshake::reject;
use crate::reason::Reason;
use crate::server::event::{Agreed, Event};
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::session::Standing;
use crate::world::ServerWorld;

/// The lists of pending clients are cleaned when they have this many entries more than twice the
/// pending clients.
const PENDING_SLACK: usize = 1024;

/// A pending client that has said nothing for this long is dropped when there is no room among the
/// pending for a new one. The default number of them takes as long to come at the default accept
/// rate, so that silent clients keep none out.
const SILENT_FOR: Duration = Duration::from_millis(400);

/// How long a pending client is kept if there is no room for a new one: one that has said nothing,
/// and one that was answered.
const UNTIL_DROPPED: [Duration; 2] = [SILENT_FOR, ROOM_AFTER];

/// Pending clients, the longest waiting first. Some may have come online or gone since.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Those that had said nothing when last checked.
    silent: VecDeque<SessionId>,
    /// Those that TLS has answered, which is most of the work of a handshake, or that have said
    /// HELLO: they are dropped last.
    answered: VecDeque<SessionId>,
}

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Adds a pending client, which has to send its first frame. If there are too many, drops
    /// another one.
    pub(super) fn expect_first_frame(&mut self, id: SessionId) {
        while self.has_most_pending()
            && (self.reject_longest_waiting(UNTIL_DROPPED)
                || self.reject_longest_waiting([Duration::ZERO; 2]))
        {}
        self.pending.silent.push_back(id);
        self.count_pending();
    }

    /// Adds a pending client that another shard has read the HELLO of. It goes on with its session
    /// at once, so it needs no room.
    pub(super) fn expect_return(&mut self, id: SessionId) {
        self.pending.answered.push_back(id);
        self.count_pending();
    }

    fn count_pending(&mut self) {
        self.state.agenda.pending += 1;
        let Pending { silent, answered } = &mut self.pending;
        if silent.len() + answered.len() > 2 * self.state.agenda.pending + PENDING_SLACK {
            let sessions = &mut self.state.sessions;
            let mut is_pending =
                |&id: &_| sessions.find(id).is_some_and(|session| session.phase().is_pending());
            silent.retain(&mut is_pending);
            answered.retain(is_pending);
        }
    }

    fn has_most_pending(&self) -> bool {
        self.state.agenda.pending >= self.state.handle.max_pending().per_shard()
    }

    /// If there is no room among the pending clients: when one can be dropped for a new one. Until
    /// then new ones wait in the kernel, where they cost nothing.
    pub(super) fn room_among_pending_at(&mut self) -> Option<Instant> {
        if !self.has_most_pending() {
            return None;
        }
        let oldest = self.longest_waiting().into_iter().zip(UNTIL_DROPPED);
        oldest.filter_map(|(oldest, after)| Some(oldest?.1.saturating_add(after))).min()
    }

    /// Rejects the pending client that has waited longest: one that has said nothing, if it has
    /// waited for so long, or else one that was answered.
    pub(super) fn reject_longest_waiting(&mut self, least: [Duration; 2]) -> bool {
        let now = self.awake_at;
        let mut oldest = self.longest_waiting().into_iter().zip(least);
        let is_due = |(oldest, least): (Option<(SessionId, Instant)>, Duration)| {
            oldest.filter(|&(_, since)| now.saturating_since(since) >= least)
        };
        let Some((id, _)) = oldest.find_map(is_due) else { return false };
        let Some((session, agenda)) = self.state.find(id) else { return false };
        if session.phase().standing() == Standing::Waiting {
            let detail = "too many clients are waiting";
            reject(session, agenda, ByeCode::Full, RetryHint::AtWill, detail);
        } else {
            agenda.end(session, Reason::Rejected(ByeCode::Full));
        }
        true
    }

    /// The pending client that has waited longest without a word, and the one that was answered,
    /// each with since when.
    fn longest_waiting(&mut self) -> [Option<(SessionId, Instant)>; 2] {
        let Pending { silent, answered } = &mut self.pending;
        let sessions = &mut self.state.sessions;
        let mut find = |id| {
            let session = sessions.find(id).filter(|session| session.phase().is_pending())?;
            Some((session.since, session.was_answered()))
        };
        let silent = loop {
            let Some(&id) = silent.front() else { break None };
            match find(id) {
                Some((since, false)) => break Some((id, since)),
                Some((_, true)) => answered.push_back(id),
                None => {}
            }
            silent.pop_front();
        };
        let answered = loop {
            let Some(&id) = answered.front() else { break None };
            if let Some((since, _)) = find(id) {
                break Some((id, since));
            }
            answered.pop_front();
        };
        [silent, answered]
    }

    /// Room for clients that have said nothing, in their list.
    #[cfg(test)]
    pub(in crate::server) fn room_for_silent(&self) -> usize {
        self.pending.silent.capacity()
    }

    /// Brings a client online, and reports it to the application.
    pub(super) fn go_online(&mut self, slot: u32, agreed: Option<Box<Agreed>>) {
        let Some((session, agenda)) = self.state.live(slot) else { return };
        let (id, peer) = (session.id, session.link.peer());
        agenda.let_in(session);
        if agenda.pending == 0 && self.pending.silent.capacity() > PENDING_SLACK {
            // All of them have come online or gone.
            self.pending = Pending::default();
        }
        self.tell(Event::Online { id, peer, agreed });
    }
}
