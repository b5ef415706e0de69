//! Time as C tells it: whole milliseconds, rounded down.

use core::time::Duration;

use heartwire_core::Instant;

const NANOS_PER_MS: u64 = 1_000_000;

/// The last time that a clock may show: in the year 2262 for one that counts from 1970. Deadlines
/// beyond it still have their nanoseconds.
const MAX_MS: u64 = u64::MAX / NANOS_PER_MS / 2;

/// The caller's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// The latest time so far: a clock that goes back is taken as standing still.
    latest: Instant,
}

impl Clock {
    pub(super) const fn new() -> Self {
        Self { latest: Instant::from_nanos(0) }
    }

    /// The caller's clock shows this.
    pub(super) fn set(&mut self, now_ms: u64) -> Instant {
        self.latest = self.shown(now_ms);
        self.latest
    }

    /// The latest time so far.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn latest(&self) -> Instant {
        self.latest
    }

    /// The time that it is then. What no clock shows, such as `HW_NEVER`, is none.
    pub(super) fn shown(&self, now_ms: u64) -> Instant {
        if now_ms > MAX_MS {
            return self.latest;
        }
        self.latest.max(Instant::from_nanos(now_ms.saturating_mul(NANOS_PER_MS)))
    }
}

#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// The first millisecond that is not before a time.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn ceil_ms(at: Instant) -> u64 {
    at.as_nanos().div_ceil(NANOS_PER_MS)
}

/// A duration in whole milliseconds, rounded down; `u32::MAX` if it is longer.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn floor_ms(duration: Duration) -> u32 {
    let ms = duration.as_secs().saturating_mul(1_000);
    u32::try_from(ms.saturating_add(duration.subsec_millis().into())).unwrap_or(u32::MAX)
}

/// A duration in whole milliseconds, rounded up; `u32::MAX` if it is longer.
pub(super) fn up_ms(duration: Duration) -> u32 {
    floor_ms(duration.saturating_add(Duration::from_nanos(NANOS_PER_MS - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_stands_still() {
        let mut clock = Clock::new();
        let at = clock.set(5_000);
        assert_eq!(clock.set(4_999), at);
        assert_eq!(clock.set(0), at);
        assert!(clock.set(5_001) > at);
    }

    #[test]
    fn the_last_time_that_there_is_can_be_told() {
        let mut clock = Clock::new();
        let at = clock.set(MAX_MS);
        assert_eq!(ceil_ms(at), MAX_MS);
        assert_eq!(clock.set(u64::MAX), at);
        let never = Instant::from_nanos(u64::MAX);
        assert_eq!(ceil_ms(never), u64::MAX.div_ceil(NANOS_PER_MS));
    }

    #[test]
    fn durations_are_rounded_as_they_say() {
        let nearly_two = Duration::from_nanos(1_999_999);
        assert_eq!((floor_ms(nearly_two), up_ms(nearly_two)), (1, 2));
        assert_eq!((floor_ms(Duration::MAX), up_ms(Duration::MAX)), (u32::MAX, u32::MAX));
        assert_eq!(up_ms(Duration::from_millis(3)), 3);
    }
}
