//! One direction of a TCP connection: the sender's buffer, its retransmissions, and what has
//! arrived.
//!
//! It is simple and pessimistic: a lost segment is only sent again when its timer fires, and then
//! nothing else is sent until it is acknowledged.

use core::time::Duration;
use std::collections::VecDeque;

use super::time::WorldTime;

/// Receive buffer: bytes that a system keeps for a process that does not read.
const RECEIVE_BUFFER: u64 = 16 * 1024;

/// The shortest time after which Linux sends something again, on top of the round trip.
const RETRY_FIRST: Duration = Duration::from_millis(200);

/// The longest.
const MAX_RETRY: Duration = Duration::from_secs(120);

/// Segments that may be in flight before any was acknowledged.
pub(super) const CONGESTION_FIRST: u64 = 10;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    send_buffer: u64,
    gives_up_after: Duration,
    /// The bytes from `base` on.
    stream: VecDeque<u8>,
    base: u64,
    written: u64,
    /// An end follows `written`, as one more offset.
    closed: bool,
    next: u64,
    acked: u64,
    room: u64,
    congestion: u64,
    retries: u32,
    /// When the first retransmission was sent that is not answered yet.
    unanswered_since: Option<WorldTime>,
    /// After a retry nothing beyond this is sent until something is acknowledged.
    recovers_until: Option<u64>,
    sent: u64,
    /// When something has to be sent again.
    pub(super) retry_at: Option<WorldTime>,
    /// When the world looks at `retry_at` next.
    pub(super) retry_planned: Option<WorldTime>,
    arrived: u64,
    /// What has arrived behind a gap.
    scattered: Vec<(u64, u64)>,
    taken: u64,
    /// The end of the window that the sender was told.
    told_room: u64,
}

/// What to do when the retransmission timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Nothing is under way.
    Nothing,
    /// The other end has not answered for so long that the connection is given up.
    GiveUp,
    /// To send from the first unacknowledged byte on.
    Again,
    /// To ask whether there is room now.
    Probe,
}

impl Pipe {
    /// A direction whose sender takes so many bytes before they are acknowledged, and gives up at
    /// the first retry after so long without an answer.
    pub(super) const fn new(send_buffer: u64, gives_up_after: Duration) -> Self {
        Self {
            gives_up_after,
            send_buffer,
            stream: VecDeque::new(),
            base: 0,
            written: 0,
            closed: false,
            next: 0,
            acked: 0,
            room: RECEIVE_BUFFER,
            congestion: CONGESTION_FIRST,
            retries: 0,
            unanswered_since: None,
            recovers_until: None,
            sent: 0,
            retry_at: None,
            retry_planned: None,
            arrived: 0,
            scattered: Vec::new(),
            taken: 0,
            told_room: RECEIVE_BUFFER,
        }
    }

    /// Takes as many of `bytes` as there is room for. Returns how many.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let room = self.send_buffer.saturating_sub(self.written - self.acked);
        let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.stream.extend(bytes.iter().take(len));
        self.written += offset(len);
        len
    }

    /// Nothing more will be written.
    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    fn end(&self) -> u64 {
        self.written + u64::from(self.closed)
    }

    /// The next segment to send, of `max_segment` bytes at most.
    pub(super) fn next_segment(&mut self, max_segment: u64) -> Option<(u64, u64)> {
        let may = self.acked.saturating_add(self.congestion.saturating_mul(max_segment));
        let limit = self.end().min(self.room).min(may);
        let limit = self.recovers_until.map_or(limit, |until| limit.min(until));
        if self.next >= limit {
            return None;
        }
        let from = self.next;
        self.next = limit.min(from + max_segment);
        self.sent = self.sent.max(self.next);
        Some((from, self.next))
    }

    /// Whether all that was sent has been acknowledged.
    pub(super) const fn is_quiet(&self) -> bool {
        self.acked == self.written
    }

    /// Whether something was sent that has not been acknowledged, or waits for room.
    pub(super) fn needs_timer(&self) -> bool {
        self.acked < self.end()
    }

    /// When to send again, if nothing is acknowledged before.
    pub(super) fn retry_after(&self, round_trip: Duration) -> Duration {
        let first = first_retry_after(round_trip);
        first.saturating_mul(1 << self.retries.min(16)).min(MAX_RETRY)
    }

    /// The retransmission timer fired.
    pub(super) fn handle_retry(&mut self, now: WorldTime) -> Retry {
        if !self.needs_timer() {
            return Retry::Nothing;
        }
        self.retries += 1;
        if now.since(*self.unanswered_since.get_or_insert(now)) >= self.gives_up_after {
            return Retry::GiveUp;
        }
        if self.room <= self.acked {
            return Retry::Probe;
        }
        self.next = self.acked;
        self.congestion = 1;
        self.recovers_until = Some(self.sent);
        Retry::Again
    }

    /// Returns whether bytes that were under way are no longer.
    pub(super) fn handle_ack(&mut self, until: u64, room: u64) -> bool {
        self.unanswered_since = None;
        self.room = self.room.max(room);
        if until <= self.acked || until > self.end() {
            return false;
        }
        self.acked = until;
        self.sent = self.sent.max(until);
        self.next = self.next.max(until);
        self.recovers_until = None;
        self.congestion = (self.congestion * 2).min(64);
        self.retries = 0;
        self.retry_at = None;
        self.forget();
        true
    }

    /// A segment arrived. Returns whether there is something new to read.
    pub(super) fn arrive(&mut self, from: u64, until: u64) -> bool {
        let until = until.min(self.receive_room());
        if until <= self.arrived || from >= until {
            return false;
        }
        if from > self.arrived {
            self.scattered.push((from, until));
            return false;
        }
        self.arrived = until;
        while let Some(found) = self.scattered.iter().position(|&(from, _)| from <= self.arrived) {
            let (_, until) = self.scattered.swap_remove(found);
            self.arrived = self.arrived.max(until);
        }
        true
    }

    /// Everything before this has arrived.
    pub(super) const fn arrived(&self) -> u64 {
        self.arrived
    }

    fn receive_room(&self) -> u64 {
        self.taken + RECEIVE_BUFFER
    }

    /// The end of the window, to be told to the sender.
    pub(super) fn tell_room(&mut self) -> u64 {
        self.told_room = self.receive_room();
        self.told_room
    }

    /// Whether the sender assumes hardly any room although there is.
    pub(super) fn has_news_of_room(&self) -> bool {
        let believed = self.told_room.saturating_sub(self.arrived);
        believed < RECEIVE_BUFFER / 4 && self.receive_room() - self.arrived >= RECEIVE_BUFFER / 4
    }

    /// Bytes that were written and are not acknowledged; an end counts as one.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.end() - self.acked
    }

    /// Whether something is under way that has not been acknowledged.
    pub(super) const fn has_sent(&self) -> bool {
        self.sent > self.acked
    }

    /// Everything before this has been acknowledged.
    pub(super) const fn acked(&self) -> u64 {
        self.acked
    }

    /// Bytes that have arrived and were not read.
    pub(super) fn readable(&self) -> u64 {
        self.arrived.min(self.written) - self.taken
    }

    /// Whether the end has arrived.
    pub(super) const fn has_ended(&self) -> bool {
        self.arrived > self.written
    }

    /// Whether every byte of its sender has been read, and its end has arrived.
    pub(super) const fn is_complete(&self) -> bool {
        self.has_ended() && self.taken == self.written
    }

    /// Moves at most `most` bytes that have arrived to `buffer`. Returns how many.
    pub(super) fn take(&mut self, buffer: &mut Vec<u8>, most: u64) -> u64 {
        let len = self.readable().min(most);
        let start = usize::try_from(self.taken - self.base).unwrap_or(usize::MAX);
        let count = usize::try_from(len).unwrap_or(0);
        buffer.extend(self.stream.range(start..start + count));
        self.taken += len;
        self.forget();
        len
    }

    fn forget(&mut self) {
        let until = self.acked.min(self.taken).min(self.written);
        let count = usize::try_from(until.saturating_sub(self.base)).unwrap_or(0);
        self.stream.drain(..count);
        self.base = self.base.max(until);
    }
}

/// When to send again for the first time.
pub(super) fn first_retry_after(round_trip: Duration) -> Duration {
    RETRY_FIRST + round_trip
}

fn offset(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
