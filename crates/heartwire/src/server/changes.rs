//! Tells running servers that tokens or certificates were read again.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Counts the changes of something that servers share, and wakes the shards of those servers. It
/// keeps no server alive.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: AtomicU64,
    servers: Mutex<Vec<Weak<[Waker]>>>,
}

impl Changes {
    /// How many changes there were. What was read before this call is not older than that.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// From now on wakes these shards, as long as their server holds them.
    pub(crate) fn watch(&self, shards: &Arc<[Waker]>) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Arc::downgrade(shards));
    }

    /// Counts a change that is in force, and wakes all shards.
    pub(crate) fn tell(&self) {
        self.count.fetch_add(1, Ordering::Release);
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let shards = servers.iter().filter_map(Weak::upgrade);
        shards.for_each(|shards| shards.iter().for_each(Waker::wake_by_ref));
    }
}
