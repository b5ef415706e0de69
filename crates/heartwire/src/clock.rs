//! The one place that reads a clock.

use core::time::Duration;

use heartwire_core::Instant;

/// The time now, on a clock that never steps and, on Linux and Android, goes on while the machine
/// is suspended: there a suspend looks like what it is, a pause of our own. The standard library's
/// clock leaves suspended time out, so that after a resume the first wake-up would look punctual.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn now() -> Instant {
    Instant::from_nanos(nanos_of(rustix::time::ClockId::Boottime))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn nanos_of(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    // Neither field is ever negative on the clocks that are read here.
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The time now, on the standard library's monotonic clock: whether it goes on while the machine is
/// suspended depends on the system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn now() -> Instant {
    static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let elapsed = ORIGIN.get_or_init(std::time::Instant::now).elapsed();
    Instant::from_nanos(heartwire_core::internal::nanos(elapsed))
}

/// Microseconds since 1970, on the clock that people set: for numbers that are to grow from one run to
/// the next, and for nothing that is measured.
pub(crate) fn wall_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // Before 1970 the clock was never set.
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The time now, and how long this machine has been suspended since it was started, of the same moment.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn now_and_suspended() -> (Instant, Duration) {
    // In this order, so that a suspend between the two is in both figures.
    let monotonic = nanos_of(rustix::time::ClockId::Monotonic);
    let now = now();
    let suspended = now.saturating_since(Instant::from_nanos(monotonic));
    (now, suspended)
}

/// Suspends are not told by other systems.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn now_and_suspended() -> (Instant, Duration) {
    (now(), Duration::ZERO)
}

/// How long this machine has been suspended since it was started; zero where the system does not tell.
pub(crate) fn suspended() -> Duration {
    now_and_suspended().1
}

/// The length of a jiffy, in which the kernel counts when data came: the resolution of its coarse
/// clocks. 10 ms, the longest there is on Linux (`CONFIG_HZ` 100), where that cannot be read.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn jiffy() -> Duration {
    let jiffy = rustix::time::clock_getres(rustix::time::ClockId::MonotonicCoarse);
    let nanos = u64::try_from(jiffy.tv_nsec).ok().filter(|_| jiffy.tv_sec == 0);
    nanos.map_or(Duration::from_millis(10), Duration::from_nanos)
}

/// No system but Linux counts in jiffies.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn jiffy() -> Duration {
    Duration::ZERO
}
