//! What goes to the server: messages, and what was written.

use heartwire_core::frame::HEADER_LEN;

use super::outbox::NoRoom;
use super::{Client, Phase};
use crate::abi::Status;

impl Client<'_> {
    /// What to write now.
    pub(crate) fn output(&self) -> &[u8] {
        match self.phase {
            Phase::Keeping | Phase::Leaving => self.outbox.output(),
            Phase::Idle | Phase::Over => &[],
        }
    }

    /// The socket took so much of it.
    pub(crate) fn written(&mut self, now_ms: u64, len: usize) -> Result<(), Status> {
        if len > self.output().len() {
            return Err(Status::ERR_ARGUMENT);
        }
        let now = self.awake(now_ms);
        if len > 0 {
            if self.phase == Phase::Leaving {
                self.asked_at = now;
            }
            let took_beat = self.outbox.takes_beat();
            let beat = self.outbox.advance(len);
            if took_beat && !self.outbox.takes_beat() {
                // The beat after the read that is demanded would have no place: ask again for both.
                self.must_read = false;
            }
            if let Some(connection) = &mut self.connection {
                connection.handle_sent(now);
                if let Some(beat) = beat {
                    connection.handle_beat_written(&beat, now);
                }
            }
        }
        self.rest();
        Ok(())
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, now_ms: u64, body: &[u8]) -> Result<(), Status> {
        let connection = self.online()?;
        if connection.ledger().is_some() {
            return Err(Status::ERR_PROTOCOL);
        }
        let header = connection.data_header(body.len()).ok_or(Status::ERR_TOO_LONG)?;
        self.awake(now_ms);
        let queued = self.outbox.push_message(header.as_ref(), body);
        self.rest();
        queued.map_err(|no_room| match no_room {
            NoRoom::Now => Status::ERR_ROOM,
            NoRoom::Ever => Status::ERR_TOO_LONG,
        })
    }

    /// The longest message that has room now.
    pub(crate) fn send_room(&self) -> usize {
        match self.online() {
            Ok(connection) if connection.ledger().is_none() => {
                let header = if self.settings.reserve() > 0 { HEADER_LEN } else { 0 };
                let room = self.outbox.message_room().saturating_sub(header);
                room.min(connection.peer_max_frame())
            }
            Ok(_) | Err(_) => 0,
        }
    }

    /// Pads what is about to be written, so that it wakes the server at once.
    pub(super) fn pad(&mut self) {
        let Some(len) = self.outbox.unpadded() else { return };
        match self.connection.as_ref().and_then(|connection| connection.pad(len)) {
            Some(pad) => self.outbox.push_pad(pad.header, pad.zeros),
            None => self.outbox.forget_pad(),
        }
    }
}
