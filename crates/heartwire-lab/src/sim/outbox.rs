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
}

/// How many messages are lost with a connection: only the one whose writing had begun, or all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsent {
    pub(super) begun: usize,
    pub(super) all: usize,
    /// Which of the two it is, is not known: the connection may have been about to be closed.
    pub(super) is_either: bool,
}

impl Unsent {
    pub(super) fn allows(self, unsent: usize) -> bool {
        unsent == self.begun || (self.is_either && unsent == self.all)
    }
}

impl Outbox {
    pub(super) fn push(&mut self, body: Body) {
        self.sent += u64::try_from(body.len).unwrap_or(u64::MAX);
        self.waiting.push_back(body);
    }

    /// The next message has been written whole.
    pub(super) fn pop(&mut self) -> Option<Body> {
        self.waiting.pop_front()
    }

    /// There is a new process.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.is_closing = false;
    }

    /// A connection has ended, maybe within a message. One that is `kept` waits for the next.
    pub(super) fn handle_end(&mut self, has_begun: bool, kept: bool) -> Unsent {
        let all = self.waiting.len();
        if !kept {
            self.waiting.clear();
            return Unsent { begun: all, all, is_either: false };
        }
        if has_begun {
            self.waiting.pop_front();
        }
        Unsent { begun: has_begun.into(), all, is_either: self.is_closing }
    }
}
