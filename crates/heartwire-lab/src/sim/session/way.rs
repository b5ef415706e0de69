//! One direction of a session.

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::resume::Position;

use crate::sim::ledger::len_of;
use crate::sim::link::Body;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// What the application sent, and up to where each frame goes, an END included.
    pub(super) bodies: Vec<Body>,
    pub(super) ends: Vec<u64>,
    /// It has said that it sends no more, and the other application knows.
    pub(super) has_ended: bool,
    pub(super) end_is_delivered: bool,
    /// So many messages are known to be in the session; those behind may have come too late.
    pub(super) certain: usize,
    /// So many of them has the other application got.
    pub(super) delivered: usize,
    /// What the receiver said to have taken over, and what the sender knows of that.
    pub(super) acknowledged: Position,
    pub(super) known: Position,
    /// The sender's application was told that the other one gets exactly so many, from the least to
    /// the most.
    pub(super) exact: Option<(usize, usize)>,
}

impl Way {
    pub(super) fn position(&self, frames: usize) -> Position {
        let before = frames.checked_sub(1).and_then(|last| self.ends.get(last));
        Position { frames: len_of(frames), bytes: before.copied().unwrap_or_default() }
    }

    pub(super) fn push(&mut self, body: Body) {
        self.push_frame(body.len);
        self.bodies.push(body);
    }

    pub(super) fn push_frame(&mut self, len: usize) {
        let before = self.ends.last().copied().unwrap_or_default();
        self.ends.push(before + len_of(HEADER_LEN + len));
    }

    pub(super) fn body_bytes(&self, from: usize, until: usize) -> u64 {
        let bodies = self.bodies.get(from..until).unwrap_or_default();
        bodies.iter().map(|body| len_of(body.len)).sum()
    }
}
