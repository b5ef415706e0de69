//! What both ends do with one connection: its counts, and how it ended.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use super::line::{Connection, How, Line};
use crate::output::Millis;

/// How long the service may take to be reached, from the local program's connection on. Then that
/// is reset, so that the program can try again.
pub(super) const OPEN_WITHIN: Duration = Duration::from_secs(5);

/// What a connection has carried, and what it has survived.
#[derive(Debug)]
pub(super) struct Carried {
    since: Instant,
    pub(super) to_service: AtomicU64,
    pub(super) from_service: AtomicU64,
    outages: AtomicU32,
    /// In milliseconds.
    away: AtomicU64,
}

impl Carried {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            to_service: AtomicU64::new(0),
            from_service: AtomicU64::new(0),
            outages: AtomicU32::new(0),
            away: AtomicU64::new(0),
        })
    }

    pub(super) fn lasted(&self) -> Duration {
        self.since.elapsed()
    }

    pub(super) fn handle_back(&self, away: Duration) {
        self.outages.fetch_add(1, Relaxed);
        self.away.fetch_add(u64::try_from(away.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn closed(&self, of: Connection, how: How, detail: Option<String>) -> Line {
        Line::Closed {
            of,
            how,
            detail,
            to_service: self.to_service.load(Relaxed),
            from_service: self.from_service.load(Relaxed),
            lasted_ms: Millis(self.lasted()),
            outages: self.outages.load(Relaxed),
            away_ms: Millis(Duration::from_millis(self.away.load(Relaxed))),
        }
    }
}

/// Counts the bytes of one direction.
pub(super) fn count(counter: &AtomicU64, bytes: &[u8]) {
    counter.fetch_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX), Relaxed);
}
