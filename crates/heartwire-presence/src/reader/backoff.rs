//! Rests between attempts to connect.

use core::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The longest rest after the first failure. The shortest is half of it.
const FIRST: Duration = Duration::from_millis(100);

/// The longest rest.
const MAX: Duration = Duration::from_secs(5);

/// Growing rests with jitter, so that many readers do not come at the same instant.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Something failed.
    pub(super) fn fail(&mut self) {
        let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(MAX);
        self.failures = self.failures.saturating_add(1);
        // Without a random number readers only come at the same instant.
        let share = getrandom::u32().unwrap_or_default() % 1_000;
        let rest = longest.saturating_mul(1_000 + share) / 2_000;
        self.until = Instant::now().checked_add(rest);
    }

    pub(super) fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Waits for the end of the rest, if there is one.
    pub(super) async fn rest(&mut self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
            self.until = None;
        }
    }
}
