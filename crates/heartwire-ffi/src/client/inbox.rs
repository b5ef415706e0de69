//! What came and was not handed over yet, in the caller's `rx`.

use heartwire_core::frame::HEADER_LEN;

use super::{frame, memory};

/// Bytes that came, in order.
#[derive(Debug)]
pub(super) struct Inbox<'m> {
    memory: &'m mut [u8],
    start: usize,
    end: usize,
    /// The last bytes did not all have room.
    refused: bool,
}

impl<'m> Inbox<'m> {
    pub(super) fn new(memory: &'m mut [u8]) -> Self {
        Self { memory, start: 0, end: 0, refused: false }
    }

    pub(super) fn size(&self) -> usize {
        self.memory.len()
    }

    /// Whether the last bytes did not all have room.
    pub(super) fn has_refused(&self) -> bool {
        self.refused
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end, self.refused) = (0, 0, false);
    }

    /// Adds as many of these bytes as there is room for. Returns how many.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        memory::to_front(self.memory, self.start, self.end);
        (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        let room = self.memory.get_mut(self.end..).unwrap_or_default();
        let len = memory::copy(room, bytes);
        self.end = self.end.saturating_add(len);
        self.refused = len < bytes.len();
        len
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    /// All but the last `left` bytes were handed over.
    pub(super) fn keep(&mut self, left: usize) {
        self.start = self.end.saturating_sub(left).max(self.start);
    }

    /// Whether the frame in front, which is not whole, will never have room.
    pub(super) fn is_stuck(&self) -> bool {
        let whole = frame::len_of(self.bytes());
        whole.is_some_and(|whole| whole > self.memory.len())
    }

    /// Drops what is there of the body of the PAD in front, as if the server had sent a shorter
    /// one. Returns whether there is one.
    pub(super) fn shorten_pad(&mut self) -> bool {
        let Some(whole) = frame::pad_len(self.bytes()) else { return false };
        let left = whole.saturating_sub(self.bytes().len());
        let header = frame::pad_header(left);
        let front = self.memory.get_mut(self.start..).and_then(|front| front.first_chunk_mut());
        if let Some((front, header)) = front.zip(header) {
            *front = header;
            self.end = self.start.saturating_add(HEADER_LEN);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_came_in() {
        let mut memory = [0; 6];
        let mut inbox = Inbox::new(&mut memory);
        assert_eq!(inbox.push(&[1, 2, 3, 4]), 4);
        inbox.keep(1);
        assert_eq!(inbox.bytes(), [4]);
        assert_eq!(inbox.push(&[5, 6, 7, 8, 9, 10]), 5);
        assert!(inbox.has_refused());
        assert_eq!(inbox.bytes(), [4, 5, 6, 7, 8, 9]);
        inbox.keep(0);
        assert_eq!(inbox.push(&[10]), 1);
        assert!(!inbox.has_refused());
    }

    #[test]
    fn a_pad_longer_than_the_memory_is_dropped_part_by_part() {
        let mut memory = [0; 16];
        let mut inbox = Inbox::new(&mut memory);
        let mut coming = [5, 0, 0, 0, 40, 0, 0, 0].to_vec();
        coming.extend([9; 40]);
        coming.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        let mut rounds = 0;
        let mut left = coming.as_slice();
        while inbox.is_stuck() || rounds == 0 {
            let taken = inbox.push(left);
            left = &left[taken..];
            assert!(inbox.shorten_pad());
            rounds += 1;
        }
        assert_eq!(inbox.bytes()[..8], [5, 0, 0, 0, 8, 0, 0, 0]);
        assert_eq!(rounds, 4);
        assert_eq!(left.len(), 16);
    }
}
