//! One waker for both halves of a wrapped connection.

use core::task::{Context, Waker};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

/// Wakes both the task that reads and the task that writes.
///
/// Most streams keep only the last waker per direction. Here the reading task also writes (beats),
/// and a task that waits to write also reads (before a verdict), so with separate wakers two tasks
/// would take each other's wake-ups. A single task sees no difference.
///
/// A task's waker stays registered until another one replaces it, so that an item costs a
/// comparison and no lock.
#[derive(Debug)]
pub(super) struct Fanout {
    tasks: Arc<Tasks>,
    waker: Waker,
    /// Copies of the wakers in `tasks`, to compare without the lock.
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
        // Without the lock, because a waker may run any code.
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

    /// Sets the waker of the reading task. Call it before polling anything.
    pub(super) fn set_reader(&mut self, waker: &Waker) {
        Self::remember(&mut self.reader, waker, &self.tasks.reader);
    }

    /// Sets the waker of the writing task. Call it before polling anything.
    pub(super) fn set_writer(&mut self, waker: &Waker) {
        Self::remember(&mut self.writer, waker, &self.tasks.writer);
    }

    fn remember(known: &mut Option<Waker>, waker: &Waker, slot: &Slot) {
        if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            slot.set(Some(waker.clone()));
            *known = Some(waker.clone());
        }
    }

    /// Forgets the writing task, which has nothing to wait for, so that reads do not wake it.
    pub(super) fn forget_writer(&mut self) {
        if self.writer.take().is_some() {
            self.tasks.writer.set(None);
        }
    }

    /// Wakes the reading task: items were read ahead for it.
    pub(super) fn wake_reader(&self) {
        self.tasks.reader.wake();
    }

    /// The context to poll the connection and its timer with.
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
