//! Limits how often the client sends changes of its promise or health.

use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::internal::Bucket;

/// Maximum number of changes sent at once: a quarter of what a server accepts (PROTOCOL.md, "Too
/// many beats"), so that an application that goes to sleep and wakes up again need not wait.
const MAX_CREDIT: i64 = 16;

/// Promises are in whole milliseconds.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

/// Each change of the promise or health is one beat more than agreed. A server tolerates twice the
/// agreed beats plus 64, so one change per interval, and a few at once, are always accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace(Bucket);

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self(Bucket::new(MAX_CREDIT, now))
    }

    /// Whether a change may be sent now, at one per `interval`. If so, counts it as sent.
    pub(super) fn take(&mut self, interval: Duration, now: Instant) -> bool {
        self.0.refill(interval.max(MIN_INTERVAL), |_gained| MAX_CREDIT, now);
        self.0.take(0)
    }

    /// When the next change may be sent, after [`take`](Self::take) with this interval refused one.
    pub(super) fn next_at(&self, interval: Duration) -> Instant {
        self.0.next_at(interval.max(MIN_INTERVAL))
    }
}

#[cfg(test)]
mod tests;
