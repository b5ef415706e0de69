//! A clock of 64 bits out of one of 32.

/// Makes 64-bit milliseconds of a 32-bit counter, which starts again at 0 after 49 days. All zeros
/// is its start.
#[expect(clippy::exhaustive_structs, reason = "C makes it")]
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// The time so far.
    pub ms: u64,
    /// The counter, as of the last call that moved the time.
    pub ticks_ms: u32,
}

/// The time of a counter of milliseconds that starts again at 0 after 2^32. Call it at least every
/// 24 days. A counter that goes back is taken as standing still. A first reading of 0 is the time
/// 1. Null: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hw_clock_extend(clock: *mut Clock, ticks_ms: u32) -> u64 {
    // SAFETY: it is null, or a clock.
    match unsafe { clock.as_mut() } {
        Some(clock) => clock.extend(ticks_ms),
        None => 0,
    }
}

impl Clock {
    fn extend(&mut self, ticks_ms: u32) -> u64 {
        if self.ms == 0 && self.ticks_ms == 0 {
            // The first call: a counter that runs for 24 days already has not gone back.
            // Of 0 it makes 1, or the next call would seem to be the first one again.
            (self.ms, self.ticks_ms) = (u64::from(ticks_ms).max(1), ticks_ms);
        }
        let gone = ticks_ms.wrapping_sub(self.ticks_ms);
        // More is a counter that went back.
        if gone <= u32::MAX / 2 {
            self.ms = self.ms.saturating_add(gone.into());
            self.ticks_ms = ticks_ms;
        }
        self.ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_starts_again_goes_on() {
        let mut clock = Clock::default();
        assert_eq!(clock.extend(5), 5);
        assert_eq!(clock.extend(2_147_483_652), 2_147_483_652);
        assert_eq!(clock.extend(u32::MAX), u64::from(u32::MAX));
        assert_eq!(clock.extend(9), u64::from(u32::MAX) + 10);
    }

    #[test]
    fn a_counter_that_has_run_for_long_before_the_first_call_goes_on() {
        let mut clock = Clock::default();
        assert_eq!(clock.extend(u32::MAX - 5), u64::from(u32::MAX) - 5);
        assert_eq!(clock.extend(4), u64::from(u32::MAX) + 5);
    }

    #[test]
    fn a_counter_that_goes_back_stands_still() {
        let mut clock = Clock::default();
        clock.extend(1_000);
        assert_eq!(clock.extend(999), 1_000);
        assert_eq!(clock.extend(1_001), 1_001);
    }

    #[test]
    fn a_counter_that_goes_back_from_0_stands_still() {
        let mut clock = Clock::default();
        let start = clock.extend(0);
        assert_eq!(clock.extend(u32::MAX), start);
        assert_eq!(clock.extend(5), start + 5);
    }

    #[test]
    fn nothing_is_the_time_without_a_clock() {
        // SAFETY: null is allowed.
        assert_eq!(unsafe { hw_clock_extend(core::ptr::null_mut(), 5) }, 0);
    }
}
