//! When each beat is due. The times are absolute, so a late beat delays none after it.

use core::time::Duration;

use super::args::Spread;

/// The beats of all connections, in the order in which they are due.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    connections: u64,
    interval: Duration,
    spread: Spread,
    /// The number of the next beat; connection `next % connections` sends it.
    next: u64,
}

impl Schedule {
    /// `connections` must not be 0.
    pub(crate) fn new(connections: u32, interval: Duration, spread: Spread) -> Self {
        Self { connections: u64::from(connections).max(1), interval, spread, next: 0 }
    }

    /// When the next beat is due, counted from the start, and which connection sends it.
    pub(super) fn peek(&self) -> (Duration, usize) {
        let connection = self.next % self.connections;
        let whole = mul(self.interval, self.next / self.connections);
        let part = match self.spread {
            // Divided last, so that the rounding does not add up.
            Spread::Even => nanos(
                self.interval.as_nanos() * u128::from(connection) / u128::from(self.connections),
            ),
            Spread::Burst => Duration::ZERO,
        };
        (whole.saturating_add(part), usize::try_from(connection).unwrap_or(usize::MAX))
    }

    /// Advances to the next beat.
    pub(super) fn advance(&mut self) {
        self.next += 1;
    }
}

fn mul(interval: Duration, count: u64) -> Duration {
    nanos(interval.as_nanos().saturating_mul(u128::from(count)))
}

fn nanos(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(mut schedule: Schedule, count: usize) -> Vec<(u128, usize)> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let (due, connection) = schedule.peek();
            taken.push((due.as_millis(), connection));
            schedule.advance();
        }
        taken
    }

    #[test]
    fn even_beats_divide_the_interval() {
        let schedule = Schedule::new(3, Duration::from_secs(3), Spread::Even);
        assert_eq!(take(schedule, 5), [(0, 0), (1000, 1), (2000, 2), (3000, 0), (4000, 1)]);
    }

    #[test]
    fn burst_beats_all_come_at_its_start() {
        let schedule = Schedule::new(3, Duration::from_secs(3), Spread::Burst);
        assert_eq!(take(schedule, 5), [(0, 0), (0, 1), (0, 2), (3000, 0), (3000, 1)]);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let mut schedule = Schedule::new(7, Duration::from_secs(1), Spread::Even);
        for _ in 0..7_000_000 {
            schedule.advance();
        }
        assert_eq!(schedule.peek(), (Duration::from_secs(1_000_000), 0));
    }

    #[test]
    fn each_connection_keeps_its_interval_exactly() {
        let mut schedule = Schedule::new(7, Duration::from_secs(1), Spread::Even);
        let first: Vec<_> = take(schedule.clone(), 7);
        for _ in 0..7 {
            schedule.advance();
        }
        let second = take(schedule, 7);
        for (first, second) in first.iter().zip(&second) {
            assert_eq!((first.0 + 1000, first.1), *second);
        }
    }
}
