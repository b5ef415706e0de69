//! One waker for everything that a wrapped connection waits for.

use core::task::{Context, Waker};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

/// Wakes the task that reads and the task that writes, whatever it was that came.
///
/// Most streams remember one waker for each direction: the last one. Whoever reads here also writes
/// (beats), and whoever waits to write also reads (before a verdict), so with wakers of their own two
/// tasks would take each other's wake-ups. For one task it changes nothing.
///
/// A task stays known until another one takes its place, so that an item costs a comparison, no lock.
#[derive(Debug)]
pub(super) struct Fanout {
    tasks: Arc<Tasks>,
    waker: Waker,
    /// Copies of what the tasks have.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct Tasks {
    reader: Slot,
    writer: Slot,
}

#[derive(Debug, Default)]
struct Slot(Mutex<Option<Waker>>);

impl Slot {
    fn set(&self, waker: Option<Waker>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waker;
    }

    fn wake(&self) {
        // Not under the lock: nobody knows what a waker does.
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Fanout {
    pub(super) fn new() -> Self {
        let tasks = Arc::new(Tasks::default());
        let waker = Waker::from(Arc::clone(&tasks));
        Self { tasks, waker, reader: None, writer: None }
    }

    /// Whom to wake when there is something to read. To be called before anything is polled.
    pub(super) fn set_reader(&mut self, waker: &Waker) {
        Self::remember(&mut self.reader, waker, &self.tasks.reader);
    }

    /// Whom to wake when there is room to write. To be called before anything is polled.
    pub(super) fn set_writer(&mut self, waker: &Waker) {
        Self::remember(&mut self.writer, waker, &self.tasks.writer);
    }

    fn remember(known: &mut Option<Waker>, waker: &Waker, slot: &Slot) {
        if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            slot.set(Some(waker.clone()));
            *known = Some(waker.clone());
        }
    }

    /// The writer has nothing to wait for. It is not to be woken for what only the reader wants.
    pub(super) fn forget_writer(&mut self) {
        if self.writer.take().is_some() {
            self.tasks.writer.set(None);
        }
    }

    /// There are items for the reader that it did not read itself.
    pub(super) fn wake_reader(&self) {
        self.tasks.reader.wake();
    }

    /// What to poll the connection and its timer with.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

impl Wake for Tasks {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}
