//! The world's time, and the clocks that the hosts in it read.

use core::fmt;
use core::time::Duration;

use heartwire_core::Instant;
pub(super) use heartwire_core::internal::nanos;

/// A point in time of the simulated world. Only hosts have an [`Instant`], and each has its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorldTime(u64);

impl WorldTime {
    pub(super) const START: Self = Self(0);

    pub(super) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(nanos(wait)))
    }

    pub(super) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for WorldTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

/// How a host's clock and timers behave in a suspend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clockwork {
    /// The clock and the timers run: timers fire on time, or at the resume. The server on Linux.
    AllCount,
    /// The clock runs, but timers stop: all of them fire late. The client on Linux.
    ClockCounts,
    /// Both stop, as on other systems: a suspend leaves no trace.
    NothingCounts,
}

/// The clock of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) clockwork: Clockwork,
    /// No two hosts have the same origin, so that nothing can compare their times by mistake.
    origin: u64,
    stopped: Duration,
}

impl Clock {
    pub(super) const fn new(clockwork: Clockwork, origin: u64) -> Self {
        Self { clockwork, origin, stopped: Duration::ZERO }
    }

    pub(super) fn read(&self, time: WorldTime) -> Instant {
        let elapsed = time.0.saturating_sub(nanos(self.stopped));
        Instant::from_nanos(self.origin.saturating_add(elapsed))
    }

    /// When this clock will show `instant`, if it never stops again. The start, if it has long
    /// shown it.
    pub(super) fn world_time(&self, instant: Instant) -> WorldTime {
        let elapsed = instant.as_nanos().saturating_sub(self.origin);
        WorldTime(elapsed.saturating_add(nanos(self.stopped)))
    }

    /// The machine was suspended for this long.
    pub(super) fn handle_suspend(&mut self, length: Duration) {
        match self.clockwork {
            Clockwork::AllCount | Clockwork::ClockCounts => {}
            Clockwork::NothingCounts => self.stopped = self.stopped.saturating_add(length),
        }
    }
}
