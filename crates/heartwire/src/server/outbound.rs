//! The send queue of one client.

use heartwire_core::frame::HEADER_LEN;

/// Frames in the order in which to write them.
///
/// Their headers say where they end, so there is no state per frame.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// The first `written` of these bytes have been written.
    bytes: Vec<u8>,
    written: usize,
    /// Bytes left of the frame that is being written.
    begun: usize,
    /// Bytes of the priority frames after it.
    first: usize,
}

impl Outbound {
    /// The bytes to write next.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Allocated memory, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends bytes. A frame may come in parts, with nothing in between.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Inserts a frame after the one being written and earlier priority frames.
    pub(super) fn push_first(&mut self, frame: &[u8]) {
        self.make_room(frame.len());
        let at = self.written.saturating_add(self.begun).saturating_add(self.first);
        let at = at.min(self.bytes.len());
        self.bytes.splice(at..at, frame.iter().copied());
        self.first += frame.len();
    }

    /// Handles `len` more written bytes.
    pub(super) fn handle_written(&mut self, len: usize) {
        let mut end = self.written.saturating_add(self.begun);
        self.written += len;
        while end < self.written {
            let frame_len = self.bytes.get(end..).map_or(0, frame_len).max(HEADER_LEN);
            end = end.saturating_add(frame_len);
            self.first = self.first.saturating_sub(frame_len);
        }
        self.begun = end - self.written;
    }

    /// Makes room for `len` more bytes, at most for twice of what waits. Waiting bytes are moved
    /// only if that frees room for half as much again, so that a slow client, which takes little at
    /// a time, costs no more.
    fn make_room(&mut self, len: usize) {
        let used = self.bytes.len();
        if self.written == 0 || used.saturating_add(len) <= self.bytes.capacity() {
            return;
        }
        let waiting = used - self.written;
        if self.written >= waiting / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        } else {
            let most = waiting.saturating_add(len).saturating_mul(2);
            self.bytes.reserve_exact(most.saturating_sub(used));
        }
    }
}

/// The length of the frame that begins here, from its header.
fn frame_len(bytes: &[u8]) -> usize {
    let Some(&[_, _, _, _, l0, l1, l2, l3]) = bytes.first_chunk::<HEADER_LEN>() else { return 0 };
    let body_len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    HEADER_LEN.saturating_add(body_len)
}

#[cfg(test)]
mod tests;
