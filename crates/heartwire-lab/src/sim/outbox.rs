//! Frames on their way to a socket.

use std::collections::VecDeque;

use heartwire_core::{Side, Transmit};

use super::ledger::len_of;
use super::link::{LinkId, SocketError};
use super::net::Net;

/// Bytes that may wait.
pub(super) const LEN_MAX: u64 = 8 * 1024;

/// The frames that are written next, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: VecDeque<Vec<u8>>,
    /// Bytes of the first frame that the system has taken.
    written: usize,
    len: usize,
    /// Frames in front of which nothing is put any more: the last of those that were put in front, and
    /// all before it.
    first_until: usize,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn has_room_for(&self, len: usize) -> bool {
        len_of(self.len + len) <= LEN_MAX
    }

    pub(super) fn push(&mut self, frame: Vec<u8>) {
        self.len += frame.len();
        self.frames.push_back(frame);
    }

    /// Puts a beat in front of everything but what has begun, and what was put there before.
    pub(super) fn push_beat_first(&mut self, beat: Transmit) {
        self.push_first(beat.as_ref().to_vec());
    }

    /// The same for a WELCOME, which the first beat comes behind.
    pub(super) fn push_first(&mut self, frame: Vec<u8>) {
        self.len += frame.len();
        let at = self.first_until.max(usize::from(self.written > 0));
        self.frames.insert(at.min(self.frames.len()), frame);
        self.first_until = at + 1;
    }

    /// Writes as far as the system takes it. Returns whether it took anything.
    pub(super) fn write(
        &mut self,
        net: &mut Net,
        link: LinkId,
        side: Side,
    ) -> Result<bool, SocketError> {
        let mut any = false;
        while let Some(frame) = self.frames.front() {
            let rest = frame.get(self.written..).unwrap_or_default();
            let len = net.write(link, side, rest)?;
            any |= len > 0;
            self.written += len;
            self.len -= len;
            if self.written < frame.len() {
                break;
            }
            self.written = 0;
            self.frames.pop_front();
            self.first_until = self.first_until.saturating_sub(1);
        }
        Ok(any)
    }
}
