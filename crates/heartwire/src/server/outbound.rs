//! The bytes for one client: a log of frames, and a lane of priority frames in front of it.

use std::collections::VecDeque;

use heartwire_core::frame::HEADER_LEN;

/// The first byte of a DATA frame.
const DATA: u8 = 1;

/// Frames in the order in which to write them. Those in the log stay until they are
/// [released](Self::release), and can be written [again](Self::rewind).
///
/// Their headers say where they end, so there is no state per frame.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    log: VecDeque<u8>,
    /// The first bytes of the log have been written: so many, and so many in whole frames.
    written: usize,
    whole: usize,
    /// Priority frames, without what was written of them.
    lane: Vec<u8>,
}

impl Outbound {
    /// The bytes to write next. More may follow when they are written.
    pub(super) fn waiting(&self) -> &[u8] {
        let begun = self.begun();
        if begun == 0 && !self.lane.is_empty() {
            return &self.lane;
        }
        let (front, back) = self.log.as_slices();
        let next = match self.written.checked_sub(front.len()) {
            None => front.get(self.written..),
            Some(written) => back.get(written..),
        };
        let next = next.unwrap_or_default();
        if self.lane.is_empty() { next } else { next.get(..begun).unwrap_or(next) }
    }

    /// The number of bytes to write.
    pub(super) fn waiting_len(&self) -> usize {
        self.lane.len() + self.log.len().saturating_sub(self.written)
    }

    /// Whether there is nothing to write.
    pub(super) fn is_written(&self) -> bool {
        self.waiting_len() == 0
    }

    /// Whether there is nothing to write, now or again.
    pub(super) fn is_empty(&self) -> bool {
        self.lane.is_empty() && self.log.is_empty()
    }

    /// Allocated memory, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.log.capacity() + self.lane.capacity()
    }

    /// Appends bytes to the log. A frame may come in parts, with nothing in between.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.log.extend(bytes);
    }

    /// Inserts a frame after the one being written and earlier priority frames.
    pub(super) fn push_first(&mut self, frame: &[u8]) {
        self.lane.extend_from_slice(frame);
    }

    /// Handles `len` written bytes of those [waiting](Self::waiting).
    pub(super) fn handle_written(&mut self, len: usize) {
        if self.begun() == 0 && !self.lane.is_empty() {
            self.lane.drain(..len.min(self.lane.len()));
            return;
        }
        self.written = self.written.saturating_add(len).min(self.log.len());
        while self.whole < self.written {
            let end = self.whole.saturating_add(self.frame_len(self.whole));
            if end > self.written {
                return;
            }
            self.whole = end;
        }
    }

    /// The length of the log's whole frames that were written.
    pub(super) const fn written_whole(&self) -> usize {
        self.whole
    }

    /// Removes the first `len` bytes of the log, which are whole frames that were written. Frees
    /// the memory of what is empty.
    pub(super) fn release(&mut self, len: usize) {
        self.log.drain(..len.min(self.log.len()));
        self.written = self.written.saturating_sub(len);
        self.whole = self.whole.saturating_sub(len);
        if self.log.is_empty() {
            self.log = VecDeque::new();
        }
        if self.lane.is_empty() {
            self.lane = Vec::new();
        }
    }

    /// Begins again, on another connection: the first `len` bytes of the log, whole frames, count
    /// as written, and no others. Priority frames were for the old connection.
    pub(super) fn rewind(&mut self, len: usize) {
        (self.written, self.whole) = (len, len);
        self.lane = Vec::new();
    }

    /// The lengths of the frames in the log.
    pub(super) fn frame_lens(&self) -> impl Iterator<Item = usize> {
        let mut at = 0;
        core::iter::from_fn(move || {
            let len = (at < self.log.len()).then(|| self.frame_len(at))?;
            at = at.saturating_add(len);
            Some(len)
        })
    }

    /// The messages that begin in the log between these lengths: how many, and the bytes of their
    /// bodies.
    pub(super) fn messages(&self, from: usize, to: usize) -> (u64, u64) {
        let (mut at, mut frames, mut bytes) = (0, 0, 0);
        for len in self.frame_lens() {
            if at >= to {
                break;
            }
            if at >= from && self.log.get(at) == Some(&DATA) {
                frames += 1;
                bytes += u64::try_from(len - HEADER_LEN).unwrap_or(u64::MAX);
            }
            at += len;
        }
        (frames, bytes)
    }

    /// How much of the log has been written, also of a frame that is not whole.
    pub(super) const fn written(&self) -> usize {
        self.written
    }

    /// Bytes left of the log's frame that is being written.
    fn begun(&self) -> usize {
        if self.written == self.whole {
            return 0;
        }
        self.whole.saturating_add(self.frame_len(self.whole)).saturating_sub(self.written)
    }

    /// The length of the frame that begins there in the log, from its header.
    fn frame_len(&self, at: usize) -> usize {
        let byte = |index: usize| self.log.get(at + index).copied().unwrap_or_default();
        let body_len = u32::from_le_bytes([byte(4), byte(5), byte(6), byte(7)]);
        HEADER_LEN.saturating_add(usize::try_from(body_len).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests;
