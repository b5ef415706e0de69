//! How many clients were lost lately, and whether that is far more than usual.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Instant;
use heartwire_core::internal::nanos;

/// A burst is this many clients lost within [`RECENT`] at least.
const MIN_BURST: u32 = 20;

/// It is also more than one client in this many: 5 %.
const BURST_PART: u32 = 20;

/// It is also this many times the rate of the last hour.
const BURST_FACTOR: u32 = 20;

/// With evidence that this node itself is at fault this many times the rate of the last hour are
/// enough, so that clients who are lost all the time begin no incident after each short pause.
const ALERT_FACTOR: u32 = 3;

/// What counts as at once: beats of an interval of 10 s are spread over it, and so are verdicts.
const RECENT: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3_600);

/// The number of losses within the last 10 s, and within the last hour.
#[derive(Debug)]
pub(super) struct Losses {
    started_at: Instant,
    recent: Window,
    hour: Window,
}

impl Losses {
    pub(super) fn new(now: Instant) -> Self {
        Self { started_at: now, recent: Window::new(RECENT), hour: Window::new(HOUR) }
    }

    /// Counts a loss.
    pub(super) fn count(&mut self, now: Instant) {
        self.recent.count(now);
        self.hour.count(now);
    }

    /// Whether the last losses are a burst, on a node with so many names.
    pub(super) fn is_burst(&self, now: Instant, names: u32) -> bool {
        let recent = self.recent.total;
        recent >= MIN_BURST
            && u64::from(recent) * u64::from(BURST_PART) > u64::from(names)
            && self.is_rate_over(BURST_FACTOR, now)
    }

    /// Whether `lost` clients since there was evidence that this node itself is at fault are
    /// enough: 20, or 5 % of so many names.
    pub(super) fn is_enough(&self, now: Instant, lost: u32, names: u32) -> bool {
        let lost = lost.min(self.recent.total);
        lost >= names.div_ceil(BURST_PART).clamp(1, MIN_BURST)
            && self.is_rate_over(ALERT_FACTOR, now)
    }

    /// Whether the rate of the last 10 s is at least this many times that of the hour before.
    fn is_rate_over(&self, factor: u32, now: Instant) -> bool {
        let before = u64::from(self.hour.total.saturating_sub(self.recent.total));
        let observed = now.saturating_since(self.started_at).min(HOUR).as_secs();
        u64::from(self.recent.total) * observed >= u64::from(factor) * RECENT.as_secs() * before
    }
}

/// Parts that a [`Window`] moves by.
const PARTS: u64 = 60;

/// A number of events within a time.
#[derive(Debug)]
struct Window {
    /// The length of a part, in nanoseconds.
    part: u64,
    /// The number of the newest part, since the clock's origin.
    newest: u64,
    /// The events of each part, oldest first.
    counts: VecDeque<u32>,
    total: u32,
}

impl Window {
    fn new(length: Duration) -> Self {
        let counts = (0..PARTS).map(|_| 0).collect();
        Self { part: nanos(length) / PARTS, newest: 0, counts, total: 0 }
    }

    fn count(&mut self, now: Instant) {
        let newest = (now.as_nanos() / self.part).max(self.newest);
        for _ in 0..(newest - self.newest).min(PARTS) {
            self.total -= self.counts.pop_front().unwrap_or(0);
            self.counts.push_back(0);
        }
        self.newest = newest;
        self.total += 1;
        self.counts.back_mut().into_iter().for_each(|count| *count += 1);
    }
}
