//! Hands data to the application, and counts what it has taken over of sessions that can be
//! resumed.

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::resume::Ledger;

use super::Shard;
use crate::reason::Reason;
use crate::server::event::Event;
use crate::server::handler::Handler;
use crate::server::id::SessionId;
use crate::server::inbox::Kept;
use crate::server::state::Untaken;
use crate::world::{Break, ServerWorld};

impl<W: ServerWorld, H: Handler> Shard<W, H> {
    /// Hands data over, or the client's END. While the application has no room, that of a session
    /// that can be resumed is kept: the client sends no more than a window.
    pub(super) fn deliver(&mut self, id: SessionId, data: Option<&[u8]>) {
        let Some((session, agenda)) = self.state.find(id) else { return };
        if session.is_resumable() && (session.has_kept() || !self.application.has_room()) {
            if !session.has_kept() {
                agenda.kept.push_back(id);
            }
            session.keep(data);
            if agenda.world.breaks(Break::AcksWhenReceived) {
                let len = HEADER_LEN + data.map_or(0, <[u8]>::len);
                session.ledger_mut().into_iter().for_each(|ledger| ledger.take(len));
            }
        } else {
            self.hand_over_data(id, data);
        }
    }

    /// Hands kept data over, as far as the application has room.
    pub(super) fn deliver_kept(&mut self) {
        for _ in 0..self.state.agenda.kept.len() {
            if !self.application.has_room() {
                return;
            }
            let Some(id) = self.state.agenda.kept.pop_front() else { return };
            self.deliver_kept_of(id, false);
        }
    }

    /// Hands kept data of one session over. `all`: though there is no room, because the session
    /// ends.
    pub(super) fn deliver_kept_of(&mut self, id: SessionId, all: bool) {
        while let Some((session, agenda)) = self.state.find(id) {
            if session.phase().has_ended() != all || !session.has_kept() {
                break;
            }
            if !all && !self.application.has_room() {
                agenda.kept.push_back(id);
                break;
            }
            match session.next_kept() {
                Some(Kept::Data(data)) => self.hand_over_data(id, Some(&data)),
                Some(Kept::End) => self.hand_over_data(id, None),
                None => break,
            }
        }
        self.acknowledge(id);
        self.state.count_held(id.slot());
    }

    fn hand_over_data(&mut self, id: SessionId, data: Option<&[u8]>) {
        let len = HEADER_LEN + data.map_or(0, <[u8]>::len);
        let Some((session, _)) = self.state.find(id) else { return };
        if let Some(ledger) = session.ledger() {
            // With the END everything was taken over, however much of it is counted by then.
            let wake_at = data.map_or(0, |_| ledger.until_ack());
            self.state.untaken = Some(Untaken { id, len, wake_at });
        }
        self.tell(data.map_or(Event::Ended { id }, |data| Event::Data { id, data }));
        // Unless it goes on to another thread, the application has it now.
        if self.state.untaken.take().is_some() {
            self.take(id, len);
        }
    }

    /// Counts a frame that the application has taken over.
    fn take(&mut self, id: SessionId, len: usize) {
        let Some((session, _)) = self.state.find(id) else { return };
        let Some(ledger) = session.ledger_mut() else { return };
        ledger.take(len);
        self.end_if_done(id);
    }

    /// Ends a session whose ends have both sent everything, and have said so, unless its client is
    /// away, which would not learn it.
    pub(super) fn end_if_done(&mut self, id: SessionId) {
        let Some((session, agenda)) = self.state.find(id) else { return };
        if session.ledger().is_some_and(Ledger::is_done) && !session.is_away() {
            agenda.end(session, Reason::Done);
        }
    }

    /// Tells the client what was taken over, if it is time.
    fn acknowledge(&mut self, id: SessionId) {
        let Some((session, agenda)) = self.state.find(id) else { return };
        if session.ledger().is_some_and(Ledger::ack_due) {
            let now = agenda.world.now();
            agenda.transmit(session, now);
        }
    }

    /// Counts what the application has taken out of a channel.
    pub(super) fn collect_receipts(&mut self) {
        for (id, len) in self.state.receipts.collect() {
            self.take(id, len);
            self.acknowledge(id);
        }
    }
}
