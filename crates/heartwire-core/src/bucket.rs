//! Token buckets: a burst at once, and one token per interval.
//!
//! [`Bucket`] counts its tokens, so that they stay when the interval changes. [`Gcra`] has a fixed
//! interval, so that a bucket is only one number: when it will be full.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::time::{Instant, nanos};

/// A token bucket whose interval may change.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Below zero it is a debt.
    tokens: i64,
    /// When the last token came back, so that the part of the interval since then counts.
    refilled_at: Instant,
}

impl Bucket {
    /// A bucket with `tokens` tokens.
    #[must_use]
    pub const fn new(tokens: i64, now: Instant) -> Self {
        Self { tokens, refilled_at: now }
    }

    /// The tokens, as of the last [`refill`](Self::refill) and [`take`](Self::take).
    #[must_use]
    pub const fn tokens(&self) -> i64 {
        self.tokens
    }

    /// When the last token came back.
    pub(crate) const fn refilled_at(&self) -> Instant {
        self.refilled_at
    }

    /// Adds a token for each `interval` since the last one came back, up to `most`, which gets
    /// their number. Tokens beyond that stay.
    pub fn refill(&mut self, interval: Duration, most: impl FnOnce(i64) -> i64, now: Instant) {
        let gained = intervals(now.saturating_since(self.refilled_at), interval);
        self.refilled_at = self.refilled_at.saturating_add(interval.saturating_mul(gained));
        let gained = i64::from(gained);
        let refilled = self.tokens.saturating_add(gained).min(most(gained));
        self.tokens = self.tokens.max(refilled);
    }

    /// Takes a token if at least `least` are left then. Returns whether it did.
    pub const fn take(&mut self, least: i64) -> bool {
        let takes = self.tokens > least;
        if takes {
            self.tokens -= 1;
        }
        takes
    }

    /// When the next token comes back, after a [`refill`](Self::refill) with this interval.
    #[must_use]
    pub fn next_at(&self, interval: Duration) -> Instant {
        self.refilled_at.saturating_add(interval)
    }
}

/// How many whole intervals fit into `time`; at most `u32::MAX`.
pub(crate) fn intervals(time: Duration, interval: Duration) -> u32 {
    u32::try_from(nanos(time) / nanos(interval).max(1)).unwrap_or(u32::MAX)
}

/// Token buckets with the same rate and burst (generic cell rate algorithm). Each bucket is one
/// time, at which it will be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    interval: u64,
    /// How far ahead of the clock the time of a bucket may be for one more token.
    slack: u64,
}

impl Gcra {
    /// At most `burst` tokens at once, and `per_second` of them in the long run.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        // Rounded up, so that the rate is never exceeded.
        let interval = 1_000_000_000_u64.div_ceil(u64::from(per_second.get()));
        Self::every(Duration::from_nanos(interval), burst)
    }

    /// At most `burst` tokens at once, and one per `interval` in the long run.
    #[must_use]
    pub fn every(interval: Duration, burst: NonZeroU32) -> Self {
        let interval = nanos(interval);
        Self { interval, slack: interval.saturating_mul(u64::from(burst.get() - 1)) }
    }

    /// How long it takes to refill an empty bucket.
    #[must_use]
    pub const fn refill(self) -> Duration {
        Duration::from_nanos(self.slack.saturating_add(self.interval))
    }

    /// Takes a token out of a bucket that will be full at `full_at`. Returns when it will be full
    /// then.
    ///
    /// # Errors
    ///
    /// How long it takes until there is a token.
    pub fn take(self, full_at: Instant, now: Instant) -> Result<Instant, Duration> {
        let earliest = full_at.saturating_sub(Duration::from_nanos(self.slack));
        if earliest > now {
            return Err(earliest.saturating_since(now));
        }
        Ok(full_at.max(now).saturating_add(Duration::from_nanos(self.interval)))
    }
}
