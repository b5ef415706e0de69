//! The clock of the store, as this node knows it from its calls.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Instant;

/// For how long a measurement counts. Clocks drift by 50 µs a second at most, so by 3 ms in it.
const KEPT: Duration = Duration::from_secs(60);
/// By how much more than their errors two measurements differ if the store's clock was stepped.
const STEPPED: Duration = Duration::from_millis(20);

/// What one call told of the store's clock.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// When the answer came.
    at: Instant,
    /// What the store's clock showed at the driver's origin, in microseconds since 1970.
    origin: i128,
    /// By how much that can be wrong: half of the round trip.
    error: Duration,
}

/// The clock of the store: the measurement of the last minute that had the shortest round trip.
#[derive(Debug, Default)]
pub(super) struct StoreClock {
    measured: VecDeque<Measured>,
}

impl StoreClock {
    /// An answer that came `now`, to a call made at `asked_at`, said that the clock shows `micros`.
    pub(super) fn measure(&mut self, asked_at: Instant, now: Instant, micros: u64) {
        let error = now.saturating_since(asked_at) / 2;
        let between = asked_at.saturating_add(error);
        let new = Measured { at: now, origin: i128::from(micros) - micros_of(between), error };
        if self.best().is_some_and(|best| new.contradicts(best)) {
            self.measured.clear();
        }
        self.measured.retain(|old| now.saturating_since(old.at) < KEPT);
        self.measured.push_back(new);
    }

    /// What the store's clock shows at an instant, if that is known.
    pub(super) fn at(&self, instant: Instant) -> Option<u64> {
        let best = self.best()?;
        u64::try_from(best.origin + micros_of(instant)).ok()
    }

    fn best(&self) -> Option<&Measured> {
        self.measured.iter().min_by_key(|measured| measured.error)
    }
}

impl Measured {
    /// Whether not both can be right, unless the store's clock was stepped in between.
    fn contradicts(&self, other: &Self) -> bool {
        let most = (self.error + other.error + STEPPED).as_micros();
        self.origin.abs_diff(other.origin) > most
    }
}

fn micros_of(instant: Instant) -> i128 {
    i128::from(instant.as_nanos() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_764_270_000_000_000;

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn measurement_with_the_shortest_round_trip_counts_for_a_minute() {
        let mut clock = StoreClock::default();
        assert_eq!(clock.at(ms(0)), None);
        // The way there took all of the 10 ms: half of that is the error.
        clock.measure(ms(0), ms(10), START + 10_000);
        assert_eq!(clock.at(ms(10)), Some(START + 15_000));
        clock.measure(ms(5_000), ms(5_002), START + 5_001_000);
        assert_eq!(clock.at(ms(6_000)), Some(START + 6_000_000));
        clock.measure(ms(10_000), ms(10_010), START + 10_010_000);
        assert_eq!(clock.at(ms(11_000)), Some(START + 11_000_000), "5 ms off, and not the best");
        clock.measure(ms(75_000), ms(75_010), START + 75_000_000);
        assert_eq!(clock.at(ms(75_005)), Some(START + 75_000_000), "the others are too old");
    }

    #[test]
    fn step_of_the_clock_is_followed_at_once() {
        let mut clock = StoreClock::default();
        clock.measure(ms(0), ms(2), START + 1_000);
        clock.measure(ms(5_000), ms(5_020), START + 3_600_000_000);
        assert_eq!(clock.at(ms(5_010)), Some(START + 3_600_000_000));
    }
}
