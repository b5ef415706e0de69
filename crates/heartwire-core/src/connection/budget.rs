//! Rate limit for a peer's beats.

use core::time::Duration;

use crate::bucket::{self, Bucket};
use crate::policy::Millis;
use crate::time::Instant;

/// Burst of beats that may come at once, or too early, without a warning.
const MIN_CREDIT: i64 = 64;

/// A peer may send at once the beats of this time, because a path that was down delivers them all
/// at once. No beat is delayed for longer than a kernel retransmits (Linux: 938 to 940 s,
/// docs/faults.md).
const CREDIT_TIME: Duration = Duration::from_secs(15 * 60);

/// A peer's budget for beats: twice the agreed rate, and a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(Bucket);

impl Budget {
    pub(super) const fn new(now: Instant) -> Self {
        Self(Bucket::new(MIN_CREDIT, now))
    }

    /// Charges one beat of a peer that agreed to one per `interval`. Returns `false` if the budget
    /// is exhausted.
    pub(super) fn charge(&mut self, interval: Millis, now: Instant) -> bool {
        let half = Duration::from_micros(u64::from(interval.get()) * 500);
        let most = MIN_CREDIT.max(i64::from(bucket::intervals(CREDIT_TIME, half)));
        // A peer that was not read for long may have sent all its beats meanwhile.
        self.0.refill(half, |gained| gained.max(most), now);
        self.0.take(-MIN_CREDIT)
    }

    /// Beats that the peer may still send; below 0 it is too fast.
    pub(super) const fn credit(&self) -> i64 {
        self.0.tokens()
    }
}
