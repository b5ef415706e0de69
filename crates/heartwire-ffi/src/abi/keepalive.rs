//! The kernel's own timers.

use core::time::Duration;

use heartwire_core::kernel;

use super::{Status, memory};

/// The kernel's own timers for a connection: `SO_KEEPALIVE` with its three numbers, and
/// `TCP_USER_TIMEOUT`, which fit together.
#[expect(clippy::exhaustive_structs, reason = "C reads it")]
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Keepalive {
    /// `TCP_KEEPIDLE`, in seconds.
    pub idle_s: u32,
    /// `TCP_KEEPINTVL`, in seconds.
    pub interval_s: u32,
    /// `TCP_KEEPCNT`.
    pub count: u32,
    /// `TCP_USER_TIMEOUT`, in milliseconds.
    pub user_timeout_ms: u32,
    /// The peer is found dead after so long at the latest, in milliseconds.
    pub bound_ms: u32,
}

/// The kernel's timers that find a dead peer within `timeout_ms`, rounded down to seconds: for a
/// connection without beats, or besides them. The kernel's own rounding, less than a second, comes
/// on top. `HW_ERR_ARGUMENT`: less than 3 s, more than 18 h, or `keepalive` is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_keepalive_fit(timeout_ms: u32, keepalive: *mut Keepalive) -> Status {
    let Some(fitted) = fit(timeout_ms) else { return Status::ERR_ARGUMENT };
    // SAFETY: it is null, or a keepalive.
    memory::status(unsafe { memory::put(keepalive, fitted) })
}

/// Half of the time idle, then probes.
fn fit(timeout_ms: u32) -> Option<Keepalive> {
    let timeout_s = timeout_ms / 1_000;
    if timeout_s < 3 {
        return None;
    }
    let (idle_s, interval_s) = (timeout_s / 2, (timeout_s / 8).max(1));
    let count = timeout_s.checked_sub(idle_s)?.checked_div(interval_s)?;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let keepalive = kernel::Keepalive::new(seconds(idle_s), seconds(interval_s), count).ok()?;
    let bound = keepalive.bound();
    kernel::KernelTimers::new(Some(keepalive), Some(bound)).ok()?;
    let bound_ms = u32::try_from(bound.as_secs()).ok()?.checked_mul(1_000)?;
    Some(Keepalive { idle_s, interval_s, count, user_timeout_ms: bound_ms, bound_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_within_the_timeout_and_near_it() {
        for timeout_ms in (3_000..200_000).step_by(777).chain([3_600_000, 65_000_000]) {
            let fitted = fit(timeout_ms).unwrap();
            assert!(fitted.bound_ms <= timeout_ms, "{timeout_ms}: {fitted:?}");
            assert!(fitted.bound_ms >= timeout_ms / 4 * 3, "{timeout_ms}: {fitted:?}");
            assert!(fitted.count >= 2, "{timeout_ms}: {fitted:?}");
            assert_eq!(fitted.user_timeout_ms, fitted.bound_ms);
        }
        let Keepalive { idle_s, interval_s, count, .. } = fit(40_000).unwrap();
        assert_eq!((idle_s, interval_s, count), (20, 5, 4));
    }

    #[test]
    fn a_time_that_the_kernel_cannot_count_is_refused() {
        assert!(fit(2_999).is_none());
        assert!(fit(66_000_000).is_none());
        // SAFETY: null is allowed.
        let status = unsafe { hw_keepalive_fit(40_000, core::ptr::null_mut()) };
        assert_eq!(status, Status::ERR_ARGUMENT);
    }
}
