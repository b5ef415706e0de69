//! Counts what the application has taken over of a resumable session.

use core::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::app::Controls;
use super::outbox::Tally;

/// What the application takes over of one session, counted in whatever thread takes the events.
#[derive(Debug)]
pub(crate) struct Receipts {
    counts: Mutex<Counts>,
    controls: Arc<Controls>,
}

#[derive(Debug)]
struct Counts {
    /// Taken over since the last [`Receipts::collect`].
    taken: Tally,
    /// The client's task is woken once so many bytes of it are.
    wake_at: usize,
}

impl Receipts {
    pub(super) fn new(controls: Arc<Controls>) -> Arc<Self> {
        let counts = Counts { taken: Tally::default(), wake_at: usize::MAX };
        Arc::new(Self { counts: Mutex::new(counts), controls })
    }

    /// Hands over what was taken over since the last call. Wakes the client's task when so many
    /// more bytes are as `count` returns.
    pub(super) fn collect(&self, count: impl FnOnce(Tally) -> usize) {
        let mut counts = self.lock();
        counts.wake_at = count(mem::take(&mut counts.taken));
    }

    fn handle_taken(&self, len: usize) {
        let mut counts = self.lock();
        counts.taken.add(len);
        if counts.taken.bytes >= counts.wake_at {
            counts.wake_at = usize::MAX;
            drop(counts);
            self.controls.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Ignores poisoning: nothing panics under the lock, and every value is valid.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes with an event of a frame until the application has taken it. Dropping it says that: an
/// application that has dropped its events takes everything over, and wants none of it.
#[derive(Debug)]
pub(crate) struct Receipt {
    receipts: Arc<Receipts>,
    frame_len: usize,
}

impl Receipt {
    pub(super) fn new(receipts: &Arc<Receipts>, frame_len: usize) -> Self {
        Self { receipts: Arc::clone(receipts), frame_len }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.receipts.handle_taken(self.frame_len);
    }
}

#[cfg(test)]
mod tests;
