//! The positions of a session, kept a second time, beside a ledger.

use std::collections::VecDeque;

use heartwire_core::Violation;
use heartwire_core::resume::{Ledger, Position, Undelivered};

use crate::place::Ends;

pub(crate) const HEADER_LEN: usize = 8;
/// What is acknowledged without a beat, whatever the window.
const ACK_AT_MOST: u64 = 64 * 1024;

/// What one end knows.
#[derive(Clone, Debug)]
pub(crate) struct Books {
    window: u64,
    receive_window: u64,
    // What it sends.
    pub(crate) ends: Ends,
    /// The lengths of frames that are not acknowledged.
    log: VecDeque<usize>,
    /// Bytes of all frames that were written on some link.
    pub(crate) high: u64,
    pub(crate) acked: Position,
    pub(crate) has_ended: bool,
    // What it gets.
    /// The lengths of frames that were not taken over.
    inbox: VecDeque<usize>,
    pub(crate) received: Position,
    pub(crate) taken: Position,
    /// What the peer was told in bytes that were written.
    told: Position,
    pub(crate) peer_has_ended: bool,
}

impl Books {
    pub(crate) fn new(window: u32, receive_window: u32) -> Self {
        Self {
            window: window.into(),
            receive_window: receive_window.into(),
            ends: Ends::default(),
            log: VecDeque::new(),
            high: 0,
            acked: Position::default(),
            has_ended: false,
            inbox: VecDeque::new(),
            received: Position::default(),
            taken: Position::default(),
            told: Position::default(),
            peer_has_ended: false,
        }
    }

    /// The lengths of frames that are not acknowledged.
    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> {
        self.log.iter().copied()
    }

    pub(crate) fn queued(&self) -> usize {
        self.lens().sum()
    }

    /// Queues a message, or the END. Returns whether it could.
    pub(crate) fn queue(&mut self, ledger: &mut Ledger, body: Option<usize>) -> bool {
        let len = HEADER_LEN + body.unwrap_or(0);
        let has_room = len as u64 <= self.window / 2 && (self.queued() + len) as u64 <= self.window;
        // An END needs none.
        let fits = !self.has_ended && (body.is_none() || has_room);
        let queued = match body {
            Some(_) => ledger.queue(u32::try_from(len).expect("frames in here are short")),
            None => ledger.queue_end(),
        };
        assert_eq!(queued, fits, "{len} bytes");
        if fits {
            self.ends.push(len);
            self.log.push_back(len);
            self.has_ended = body.is_none();
        }
        fits
    }

    /// The first `len` bytes that are not acknowledged were written, now or before.
    pub(crate) fn handle_written(&mut self, ledger: &mut Ledger, len: usize) {
        self.high = self.high.max(self.acked.bytes + len.min(self.queued()) as u64);
        ledger.handle_written(len);
    }

    /// Removes what the peer has taken over, as a driver does after each read. Returns how many
    /// frames that are.
    pub(crate) fn settle(&mut self, ledger: &mut Ledger) -> Result<usize, Violation> {
        let count = ledger.settle(self.lens())?;
        for len in self.log.drain(..count) {
            self.acked.frames += 1;
            self.acked.bytes += len as u64;
        }
        assert!(self.acked.bytes <= self.high, "more than was written");
        Ok(count)
    }

    /// A frame that is counted came.
    pub(crate) fn get(&mut self, body_len: usize, is_end: bool) {
        let len = HEADER_LEN + body_len;
        assert!(!self.peer_has_ended, "after the END");
        self.peer_has_ended = is_end;
        self.inbox.push_back(len);
        self.received.frames += 1;
        self.received.bytes += len as u64;
        assert!(is_end || self.unacknowledged() <= self.receive_window, "over the window");
    }

    /// The bytes that the peer must not know to be taken over.
    pub(crate) fn unacknowledged(&self) -> u64 {
        self.received.bytes - self.told.bytes
    }

    pub(crate) fn is_over_window(&self, body_len: usize) -> bool {
        self.unacknowledged() + (HEADER_LEN + body_len) as u64 > self.receive_window
    }

    /// The body of a frame that fills the peer's window, but for `over` bytes.
    pub(crate) fn body_up_to_window(&self, over: i8) -> usize {
        let left = self.receive_window.saturating_sub(self.unacknowledged() + HEADER_LEN as u64);
        usize::try_from(left.saturating_add_signed(over.into())).expect("windows are short")
    }

    /// The application takes over a frame. Returns whether there is one, and it is a message.
    pub(crate) fn take(&mut self, ledger: &mut Ledger) -> Option<bool> {
        let len = self.inbox.pop_front()?;
        ledger.take(len);
        self.taken.frames += 1;
        self.taken.bytes += len as u64;
        Some(!self.peer_has_ended || !self.inbox.is_empty())
    }

    pub(crate) fn owes_ack(&self) -> bool {
        let news = self.taken.bytes - self.told.bytes;
        // The peer waits for the last of all.
        let is_last = self.peer_has_ended && self.taken == self.received;
        news > 0 && (is_last || news >= (self.receive_window / 4).min(ACK_AT_MOST))
    }

    /// Checks a position that this end writes.
    pub(crate) fn tell(&mut self, position: &[u8]) {
        let numbers = position.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        assert!(numbers.eq([self.taken.frames, self.taken.bytes]), "{position:?} is not so");
        self.told = self.taken;
    }

    /// Whether the peer might say this, all in one read.
    pub(crate) fn allow(&self, told: &[Position]) -> bool {
        let mut before = self.acked;
        let mut is_allowed = true;
        for position in told {
            is_allowed &= position.frames >= before.frames
                && position.bytes >= before.bytes
                && position.bytes <= self.high;
            before = *position;
        }
        // In between it may be wrong: a driver looks once for each read.
        is_allowed && self.ends.has(before)
    }

    /// Whether nothing waits for the peer, or for the application.
    pub(crate) fn is_quiet(&self) -> bool {
        self.log.is_empty() && self.inbox.is_empty()
    }

    pub(crate) fn check(&self, ledger: &Ledger) {
        assert_eq!((ledger.received(), ledger.taken()), (self.received, self.taken));
        assert_eq!(ledger.has_ended(), self.has_ended);
        assert_eq!(ledger.peer_has_ended(), self.peer_has_ended);
        assert_eq!(ledger.has_unacknowledged(), self.high > self.acked.bytes);
        assert_eq!(ledger.ack_due(), self.owes_ack());
        let room = if self.has_ended { 0 } else { self.window - self.queued() as u64 };
        assert_eq!(u64::from(ledger.room()), room);
        let ends = usize::from(self.has_ended && !self.log.is_empty());
        let bytes = self.lens().map(|len| (len - HEADER_LEN) as u64).sum();
        let frames = (self.log.len() - ends) as u64;
        assert_eq!(ledger.undelivered(), Undelivered { frames, bytes });
        assert_eq!(ledger.is_done(), self.has_ended && self.peer_has_ended && self.is_quiet());
    }
}
