//! Random values of all sizes, from a seed.

use core::time::Duration;

use super::time::nanos;

pub(super) const MS: Duration = Duration::from_millis(1);

/// A source of random values.
pub(super) struct Draw<'a> {
    pub(super) rng: &'a mut fastrand::Rng,
    /// Times are multiples of this, so that things happen at the same time.
    pub(super) grain: Duration,
}

impl Draw<'_> {
    pub(super) fn chance(&mut self, of_100: u32) -> bool {
        self.rng.u32(0..100) < of_100
    }

    pub(super) fn one<T: Copy>(&mut self, of: &[T], fallback: T) -> T {
        of.get(self.rng.usize(0..of.len().max(1))).copied().unwrap_or(fallback)
    }

    /// Logarithmic: as often between 1 and 2 as between 2 and 4.
    pub(super) fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (nanos(least).max(1), nanos(most).max(2));
        let doublings = (most / least).max(1).ilog2();
        let base = least << self.rng.u32(0..=doublings).min(62);
        let time = self.rng.u64(base..=base.saturating_mul(2)).min(most);
        self.grained(Duration::from_nanos(time))
    }

    fn grained(&self, time: Duration) -> Duration {
        let grain = nanos(self.grain).max(1);
        Duration::from_nanos((nanos(time) / grain).max(1).saturating_mul(grain))
    }

    /// Up to this percentage of a time.
    pub(super) fn part(&mut self, of: Duration, most_percent: u32) -> Duration {
        let time = of * self.rng.u32(0..=most_percent) / 100;
        self.grained(time)
    }
}

/// So many of 2^32.
pub(super) fn percent(of_100: u32) -> u32 {
    (u32::MAX / 100) * of_100
}
