//! The times of a node: the only file that reads a clock, beside those of the hooks.

use core::time::Duration;

use heartwire::server::EpochClock;
use heartwire_core::Instant;

/// The clocks of a node.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Never steps, and counts the time in which the machine was suspended where the system does.
    own: EpochClock,
    /// Follows the clock of Redis.
    epochs: EpochClock,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { own: EpochClock::new(), epochs: EpochClock::new() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.own.now_micros().saturating_mul(1_000))
    }

    /// Time from now to an instant.
    pub(crate) fn until(&self, at: Instant) -> Duration {
        at.saturating_since(self.now())
    }

    /// Microseconds since 1970, by the clock of Redis as far as that is known.
    pub(crate) fn wall(&self) -> u64 {
        self.epochs.now_micros()
    }

    /// The clock that epochs come from.
    pub(crate) const fn epochs(&self) -> &EpochClock {
        &self.epochs
    }

    /// The clock of Redis shows this many microseconds since 1970 now, as far as can be told:
    /// `error` more or less. A clock that may be right stays as it is, because most machines have
    /// their clocks set better than a round trip can measure.
    pub(crate) fn follow(&self, micros: u64, error: Duration) {
        let ahead = i128::from(micros) - i128::from(self.epochs.now_micros());
        if ahead.unsigned_abs() > error.as_micros() {
            // What does not fit is no clock.
            self.epochs.correct(i64::try_from(ahead).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_the_clock_of_redis_and_instants_do_not() {
        let clock = Clock::new();
        let (now, wall) = (clock.now(), clock.wall());
        let error = Duration::from_secs(1);
        clock.follow(wall + 3_600_000_000, error);
        assert!(clock.wall() >= wall + 3_600_000_000);
        assert!(clock.epochs().now_micros() >= wall + 3_600_000_000);
        clock.follow(wall - 3_600_000_000, error);
        assert!(clock.wall() < wall);
        // That is too little to be sure of.
        let before = clock.wall();
        clock.follow(clock.wall() - 500_000, error);
        assert!(clock.wall() >= before);
        assert!(clock.now() >= now && clock.until(now).is_zero());
    }
}
