//! How often the server is told something new.

use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::internal::Bucket;

/// Status updates that may go out at once: a quarter of what a server accepts (PROTOCOL.md, "Too
/// many beats"), so that an application that goes to sleep and wakes up again is not kept waiting.
const MAX_CREDIT: i64 = 16;

/// Promises are in whole milliseconds.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Each change of a promise or of a state is one beat more than was agreed. A server puts up with twice as
/// many as agreed and with 64 on top; so one change for each interval, and a few at once, are nobody's
/// business whatever the application does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace(Bucket);

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self(Bucket::new(MAX_CREDIT, now))
    }

    /// Whether a change may go out now, with one allowed for each `interval`. It then counts as gone out.
    pub(super) fn take(&mut self, interval: Duration, now: Instant) -> bool {
        self.0.refill(interval.max(MIN_INTERVAL), |_gained| MAX_CREDIT, now);
        self.0.take(0)
    }

    /// When the next one may, after [`take`](Self::take) with this interval refused one.
    pub(super) fn next_at(&self, interval: Duration) -> Instant {
        self.0.next_at(interval.max(MIN_INTERVAL))
    }
}

#[cfg(test)]
mod tests;
