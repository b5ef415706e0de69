//! A channel that carries a server's events to another thread or task.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::Waker;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::Event;
use super::handler::{Control, Handler};
use super::receipts::Receipt;

/// Number of waiting events at which shards stop reading.
const MAX_EVENTS: usize = 1024;

/// Number of waiting events at which shards stop accepting clients. It is higher, so that one
/// client's data that slows the application does not lock out other clients. An application that
/// takes nothing at all has at most this many events in memory, and the data that new clients send
/// with their first frame.
const MAX_NEWCOMERS: usize = 8 * MAX_EVENTS;

/// Creates a channel for the events of all shards of a server. Each shard has a sender of its own.
pub(super) fn channel<T>() -> (Sender<T>, Events<T>) {
    let shared = Arc::new(Shared::default());
    (Sender::new(&shared), Events(shared))
}

/// The events of a server, see [`Server::start_with_events`](super::Server::start_with_events):
/// those of all shards in the order in which they were sent. So the events of one session are in
/// order, and so are the sessions of one name.
///
/// When 1,024 events wait, the shards stop reading; when eight times as many wait, they stop
/// accepting clients. No event is dropped. Dropping this discards all further events.
#[derive(Debug)]
pub struct Events<T = Event<Vec<u8>>>(Arc<Shared<T>>);

impl<T> Events<T> {
    /// The next event; `None` when the server has shut down and all events were received.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            let next = self.0.next(&mut self.0.lock());
            if let Some(next) = next {
                return next.map(Item::take);
            }
            // An event that has come meanwhile has already stored a notification.
            self.0.told.notified().await;
        }
    }

    /// The next event, for threads without an async runtime: it blocks the thread. `None` as for
    /// [`recv`](Self::recv).
    pub fn blocking_recv(&mut self) -> Option<T> {
        let mut queue = self.0.lock();
        loop {
            if let Some(next) = self.0.next(&mut queue) {
                drop(queue);
                return next.map(Item::take);
            }
            queue = self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An event, if one is waiting.
    pub fn try_recv(&mut self) -> Option<T> {
        let next = self.0.next(&mut self.0.lock());
        next.flatten().map(Item::take)
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        queue.resume();
        let events = core::mem::take(&mut queue.events);
        self.0.waiting.0.store(0, Relaxed);
        // Without the lock, because this runs the application's `Drop` code.
        drop(queue);
        drop(events);
    }
}

/// One queue for all shards: events are received in the order sent, from whichever shard.
#[derive(Debug)]
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// How many events are in it: shards ask with each read, and must not wait for each other.
    waiting: Waiting,
    /// Wakes a thread that waits.
    changed: Condvar,
    told: Notify,
}

/// On cache lines of its own, so that shards can read it while others lock the queue.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Waiting(AtomicUsize);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        let queue =
            Queue { events: VecDeque::new(), senders: 0, is_closed: false, parked: Vec::new() };
        Self {
            queue: Mutex::new(queue),
            waiting: Waiting::default(),
            changed: Condvar::new(),
            told: Notify::new(),
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether fewer than `most` events wait. If not, the shard is woken when there is room.
    fn has_room(&self, most: usize, shard: &Waker) -> bool {
        // Only the other shards' latest events may be missing in it.
        self.waiting.0.load(Relaxed) < most || self.lock().has_room(most, shard)
    }

    /// The next event of the queue, as [`Queue::next`].
    fn next(&self, queue: &mut Queue<T>) -> Option<Option<Item<T>>> {
        let next = queue.next();
        self.waiting.0.store(queue.events.len(), Relaxed);
        next
    }

    fn notify(&self) {
        self.changed.notify_one();
        self.told.notify_one();
    }
}

/// An event that waits for the application.
#[derive(Debug)]
struct Item<T> {
    event: T,
    /// Says that the application has taken it over, when it is dropped: without the lock of the
    /// queue, because that may wake a shard.
    receipt: Option<Receipt>,
}

impl<T> Item<T> {
    fn take(self) -> T {
        drop(self.receipt);
        self.event
    }
}

#[derive(Debug)]
struct Queue<T> {
    events: VecDeque<Item<T>>,
    /// Number of handlers and senders. At 0 there will be no more events.
    senders: usize,
    /// The application has dropped its [`Events`].
    is_closed: bool,
    /// Shards that wait for room.
    parked: Vec<Waker>,
}

impl<T> Queue<T> {
    /// The next event; `Some(None)` if there will be none, `None` if it has not come yet.
    fn next(&mut self) -> Option<Option<Item<T>>> {
        let Some(event) = self.events.pop_front() else {
            return (self.senders == 0).then_some(None);
        };
        // At half of the room, so that a slow application does not wake the shards for each event.
        if [MAX_EVENTS / 2, MAX_NEWCOMERS / 2].contains(&self.events.len()) {
            self.resume();
        }
        Some(Some(event))
    }

    fn has_room(&mut self, most: usize, shard: &Waker) -> bool {
        if self.events.len() < most || self.is_closed {
            return true;
        }
        if !self.parked.iter().any(|parked| parked.will_wake(shard)) {
            self.parked.push(shard.clone());
        }
        false
    }

    fn resume(&mut self) {
        self.parked.drain(..).for_each(Waker::wake);
    }
}

/// The sending end, for one shard. When the last one is dropped, the events end.
#[derive(Debug)]
pub(super) struct Sender<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    fn new(shared: &Arc<Shared<T>>) -> Self {
        shared.lock().senders += 1;
        Self(Arc::clone(shared))
    }

    /// Puts an event into the channel, even if it is full. Shards that ask for room first exceed
    /// the limit only by the ends of sessions, two events each, and the rest of one read.
    fn send(&self, event: T, receipt: Option<Receipt>) {
        let mut queue = self.0.lock();
        if queue.is_closed {
            return;
        }
        queue.events.push_back(Item { event, receipt });
        self.0.waiting.0.store(queue.events.len(), Relaxed);
        drop(queue);
        self.0.notify();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.notify();
    }
}

/// Sends what `map` makes of the events of one shard, and stops the shard while the channel is
/// full.
pub(super) struct Forward<T, M> {
    pub(super) sender: Sender<T>,
    pub(super) map: M,
}

impl<T, M> Handler for Forward<T, M>
where
    T: Send,
    M: FnMut(Event<&[u8]>, &mut Control<'_>) -> Option<T> + Send,
{
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        if let Some(event) = (self.map)(event, control) {
            self.sender.send(event, control.receipt());
        }
    }

    fn has_room(&mut self, shard: &Waker) -> bool {
        self.sender.0.has_room(MAX_EVENTS, shard)
    }

    fn has_room_for_newcomers(&mut self, shard: &Waker) -> bool {
        self.sender.0.has_room(MAX_NEWCOMERS, shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_shard_keep_their_order_however_full_the_channel_is() {
        let (sender, mut events) = channel();
        let (one, other) = (sender.clone(), sender.clone());
        let before = u32::try_from(MAX_EVENTS).unwrap() + 10;
        (0..before).for_each(|number| one.send(number, None));
        assert_eq!(events.try_recv(), Some(0));
        // A name passes from a session of one shard to a session of the other.
        one.send(before, None);
        other.send(before + 1, None);
        let rest: Vec<u32> = core::iter::from_fn(|| events.try_recv()).collect();
        assert_eq!(rest, (1..before + 2).collect::<Vec<_>>());
        drop((one, other, sender));
        assert_eq!(events.blocking_recv(), None);
    }

    #[test]
    fn room_is_found_without_the_lock_and_waited_for_with_it() {
        let (sender, mut events) = channel();
        let shard = Waker::noop();
        let locked = sender.0.lock();
        assert!(sender.0.has_room(1, shard));
        drop(locked);
        sender.send((), None);
        assert!(!sender.0.has_room(1, shard));
        assert_eq!(sender.0.lock().parked.len(), 1);
        assert_eq!(events.try_recv(), Some(()));
        assert!(sender.0.has_room(1, shard));
        sender.send((), None);
        // Without an application, events are discarded, and there is always room.
        drop(events);
        assert!(sender.0.has_room(1, shard));
    }

    #[test]
    fn an_application_that_has_left_keeps_nothing() {
        let (sender, events) = channel();
        let event = Arc::new(());
        sender.send(Arc::clone(&event), None);
        drop(events);
        sender.send(Arc::clone(&event), None);
        assert_eq!(Arc::strong_count(&event), 1);
    }
}
