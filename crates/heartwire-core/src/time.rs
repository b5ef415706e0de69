//! Points in time, as a driver counts them.

use core::fmt;
use core::time::Duration;

/// Nanoseconds since an origin that the driver chose.
///
/// There is no `now()` here and no value with a special meaning: "no deadline" is `None`, "at
/// once" is `now`. All arithmetic saturates, so that a clock that steps back makes a verdict late,
/// never early. A `u64` of nanoseconds lasts 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The point `nanos` nanoseconds after the driver's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the driver's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This point moved `duration` later; the last representable point if that lies beyond it.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// This point moved `duration` earlier; the origin if that lies before it.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// The time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds, or `u64::MAX`, which is 584 years, if it is longer.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration in microseconds, or `u32::MAX`, which is 71 minutes, if it is longer.
pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// A duration in milliseconds, or `u32::MAX`, which is 49 days, if it is longer.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Displays a duration as people type it: `0s`, `250ms`, `2.5s`, `90s`, `5m`, `1h`, `1h30m`. The
/// command line reads all of these.
#[derive(Clone, Copy, Debug)]
pub struct Typed(pub Duration);

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (self.0.subsec_nanos(), seconds % 60, seconds / 60 % 60, seconds / 3600) {
            (0, 0, 0, 0) => f.write_str("0s"),
            (0, 0, 0, hours) => write!(f, "{hours}h"),
            (0, 0, minutes, 0) => write!(f, "{minutes}m"),
            (0, 0, minutes, hours) => write!(f, "{hours}h{minutes}m"),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::{Duration, Typed};

    #[test]
    fn a_duration_is_shown_as_people_type_it() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (2_500, "2.5s"),
            (30_000, "30s"),
            (90_000, "90s"),
            (300_000, "5m"),
            (3_600_000, "1h"),
            (5_400_000, "1h30m"),
            (86_400_000, "24h"),
            (3_601_000, "3601s"),
        ] {
            assert_eq!(Typed(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
