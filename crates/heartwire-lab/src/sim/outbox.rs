//! Messages of a client's application, until they are written.

use std::collections::VecDeque;

use super::ledger::len_of;
use super::link::Body;

/// Messages that the process of a client has not written yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Body>,
    /// Bytes of bodies that were ever sent.
    pub(super) sent: u64,
    /// It will write what it has, then end.
    pub(super) is_closing: bool,
    /// In this session it sends no more than it has.
    pub(super) ends: bool,
    /// The longest message that the server accepts. A client that has queued a longer one before it
    /// knew that drops it.
    longest: usize,
    /// The lengths of the messages that were dropped for that on the current connection.
    dropped: Vec<usize>,
    /// The client's process has a session that outlives its links: what waits is not lost with one.
    /// With the longest message in it.
    session: Option<(usize, usize)>,
    /// What was lost with the sessions before, of which the application has not been told yet.
    pub(super) settled: VecDeque<Unsent>,
}

/// How many messages are lost with a connection: only the one whose writing had begun, or all.
#[derive(Clone, Debug)]
pub(super) struct Unsent {
    /// The lengths of those that were passed over as too long, which are among the next.
    passed_over: Vec<usize>,
    pub(super) begun: usize,
    /// Of those that wait, so many are too long: they may have been dropped, or not yet.
    pub(super) too_long: usize,
    /// Longer than this.
    pub(super) longest: usize,
    pub(super) all: usize,
    /// The bytes of all, if these are known: not of those that were dropped before.
    pub(super) bytes: Option<u64>,
    /// Which of the two it is, is not known: the connection may have been about to be closed.
    pub(super) is_either: bool,
}

impl Unsent {
    /// How many messages that wait were dropped as too long, if so many can be lost.
    pub(super) fn dropped(&self, unsent: usize) -> Option<usize> {
        let dropped = unsent.checked_sub(self.begun).filter(|&dropped| dropped <= self.too_long);
        dropped.or_else(|| (self.is_either && unsent == self.all).then_some(0))
    }

    /// How many bytes these had, if that is known.
    pub(super) fn bytes(&self, unsent: usize) -> Option<u64> {
        if unsent == 0 { Some(0) } else { self.bytes.filter(|_| unsent == self.all) }
    }

    /// The first ones that are longer than this had been dropped before. Returns how many are left
    /// of these.
    pub(super) fn forget(&mut self, count: usize, longest: usize) -> usize {
        let left = forget(&mut self.passed_over, count, longest);
        self.begun -= count - left;
        self.all -= count - left;
        left
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

    /// The session of the process, if it outlives its links.
    pub(super) fn session(&self) -> Option<usize> {
        self.session.map(|(index, _)| index)
    }

    /// The process has a session that outlives its links, with this longest message.
    pub(super) const fn begin_session(&mut self, index: usize, longest: usize) {
        self.session = Some((index, longest));
    }

    /// Its session has ended, and what was not written is `kept`, or not. Returns the session.
    pub(super) fn end_session(&mut self, kept: bool) -> Option<usize> {
        let index = self.session()?;
        let unsent = self.handle_end(false, kept);
        self.settled.push_back(unsent);
        self.session = None;
        self.ends = false;
        Some(index)
    }

    fn longest(&self) -> usize {
        self.session.map_or(self.longest, |(_, longest)| longest.min(self.longest))
    }

    fn skip_too_long(&mut self) {
        let longest = self.longest();
        while self.waiting.front().is_some_and(|body| body.len > longest) {
            self.dropped.extend(self.waiting.pop_front().map(|body| body.len));
        }
    }

    /// The first ones that are longer than this were dropped.
    pub(super) fn drop_too_long(&mut self, mut count: usize, longest: usize) {
        // Sessions that have ended since, and the next connection, may have passed over them.
        for unsent in &mut self.settled {
            count = unsent.forget(count, longest);
        }
        count = forget(&mut self.dropped, count, longest);
        self.waiting.retain(|body| {
            let is_dropped = count > 0 && body.len > longest;
            count -= usize::from(is_dropped);
            !is_dropped
        });
    }

    /// There is a new process.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.dropped.clear();
        self.session = None;
        self.settled.clear();
        self.is_closing = false;
        self.ends = false;
    }

    /// A connection has ended, maybe within a message. One that is `kept` waits for the next.
    pub(super) fn handle_end(&mut self, has_begun: bool, kept: bool) -> Unsent {
        let mut passed_over = core::mem::take(&mut self.dropped);
        let all = self.waiting.len() + passed_over.len();
        let bytes = self.waiting.iter().map(|body| len_of(body.len)).sum();
        let bytes = passed_over.is_empty().then_some(bytes);
        if !kept {
            self.waiting.clear();
            return Unsent {
                passed_over,
                begun: all,
                too_long: 0,
                longest: usize::MAX,
                all,
                bytes,
                is_either: false,
            };
        }
        if has_begun {
            self.skip_too_long();
            self.waiting.pop_front();
        }
        passed_over.append(&mut self.dropped);
        let begun = passed_over.len() + usize::from(has_begun);
        let longest = self.longest();
        let too_long = self.waiting.iter().filter(|body| body.len > longest).count();
        let is_either = self.is_closing;
        Unsent { passed_over, begun, too_long, longest, all, bytes, is_either }
    }
}

/// Removes the first `count` lengths that are greater than `longest`. Returns how many more there
/// would have to be.
fn forget(lens: &mut Vec<usize>, mut count: usize, longest: usize) -> usize {
    lens.retain(|&len| {
        let is_forgotten = count > 0 && len > longest;
        count -= usize::from(is_forgotten);
        !is_forgotten
    });
    count
}

#[cfg(test)]
mod tests;
