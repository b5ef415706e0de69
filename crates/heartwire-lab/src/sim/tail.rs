//! A peer of a later version: what it appends to its beats, written into them as they are read.

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::internal::v1::BEAT_LEN;

/// The state of the bytes that one end reads.
#[derive(Debug)]
pub(super) struct Tail {
    /// Bytes behind those of a beat that this version knows.
    len: u8,
    header: Vec<u8>,
    body_left: usize,
    is_beat: bool,
    /// Bytes that did not fit into the last read.
    pub(super) left: Vec<u8>,
}

impl Tail {
    pub(super) const fn new(len: u8) -> Self {
        Self { len, header: Vec::new(), body_left: 0, is_beat: false, left: Vec::new() }
    }

    /// Makes the beats of v1 among the next bytes longer, of which none is held back.
    pub(super) fn append(&mut self, bytes: &mut Vec<u8>) {
        let read = core::mem::take(bytes);
        for mut byte in read {
            if self.body_left > 0 {
                self.body_left -= 1;
                bytes.push(byte);
            } else {
                self.header.push(byte);
                // Type 0, and the lowest byte of the length.
                let is_length = self.header.len() == 5 && self.header.starts_with(&[0; 4]);
                self.is_beat |= is_length && usize::from(byte) == BEAT_LEN;
                if is_length && self.is_beat {
                    byte = byte.saturating_add(self.len);
                }
                bytes.push(byte);
                if self.header.len() < HEADER_LEN {
                    continue;
                }
                let length = self.header.last_chunk().copied().unwrap_or_default();
                self.body_left = usize::try_from(u32::from_le_bytes(length)).unwrap_or_default();
                self.header.clear();
            }
            if self.body_left == 0 && core::mem::take(&mut self.is_beat) {
                bytes.extend(core::iter::repeat_n(0x99, usize::from(self.len)));
            }
        }
    }
}
