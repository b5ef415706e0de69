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

    /// The clock of Redis showed this many microseconds since 1970 at this instant, as far as can
    /// be told: `error` more or less. A clock that may be right stays as it is, because most
    /// machines have their clocks set better than a round trip can measure.
    pub(crate) fn follow(&self, micros: u64, at: Instant, error: Duration) {
        let before = self.now();
        let shown = self.epochs.now_micros();
        // This may have been paused since: then nothing can be told.
        let error = error + self.now().saturating_since(before);
        let micros = i128::from(micros) + micros_of(before) - micros_of(at);
        let ahead = micros - i128::from(shown);
        if ahead.unsigned_abs() > error.as_micros() {
            // What does not fit is no clock.
            self.epochs.correct(i64::try_from(ahead).unwrap_or(0));
        }
    }
}

fn micros_of(instant: Instant) -> i128 {
    i128::from(instant.as_nanos() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_the_clock_of_redis_and_instants_do_not() {
        let clock = Clock::new();
        let (now, wall) = (clock.now(), clock.wall());
        let error = Duration::from_secs(1);
        clock.follow(wall + 3_600_000_000, now, error);
        assert!(clock.wall() >= wall + 3_600_000_000);
        assert!(clock.epochs().now_micros() >= wall + 3_600_000_000);
        clock.follow(wall - 3_600_000_000, now, error);
        assert!(clock.wall() < wall);
        // That is too little to be sure of.
        let before = clock.wall();
        clock.follow(clock.wall() - 500_000, clock.now(), error);
        assert!(clock.wall() >= before);
        // A time that is heard of an hour late.
        let hour = Duration::from_secs(3_600);
        clock.follow(clock.wall() - 3_600_000_000, clock.now().saturating_sub(hour), error);
        assert!(clock.wall() >= before);
        assert!(clock.now() >= now && clock.until(now).is_zero());
    }
}
