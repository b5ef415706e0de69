//! Points in time, as a driver counts them.
//!
//! On a microcontroller each of these is a function of its own, because numbers of 64 bits take
//! many instructions there: in place everywhere they took 1.5 KB.

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
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// This point moved `duration` earlier; the origin if that lies before it.
    #[must_use]
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// The time from `earlier` to this point; zero if `earlier` is later.
    #[must_use]
    #[cfg_attr(target_os = "none", inline(never))]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// The same in nanoseconds.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The same in microseconds, or `u32::MAX`, which is 71 minutes, if it is longer.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn micros_since(self, earlier: Self) -> u32 {
        u32::try_from(self.nanos_since(earlier) / 1_000).unwrap_or(u32::MAX)
    }

    /// The same in milliseconds, or `u32::MAX`, which is 49 days, if it is longer.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn millis_since(self, earlier: Self) -> u32 {
        u32::try_from(self.nanos_since(earlier) / 1_000_000).unwrap_or(u32::MAX)
    }

    /// This point moved later by some milliseconds.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn plus_millis(self, millis: u32) -> Self {
        Self(self.0.saturating_add(u64::from(millis) * 1_000_000))
    }

    /// This point moved earlier by some milliseconds.
    #[cfg_attr(target_os = "none", inline(never))]
    pub(crate) fn minus_millis(self, millis: u32) -> Self {
        Self(self.0.saturating_sub(u64::from(millis) * 1_000_000))
    }
}

/// An [`Instant`] in two halves, which fits where a number of 64 bits would leave a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halves([u32; 2]);

impl From<Instant> for Halves {
    fn from(Instant(nanos): Instant) -> Self {
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Self([half(nanos), half(nanos >> 32)])
    }
}

impl From<Halves> for Instant {
    fn from(Halves([low, high]): Halves) -> Self {
        Self(u64::from(high) << 32 | u64::from(low))
    }
}

/// A duration in nanoseconds, or `u64::MAX`, which is 584 years, if it is longer.
///
/// (Here and below without the 128 bits of `Duration`'s own methods, which a small processor
/// divides slowly, with much code.)
#[must_use]
#[cfg_attr(target_os = "none", inline(never))]
pub fn nanos(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos().into())
}

/// A duration in microseconds, or `u32::MAX`, which is 71 minutes, if it is longer.
pub(crate) fn micros(duration: Duration) -> u32 {
    parts(duration, 1_000_000, duration.subsec_micros()).unwrap_or(u32::MAX)
}

/// A duration in milliseconds, or `u32::MAX`, which is 49 days, if it is longer.
pub(crate) fn millis(duration: Duration) -> u32 {
    millis_down(duration).unwrap_or(u32::MAX)
}

/// A duration in milliseconds, rounded down; `None` if it is over 49 days.
pub(crate) fn millis_down(duration: Duration) -> Option<u32> {
    parts(duration, 1_000, duration.subsec_millis())
}

/// A duration in milliseconds, rounded up; `None` if it is over 49 days.
pub(crate) fn millis_up(duration: Duration) -> Option<u32> {
    parts(duration, 1_000, duration.subsec_nanos().div_ceil(1_000_000))
}

/// A duration in parts of a second, of which its last second has `rest`.
fn parts(duration: Duration, per_second: u32, rest: u32) -> Option<u32> {
    u32::try_from(duration.as_secs()).ok()?.checked_mul(per_second)?.checked_add(rest)
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

    use super::*;

    #[test]
    fn a_duration_is_counted_in_smaller_units_exactly_or_as_their_maximum() {
        let second = u128::from(u64::MAX) * 1_000_000_000;
        let edges = [0, 1, 999, 1_000, 999_999, 1_000_000, 1_000_001, 999_999_999, 1_000_000_000];
        let limits = [0, u128::from(u32::MAX) * 1_000, u128::from(u32::MAX) * 1_000_000];
        let limits = limits.into_iter().chain([u128::from(u64::MAX), second]);
        let near = |limit: u128| {
            edges.into_iter().flat_map(move |edge| [limit.saturating_sub(edge), limit + edge])
        };
        for total in limits.flat_map(near) {
            let seconds = u64::try_from(total / 1_000_000_000).unwrap_or(u64::MAX);
            let rest = u32::try_from(total % 1_000_000_000).unwrap();
            let duration = Duration::new(seconds, rest);
            let total = duration.as_nanos();
            assert_eq!(nanos(duration), u64::try_from(total).unwrap_or(u64::MAX), "{total}");
            assert_eq!(micros(duration), u32::try_from(total / 1_000).unwrap_or(u32::MAX));
            assert_eq!(millis_down(duration), u32::try_from(total / 1_000_000).ok());
            assert_eq!(millis_up(duration), u32::try_from(total.div_ceil(1_000_000)).ok());
            assert_eq!(millis(duration), millis_down(duration).unwrap_or(u32::MAX));
            let (start, now) = (Instant::from_nanos(7), Instant(7).saturating_add(duration));
            let since = now.saturating_since(start);
            assert_eq!(now.nanos_since(start), nanos(since));
            assert_eq!(now.micros_since(start), micros(since));
            assert_eq!(now.millis_since(start), millis(since));
            let whole = Duration::from_millis(millis(duration).into());
            assert_eq!(start.plus_millis(millis(duration)), start.saturating_add(whole));
            assert_eq!(now.minus_millis(millis(duration)), now.saturating_sub(whole));
        }
    }

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
