//! The clock of epochs.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use crate::clock;

/// The clock that [epochs](super::Agreed::epoch) come from: microseconds since 1970. It reads the
/// wall clock once, when it is made, and measures from then on: a step of the wall clock changes
/// nothing. Clones are one clock.
///
/// Servers that share their clients can [correct](Self::correct) theirs by the clock of something
/// that they have in common, so that the epochs of one server compare with those of another.
#[derive(Clone, Debug)]
pub struct EpochClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What is to be added to the time measured. Wraps.
    base: AtomicU64,
    is_stopped: bool,
}

impl EpochClock {
    /// A clock that begins with the wall clock's time.
    #[must_use]
    pub fn new() -> Self {
        Self::of(clock::wall_micros().wrapping_sub(measured()), false)
    }

    /// A clock that shows this time always, for tests: epochs then begin with it and are
    /// consecutive.
    #[must_use]
    pub fn stopped(micros: u64) -> Self {
        Self::of(micros, true)
    }

    fn of(base: u64, is_stopped: bool) -> Self {
        Self(Arc::new(Inner { base: base.into(), is_stopped }))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn now_micros(&self) -> u64 {
        let measured = if self.0.is_stopped { 0 } else { measured() };
        self.0.base.load(Relaxed).wrapping_add(measured)
    }

    /// Sets the clock forward by so many microseconds, or back if that is negative. A clock that is
    /// set back makes no epoch lower: they go on from the last one.
    pub fn correct(&self, micros: i64) {
        self.0.base.fetch_add(0_u64.wrapping_add_signed(micros), Relaxed);
    }
}

impl Default for EpochClock {
    fn default() -> Self {
        Self::new()
    }
}

/// Microseconds on the monotonic clock.
fn measured() -> u64 {
    clock::now().as_nanos() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_goes_on_from_the_wall_clock_and_its_clones_are_corrected_with_it() {
        let before = clock::wall_micros();
        let clock = EpochClock::new();
        let at = clock.now_micros();
        // A wall clock may be set while this runs, but hardly by a day.
        assert!(at.abs_diff(before) < 86_400_000_000, "{at} after {before}");
        assert!(clock.now_micros() >= at);
        let copy = clock.clone();
        clock.correct(3_600_000_000);
        assert!(copy.now_micros() >= at + 3_600_000_000);
        copy.correct(-7_200_000_000);
        assert!(clock.now_micros() < at);
    }

    #[test]
    fn stopped_clock_shows_one_time_until_it_is_corrected() {
        let clock = EpochClock::stopped(5);
        assert_eq!((clock.now_micros(), clock.now_micros()), (5, 5));
        clock.correct(-2);
        assert_eq!(clock.now_micros(), 3);
    }
}
