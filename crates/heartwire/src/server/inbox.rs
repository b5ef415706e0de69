//! Data of a client that waits for room in the application.

use std::collections::VecDeque;

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::resume::Position;

/// A frame for the application.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Data(Vec<u8>),
    /// The client sends no more data.
    End,
}

/// Frames that were received and that the application has no room for, in their order. No more than
/// a window of them, which the client keeps to.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Bodies, each after its length.
    data: VecDeque<u8>,
    frames: u64,
    has_end: bool,
}

/// Bytes of a length.
const LEN_LEN: usize = size_of::<u32>();

impl Inbox {
    pub(super) const fn is_empty(&self) -> bool {
        self.frames == 0 && !self.has_end
    }

    pub(super) fn push(&mut self, body: &[u8]) {
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        self.data.extend(len.to_le_bytes());
        self.data.extend(body);
        self.frames += 1;
    }

    /// The client's END, after which nothing comes.
    pub(super) const fn push_end(&mut self) {
        self.has_end = true;
    }

    /// Takes out the next frame.
    pub(super) fn pop(&mut self) -> Option<Kept> {
        if self.frames == 0 {
            return core::mem::take(&mut self.has_end).then_some(Kept::End);
        }
        self.frames -= 1;
        let mut len = [0; LEN_LEN];
        for (to, from) in len.iter_mut().zip(self.data.drain(..LEN_LEN.min(self.data.len()))) {
            *to = from;
        }
        let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        let body = self.data.drain(..len.min(self.data.len())).collect();
        if self.frames == 0 {
            self.data = VecDeque::new();
        }
        Some(Kept::Data(body))
    }

    /// How many frames it has, and their bytes with headers.
    pub(super) fn position(&self) -> Position {
        let ends = u64::from(self.has_end);
        let header_len = u64::try_from(HEADER_LEN).unwrap_or(u64::MAX);
        let bodies = self.data.len() - usize::try_from(self.frames).unwrap_or(0) * LEN_LEN;
        let frames = self.frames + ends;
        let bodies = u64::try_from(bodies).unwrap_or(u64::MAX);
        Position { frames, bytes: bodies + frames * header_len }
    }

    /// Allocated memory, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.data.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_the_end_last() {
        let mut inbox = Inbox::default();
        assert_eq!((inbox.pop(), inbox.is_empty()), (None, true));
        let bodies = [&b"one"[..], b"", &[7; 300]];
        bodies.iter().for_each(|body| inbox.push(body));
        inbox.push_end();
        assert_eq!(inbox.position(), Position { frames: 4, bytes: 303 + 4 * 8 });
        assert_eq!(inbox.pop(), Some(Kept::Data(b"one".to_vec())));
        inbox.push(b"four");
        for body in [&b""[..], &[7; 300], b"four"] {
            assert_eq!(inbox.pop(), Some(Kept::Data(body.to_vec())));
        }
        assert_eq!((inbox.is_empty(), inbox.capacity()), (false, 0));
        assert_eq!(inbox.position(), Position { frames: 1, bytes: 8 });
        assert_eq!((inbox.pop(), inbox.pop()), (Some(Kept::End), None));
    }
}
