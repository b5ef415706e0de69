//! Bytes that were read and not yet decoded.

/// How much is read at a time, and kept by an idle client. It holds 2,048 beats.
const READ_LEN: usize = 16 * 1024;

/// A buffer that grows only with the bytes that came, never with what a header announces.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// The bytes that were read and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The first `len` of [`bytes`](Self::bytes) are done with.
    pub(super) fn consume(&mut self, len: usize) {
        self.start = self.start.saturating_add(len).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room for a read, of `len` bytes at least.
    pub(super) fn space(&mut self, len: usize) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let read_len = len.max(READ_LEN);
        if self.end == 0 && self.buffer.len() > read_len {
            // The memory of a long frame is not kept for the next one, which may never come.
            self.buffer.truncate(read_len);
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() - self.end < len {
            self.buffer.resize(self.end + read_len, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Puts in what was read elsewhere.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(space) = self.space(bytes.len()).get_mut(..bytes.len()) {
            space.copy_from_slice(bytes);
            self.filled(bytes.len());
        }
    }

    /// Whether there is no room left that a read could have filled.
    pub(super) fn is_full(&self) -> bool {
        self.end == self.buffer.len()
    }

    /// A read put `len` bytes into [`space`](Self::space).
    pub(super) fn filled(&mut self, len: usize) {
        self.end = self.end.saturating_add(len).min(self.buffer.len());
    }
}
