//! The receive buffer: bytes that were read and not decoded yet.

use core::cell::Cell;

/// Bytes read at once: they hold 8,192 beats.
const READ_LEN: usize = 64 * 1024;

thread_local! {
    /// The room for the next read, of any client in this thread: most of them are idle.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that grows only with received bytes, never with what a header announces.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// The bytes that are not consumed yet.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Consumes the first `len` of [`bytes`](Self::bytes).
    pub(super) fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room for a read of at least `len` bytes.
    pub(super) fn space(&mut self, len: usize) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < len {
            let kept = core::mem::replace(&mut self.buffer, ROOM.take());
            let most = self.end + len.max(READ_LEN);
            if self.buffer.len() < most {
                self.buffer.resize(most, 0);
            }
            let (to, from) = (self.buffer.get_mut(..self.end), kept.get(..self.end));
            if let Some((to, from)) = to.zip(from) {
                to.copy_from_slice(from);
            }
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// No read follows soon: keeps only the bytes that are not consumed, in as much memory.
    pub(super) fn rest(&mut self) {
        if self.end - self.start == self.buffer.len() {
            return;
        }
        let kept = self.bytes().to_vec();
        (self.start, self.end) = (0, kept.len());
        let room = core::mem::replace(&mut self.buffer, kept);
        // Not the memory of a long frame: another one may never come.
        if room.len() <= 2 * READ_LEN {
            ROOM.set(room);
        }
    }

    /// Appends bytes that were read elsewhere.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(space) = self.space(bytes.len()).get_mut(..bytes.len()) {
            space.copy_from_slice(bytes);
            self.filled(bytes.len());
        }
    }

    /// Whether a read has filled the buffer.
    pub(super) fn is_full(&self) -> bool {
        self.end == self.buffer.len()
    }

    /// A read put `len` bytes into [`space`](Self::space).
    pub(super) fn filled(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_that_rests_holds_only_what_is_not_consumed() {
        let mut inbox = Inbox::default();
        inbox.push(b"one two");
        inbox.consume(4);
        inbox.rest();
        assert_eq!((inbox.bytes(), inbox.buffer.capacity()), (&b"two"[..], 3));
        inbox.push(b" three");
        assert_eq!(inbox.bytes(), b"two three");
        inbox.consume(9);
        inbox.rest();
        assert_eq!((inbox.bytes(), inbox.buffer.capacity()), (&b""[..], 0));
    }

    #[test]
    fn the_room_for_reads_is_shared() {
        let [mut a, mut b] = [Inbox::default(), Inbox::default()];
        let first = a.space(1).as_ptr();
        a.rest();
        assert_eq!(b.space(1).as_ptr(), first);
        // `b` has not given it back.
        a.push(b"a");
        b.push(b"b");
        assert_eq!((a.bytes(), b.bytes()), (&b"a"[..], &b"b"[..]));
    }

    #[test]
    fn a_long_frame_keeps_no_memory() {
        let mut inbox = Inbox::default();
        let long = vec![7; 3 * READ_LEN];
        inbox.push(&long);
        assert_eq!(inbox.bytes(), long);
        inbox.consume(long.len());
        inbox.rest();
        assert!(inbox.space(1).len() <= 2 * READ_LEN);
    }
}
