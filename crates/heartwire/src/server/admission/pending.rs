//! How many clients may be pending: connected, and not accepted yet.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::server::descriptors;
use crate::server::limits::Admission;

/// The maximum of pending clients; shared by all shards, which have equal shares of it.
#[derive(Debug)]
pub(crate) struct MaxPending {
    /// Clients of v0 are accepted, which may all be silent at first.
    takes_v0: bool,
    shards: usize,
    all: AtomicUsize,
}

impl MaxPending {
    pub(crate) fn new(limits: &Admission, takes_v0: bool, shards: usize) -> Self {
        let max = Self { takes_v0, shards, all: AtomicUsize::new(0) };
        max.set(limits);
        max
    }

    /// From now on there may be so many. Clients beyond stay.
    pub(crate) fn set(&self, limits: &Admission) {
        let allowed = limits.max_sessions.min(descriptors::most());
        let default = if self.takes_v0 { allowed } else { Admission::MAX_PENDING.min(allowed / 2) };
        self.all.store(limits.max_pending.unwrap_or(default).max(self.shards), Relaxed);
    }

    /// Of all shards.
    pub(crate) fn all(&self) -> usize {
        self.all.load(Relaxed)
    }

    pub(crate) fn per_shard(&self) -> usize {
        self.all() / self.shards
    }
}
