//! Counts clients that were rejected for an invalid or missing token, for the log.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;

use heartwire_core::Instant;

/// At most one log line per this time: a client that guesses tokens a thousand times per second
/// must not fill the log.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Nothing was logged yet.
const NEVER: u64 = u64::MAX;

/// The count since the last log line; shared by all shards.
#[derive(Debug)]
pub(crate) struct Denials {
    unsaid: AtomicU64,
    said_at: AtomicU64,
}

impl Denials {
    pub(crate) const fn new() -> Self {
        Self { unsaid: AtomicU64::new(0), said_at: AtomicU64::new(NEVER) }
    }

    /// Counts one client. Returns the count since the last line, if it is time for a line.
    pub(crate) fn count(&self, now: Instant) -> Option<u64> {
        self.unsaid.fetch_add(1, Relaxed);
        let said_at = self.said_at.load(Relaxed);
        let is_early = now < Instant::from_nanos(said_at).saturating_add(SAY_EVERY);
        if said_at != NEVER && is_early {
            return None;
        }
        // Only one shard logs it.
        self.said_at.compare_exchange(said_at, now.as_nanos(), Relaxed, Relaxed).ok()?;
        Some(self.unsaid.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_then_a_count_each_minute() {
        let denials = Denials::new();
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        assert_eq!(denials.count(at(5)), Some(1));
        assert_eq!((denials.count(at(6)), denials.count(at(64))), (None, None));
        assert_eq!(denials.count(at(65)), Some(3));
        assert_eq!(denials.count(at(124)), None);
        assert_eq!(denials.count(at(500)), Some(2));
    }
}
