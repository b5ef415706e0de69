//! Messages of a client's application, until they are written.

use std::collections::VecDeque;

use super::link::Body;

/// Messages that the process of a client has not written yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Body>,
    /// Bytes of bodies that were ever sent.
    pub(super) sent: u64,
    /// It will write what it has, then end.
    pub(super) is_closing: bool,
    /// The longest message that the server accepts. A client that has queued a longer one before it
    /// knew that drops it.
    longest: usize,
    /// Messages that were dropped for that on the current connection.
    dropped: usize,
}

/// How many messages are lost with a connection: only the one whose writing had begun, or all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsent {
    pub(super) begun: usize,
    /// Of those that wait, so many are too long: they may have been dropped, or not yet.
    pub(super) too_long: usize,
    pub(super) all: usize,
    /// Which of the two it is, is not known: the connection may have been about to be closed.
    pub(super) is_either: bool,
}

impl Unsent {
    /// How many messages that wait were dropped as too long, if so many can be lost.
    pub(super) fn dropped(self, unsent: usize) -> Option<usize> {
        let dropped = unsent.checked_sub(self.begun).filter(|&dropped| dropped <= self.too_long);
        dropped.or_else(|| (self.is_either && unsent == self.all).then_some(0))
    }
}

impl Outbox {
    pub(super) fn new(longest: Option<usize>) -> Self {
        Self { longest: longest.unwrap_or(usize::MAX), ..Self::default() }
    }

    pub(super) fn push(&mut self, body: Body) {
        self.sent += u64::try_from(body.len).unwrap_or(u64::MAX);
        self.waiting.push_back(body);
    }

    /// The next message has been written whole.
    pub(super) fn pop(&mut self) -> Option<Body> {
        self.skip_too_long();
        self.waiting.pop_front()
    }

    fn skip_too_long(&mut self) {
        while self.waiting.front().is_some_and(|body| body.len > self.longest) {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }

    /// The first ones that are too long were dropped.
    pub(super) fn drop_too_long(&mut self, mut count: usize) {
        let longest = self.longest;
        self.waiting.retain(|body| {
            let is_dropped = count > 0 && body.len > longest;
            count -= usize::from(is_dropped);
            !is_dropped
        });
    }

    /// There is a new process.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.dropped = 0;
        self.is_closing = false;
    }

    /// A connection has ended, maybe within a message. One that is `kept` waits for the next.
    pub(super) fn handle_end(&mut self, has_begun: bool, kept: bool) -> Unsent {
        let dropped = core::mem::take(&mut self.dropped);
        let all = self.waiting.len() + dropped;
        if !kept {
            self.waiting.clear();
            return Unsent { begun: all, too_long: 0, all, is_either: false };
        }
        if has_begun {
            self.skip_too_long();
            self.waiting.pop_front();
        }
        let begun = dropped + core::mem::take(&mut self.dropped) + usize::from(has_begun);
        let too_long = self.waiting.iter().filter(|body| body.len > self.longest).count();
        Unsent { begun, too_long, all, is_either: self.is_closing }
    }
}
