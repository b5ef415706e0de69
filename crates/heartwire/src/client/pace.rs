//! How often the server is told something new.

use core::time::Duration;

use heartwire_core::Instant;

/// News that may go out at once: a quarter of what a server puts up with (PROTOCOL.md, "Beating too
/// often"), so that an application that goes to sleep and wakes up again is not kept waiting.
const CREDIT_MAX: u32 = 16;

/// Each change of a promise or of a state is one beat more than was agreed. A server puts up with twice as
/// many as agreed and with 64 on top; so one change for each interval, and a few at once, are nobody's
/// business whatever the application does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    credit: u32,
    credited_at: Instant,
}

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self { credit: CREDIT_MAX, credited_at: now }
    }

    /// Whether a change may go out now, with one allowed for each `interval`. It then counts as gone out.
    pub(super) fn take(&mut self, interval: Duration, now: Instant) -> bool {
        let interval = interval.max(Duration::from_millis(1));
        let elapsed = now.saturating_since(self.credited_at);
        let gained = u32::try_from(elapsed.as_nanos() / interval.as_nanos()).unwrap_or(u32::MAX);
        self.credited_at = self.credited_at.saturating_add(interval.saturating_mul(gained));
        self.credit = self.credit.saturating_add(gained).min(CREDIT_MAX);
        match self.credit.checked_sub(1) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => false,
        }
    }

    /// When the next one may, after [`take`](Self::take) with this interval refused one.
    pub(super) fn next_at(&self, interval: Duration) -> Instant {
        self.credited_at.saturating_add(interval.max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests;
