//! What waits to be written, in the caller's `tx`.

use heartwire_core::Transmit;
use heartwire_core::frame::HEADER_LEN;

use super::{frame, memory};

/// Zeros of a PAD that has no room in `tx`.
static ZEROS: [u8; 64] = [0; 64];

/// Bytes to write: whole frames, in order. The one in front stays until all of it is written.
#[derive(Debug)]
pub(super) struct Outbox<'m> {
    memory: &'m mut [u8],
    /// Room that messages leave for a beat; 0: there are no frames, only bytes.
    reserve: u8,
    start: usize,
    end: usize,
    /// Bytes of the first frame that were written.
    written: usize,
    /// Bytes of a beat or an ACK that waits in front of all whose writing has not begun.
    first: u8,
    /// Whether the frame whose writing has begun came from there.
    writes_first: bool,
    /// Whether the frame in front stays there, even if its writing has not begun.
    opens: bool,
    /// Zeros at the end of the last frame, a PAD, that are not in memory.
    zeros: usize,
    /// Bytes of the last frame, if it should wake the server; else 0.
    unpadded: usize,
}

/// Why a message has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    Now,
    Ever,
}

impl<'m> Outbox<'m> {
    pub(super) fn new(memory: &'m mut [u8], reserve: u8) -> Self {
        Self {
            memory,
            reserve,
            start: 0,
            end: 0,
            written: 0,
            first: 0,
            writes_first: false,
            opens: false,
            zeros: 0,
            unpadded: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.written) = (0, 0, 0);
        (self.first, self.writes_first, self.opens) = (0, false, false);
        (self.zeros, self.unpadded) = (0, 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What to write next.
    pub(super) fn output(&self) -> &[u8] {
        let from = self.start.saturating_add(self.written);
        match self.memory.get(from..self.end) {
            Some(bytes) if !bytes.is_empty() => bytes,
            Some(_) | None => {
                let left = self.zeros.saturating_sub(from.saturating_sub(self.end));
                ZEROS.get(..left.min(ZEROS.len())).unwrap_or_default()
            }
        }
    }

    /// The first `len` bytes of the output were written. Returns the last beat whose end was among
    /// them.
    pub(super) fn advance(&mut self, len: usize) -> Option<Transmit> {
        if self.reserve == 0 {
            self.start = self.start.saturating_add(len).min(self.end);
            return None;
        }
        let mut has_begun = self.written > 0;
        let mut beat = None;
        self.written = self.written.saturating_add(len);
        while self.written > 0 {
            if !has_begun && !self.opens {
                self.writes_first = core::mem::take(&mut self.first) > 0;
            }
            let Some(whole) = self.front_len().filter(|&whole| whole <= self.written) else {
                break;
            };
            let end = self.start.saturating_add(whole);
            if self.writes_first {
                beat = self.memory.get(self.start..end).map(Transmit::copy_of).or(beat);
            }
            if end > self.end {
                self.zeros = 0;
            }
            self.written = self.written.saturating_sub(whole);
            self.start = end.min(self.end);
            (has_begun, self.opens) = (false, false);
        }
        beat
    }

    /// Bytes of the frame in front, header included.
    fn front_len(&self) -> Option<usize> {
        self.memory.get(self.start..self.end).and_then(frame::len_of)
    }

    /// Where the first frame begins that others can be put in front of.
    fn boundary(&self) -> usize {
        let stays = self.written > 0 || self.opens;
        let begun = if stays { self.front_len().unwrap_or_default() } else { 0 };
        self.start.saturating_add(begun)
    }

    /// Room that is not kept for a beat.
    fn room(&self) -> usize {
        let used = self.end.saturating_sub(self.start);
        let beat = usize::from(self.reserve.saturating_sub(self.first));
        self.memory.len().saturating_sub(used).saturating_sub(beat)
    }

    fn make_room(&mut self) {
        memory::to_front(self.memory, self.start, self.end);
        (self.start, self.end) = (0, self.end.saturating_sub(self.start));
    }

    /// Whether a beat can be put in front of what waits.
    pub(super) fn takes_beat(&self) -> bool {
        let free = self.memory.len().saturating_sub(self.end.saturating_sub(self.start));
        self.boundary() <= self.end && free.saturating_add(self.first.into()) >= self.reserve.into()
    }

    /// Puts a beat, or an ACK, in front of all frames whose writing has not begun. It replaces one
    /// that waits there; but an ACK goes into a beat that does.
    pub(super) fn push_first(&mut self, transmit: &Transmit) {
        if !self.takes_beat() {
            return;
        }
        let bytes = transmit.as_ref();
        self.make_room();
        let (at, first) = (self.boundary(), usize::from(self.first));
        if transmit.is_ack() && first > bytes.len() {
            let position = bytes.get(HEADER_LEN..).unwrap_or_default();
            let end = at.saturating_add(first);
            let to = end.saturating_sub(position.len())..end;
            memory::copy(self.memory.get_mut(to).unwrap_or_default(), position);
            return;
        }
        memory::close_gap(self.memory, (at, self.end), first);
        let end = self.end.saturating_sub(first);
        memory::make_gap(self.memory, (at, end), bytes.len());
        memory::copy(self.memory.get_mut(at..).unwrap_or_default(), bytes);
        if at == end {
            // Also if what it replaces, or what was written just before, is to wake the server.
            let wakes = transmit.is_news() || self.unpadded > 0;
            self.unpadded = if wakes { bytes.len() } else { 0 };
        }
        self.first = u8::try_from(bytes.len()).unwrap_or_default();
        self.end = end.saturating_add(bytes.len());
    }

    /// The longest message, with its header, that has room now.
    pub(super) fn message_room(&self) -> usize {
        if self.zeros > 0 { 0 } else { self.room() }
    }

    /// Adds a message.
    pub(super) fn push_message(&mut self, header: &[u8], body: &[u8]) -> Result<(), NoRoom> {
        let len = header.len().saturating_add(body.len());
        if len.saturating_add(self.reserve.into()) > self.memory.len() {
            return Err(NoRoom::Ever);
        }
        if len > self.message_room() {
            return Err(NoRoom::Now);
        }
        self.make_room();
        for part in [header, body] {
            let room = self.memory.get_mut(self.end..).unwrap_or_default();
            self.end = self.end.saturating_add(memory::copy(room, part));
        }
        self.unpadded = len;
        Ok(())
    }

    /// Adds the frame that a connection opens with: nothing is put in front of it.
    pub(super) fn push_opening(&mut self, encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        self.opens = self.push_control(encode);
        self.opens
    }

    /// Adds a frame that `encode` writes, at the end, where also the room for a beat may be used.
    /// Returns whether it had room.
    pub(super) fn push_control(&mut self, encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        if self.zeros > 0 {
            return false;
        }
        self.make_room();
        let room = self.memory.get_mut(self.end..).unwrap_or_default();
        let len = encode(room);
        self.end = self.end.saturating_add(len.unwrap_or_default()).min(self.memory.len());
        self.unpadded = 0;
        len.is_some()
    }

    /// Bytes of the last frame, if it should wake the server and no PAD follows it yet.
    pub(super) fn unpadded(&self) -> Option<usize> {
        (self.unpadded > 0).then_some(self.unpadded)
    }

    /// Adds a PAD of this header and so many zeros, if there is room for the header. Zeros without
    /// room are made when they are written.
    pub(super) fn push_pad(&mut self, header: [u8; HEADER_LEN], zeros: usize) {
        let Some(room) = self.room().checked_sub(HEADER_LEN) else { return };
        self.make_room();
        let space = self.memory.get_mut(self.end..).unwrap_or_default();
        memory::copy(space, &header);
        let held = zeros.min(room);
        let body = space.get_mut(HEADER_LEN..).unwrap_or_default();
        body.iter_mut().take(held).for_each(|byte| *byte = 0);
        self.end = self.end.saturating_add(HEADER_LEN).saturating_add(held);
        self.zeros = zeros.saturating_sub(held);
        self.unpadded = 0;
    }

    /// No PAD is needed.
    pub(super) fn forget_pad(&mut self) {
        self.unpadded = 0;
    }

    /// Drops all frames whose writing has not begun.
    pub(super) fn drop_unbegun(&mut self) {
        let boundary = self.boundary();
        if boundary <= self.end {
            (self.end, self.zeros) = (boundary, 0);
        }
        (self.first, self.unpadded) = (0, 0);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
