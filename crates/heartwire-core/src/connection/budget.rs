//! Rate limit for a peer's beats.

use core::time::Duration;

use crate::bucket::{self, Bucket};
use crate::policy::Millis;
use crate::time::{Halves, Instant};

/// Burst of beats that may come at once, or too early, without a warning.
const MIN_CREDIT: i64 = 64;

/// A peer may send at once the beats of this time, because a path that was down delivers them all
/// at once. No beat is delayed for longer than a kernel retransmits (Linux: 938 to 940 s,
/// docs/faults.md).
const CREDIT_TIME: Duration = Duration::from_secs(15 * 60);

/// A peer's budget for beats: twice the agreed rate, and a burst. A [`Bucket`] in 12 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// At most the beats of [`CREDIT_TIME`], which are 1,800,000 at the shortest interval, unless
    /// the peer was not read for longer.
    credit: i32,
    refilled_at: Halves,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self::of(Bucket::new(MIN_CREDIT, now))
    }

    fn of(bucket: Bucket) -> Self {
        let credit = i32::try_from(bucket.tokens()).unwrap_or(i32::MAX);
        Self { credit, refilled_at: bucket.refilled_at().into() }
    }

    /// Charges one beat of a peer that agreed to one per `interval`. Returns `false` if the budget
    /// is exhausted.
    pub(super) fn charge(&mut self, interval: Millis, now: Instant) -> bool {
        let half = Duration::from_micros(u64::from(interval.get()) * 500);
        let most = MIN_CREDIT.max(i64::from(bucket::intervals(CREDIT_TIME, half)));
        let mut bucket = Bucket::new(self.credit(), self.refilled_at.into());
        // A peer that was not read for long may have sent all its beats meanwhile.
        bucket.refill(half, |gained| gained.max(most), now);
        let is_taken = bucket.take(-MIN_CREDIT);
        *self = Self::of(bucket);
        is_taken
    }

    /// Beats that the peer may still send; below 0 it is too fast.
    pub(super) fn credit(&self) -> i64 {
        self.credit.into()
    }
}
