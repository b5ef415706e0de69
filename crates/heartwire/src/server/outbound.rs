//! What waits to be written to one client, and where in it a beat can go.

use heartwire_core::frame::HEAD_LEN;

/// Frames in the order in which they are written.
///
/// Their heads say where they end, so that nothing is remembered for each.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Of these the first `written` have been.
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that are left of the frame that has begun.
    begun: usize,
    /// Bytes of the frames behind it that were put in front of the others.
    first: usize,
}

impl Outbound {
    /// What is to be written next.
    pub(super) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Bytes of memory that it takes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Puts bytes behind all others. A frame may come in parts, with nothing in between.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts a whole frame behind the one that has begun, and those that were put there before.
    pub(super) fn push_first(&mut self, frame: &[u8]) {
        let at = self.written.saturating_add(self.begun).saturating_add(self.first);
        let at = at.min(self.bytes.len());
        self.bytes.splice(at..at, frame.iter().copied());
        self.first += frame.len();
    }

    /// So many bytes more have been written.
    pub(super) fn handle_written(&mut self, len: usize) {
        let mut end = self.written.saturating_add(self.begun);
        self.written += len;
        while end < self.written {
            let frame_len = self.bytes.get(end..).map_or(0, frame_len).max(HEAD_LEN);
            end = end.saturating_add(frame_len);
            self.first = self.first.saturating_sub(frame_len);
        }
        self.begun = end - self.written;
    }

    /// Gives the memory of what was written to what will be.
    pub(super) fn forget_written(&mut self) {
        self.bytes.drain(..self.written);
        self.written = 0;
    }
}

/// How long the frame is that begins here, by its head.
fn frame_len(bytes: &[u8]) -> usize {
    let Some(&[_, _, _, _, l0, l1, l2, l3]) = bytes.first_chunk::<HEAD_LEN>() else { return 0 };
    let body_len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    HEAD_LEN.saturating_add(body_len)
}

#[cfg(test)]
mod tests;
