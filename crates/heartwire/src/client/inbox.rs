//! The receive buffer: bytes that were read and not decoded yet.

/// Bytes read at once, and the buffer of an idle client. It holds 2,048 beats.
const READ_LEN: usize = 16 * 1024;

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
        let read_len = len.max(READ_LEN);
        if self.end == 0 && self.buffer.len() > read_len {
            // Free the memory of a long frame: another one may never come.
            self.buffer.truncate(read_len);
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() - self.end < len {
            self.buffer.resize(self.end + read_len, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
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
