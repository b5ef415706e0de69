//! The clock: the only file that reads one.

use core::time::Duration;

use heartwire_core::Instant;

/// The time now, on a monotonic clock that on Linux and Android counts suspended time: so a suspend
/// is seen as a pause of this process. The standard library's clock leaves suspended time out, so
/// that after a resume the first wake-up would look punctual.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn now() -> Instant {
    Instant::from_nanos(nanos_of(rustix::time::ClockId::Boottime))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn nanos_of(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    // Neither field is negative on the clocks that are read here.
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The time now, on the standard library's monotonic clock. Whether it counts suspended time
/// depends on the system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn now() -> Instant {
    static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let elapsed = ORIGIN.get_or_init(std::time::Instant::now).elapsed();
    Instant::from_nanos(heartwire_core::internal::nanos(elapsed))
}

/// Microseconds since 1970, on the wall clock: for numbers that should grow from one run to the
/// next, and for what ends on a date; never to measure time.
pub(crate) fn wall_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 was never set.
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The time now, and how long this machine has been suspended since it was started.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn now_and_suspended() -> (Instant, Duration) {
    // In this order, so that a suspend between the two is in both numbers.
    let monotonic = nanos_of(rustix::time::ClockId::Monotonic);
    let now = now();
    let suspended = now.saturating_since(Instant::from_nanos(monotonic));
    (now, suspended)
}

/// Other systems do not report suspends.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn now_and_suspended() -> (Instant, Duration) {
    (now(), Duration::ZERO)
}

/// How long this machine has been suspended since it was started; zero if the system does not
/// report it.
pub(crate) fn suspended() -> Duration {
    now_and_suspended().1
}

/// The length of a jiffy, the unit of the kernel's receive times: the resolution of its coarse
/// clocks. If it cannot be read, 10 ms, the longest on Linux (`CONFIG_HZ` 100).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn jiffy() -> Duration {
    let jiffy = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    let nanos = u64::try_from(jiffy.tv_nsec).ok().filter(|_| jiffy.tv_sec == 0);
    nanos.map_or(Duration::from_millis(10), Duration::from_nanos)
}

/// Only Linux counts in jiffies.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn jiffy() -> Duration {
    Duration::ZERO
}
