//! Tells a shard what the application has taken out of a channel.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::id::SessionId;

/// The data of one shard's sessions that the application has taken over, in whatever thread.
#[derive(Debug)]
pub(super) struct Receipts {
    /// Whether there is anything to collect.
    has_news: AtomicBool,
    taken: Mutex<Taken>,
    shard: Waker,
}

#[derive(Debug, Default)]
struct Taken {
    /// The lengths of frames.
    frames: Vec<(SessionId, usize)>,
    bytes: usize,
    /// The shard was woken, and has not collected them yet.
    has_woken: bool,
}

impl Receipts {
    pub(super) fn new(shard: Waker) -> Arc<Self> {
        Arc::new(Self { has_news: AtomicBool::new(false), taken: Mutex::default(), shard })
    }

    /// The frames that were taken over since the last call.
    pub(super) fn collect(&self) -> Vec<(SessionId, usize)> {
        if !self.has_news.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.has_news.store(false, Ordering::Release);
        core::mem::take(&mut *self.lock()).frames
    }

    fn handle_taken(&self, id: SessionId, frame_len: usize, wake_at: usize) {
        let mut taken = self.lock();
        taken.frames.push((id, frame_len));
        taken.bytes = taken.bytes.saturating_add(frame_len);
        let wakes = taken.bytes >= wake_at && !taken.has_woken;
        taken.has_woken |= wakes;
        drop(taken);
        self.has_news.store(true, Ordering::Release);
        if wakes {
            self.shard.wake_by_ref();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Ignores poisoning: nothing panics under the lock, and every value is valid.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes with the data of a session that can be [resumed](super::ServerConfig::resume), from
/// [`Control::receipt`](super::Control::receipt). Dropping it says that the application has taken
/// the data over: it is acknowledged to the client, whose window has room again.
///
/// Receipts of one session are dropped in the order in which their data came.
#[derive(Debug)]
pub struct Receipt {
    pub(super) receipts: Arc<Receipts>,
    pub(super) id: SessionId,
    pub(super) frame_len: usize,
    /// The shard is woken when so many bytes were taken over.
    pub(super) wake_at: usize,
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.receipts.handle_taken(self.id, self.frame_len, self.wake_at);
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Debug, Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_shard_is_woken_once_when_enough_was_taken_over() {
        let woken = Arc::new(Woken::default());
        let receipts = Receipts::new(Arc::clone(&woken).into());
        let id = SessionId::new(0, 1, 0);
        let take = |frame_len| {
            drop(Receipt { receipts: Arc::clone(&receipts), id, frame_len, wake_at: 100 });
            woken.0.load(Ordering::Relaxed)
        };
        assert_eq!(receipts.collect(), []);
        assert_eq!([take(60), take(39), take(1), take(100)], [0, 0, 1, 1]);
        assert_eq!(receipts.collect(), [(id, 60), (id, 39), (id, 1), (id, 100)]);
        assert_eq!([take(99), take(200)], [1, 2]);
        assert_eq!(receipts.collect().len(), 2);
        assert_eq!(receipts.collect(), []);
    }
}
