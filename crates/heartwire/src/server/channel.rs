//! A channel that carries a server's events to another thread or task.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::event::Event;
use super::handler::{Control, Handler, Resumer};

/// Number of waiting events at which shards stop reading.
pub const MAX_EVENTS: usize = 1024;

/// Number of waiting events at which shards stop accepting clients. It is higher, so that one
/// client's data that slows the application does not lock out other clients. An application that
/// takes nothing at all has at most this many events in memory, and the data that new clients send
/// with their first frame.
const MAX_NEWCOMERS: usize = 8 * MAX_EVENTS;

/// Creates a channel for the events of all shards of a server, for applications that do not run on
/// the shards' threads. [`ChannelSender::handler`] makes the handler for each shard.
///
/// It carries [`Event`]s, or any type `T` that your own handler makes of them: such a handler keeps
/// a [`ChannelHandler`], [forwards](ChannelHandler::forward) to it, and asks it for room [for
/// data](ChannelHandler::has_room) and [for new clients](ChannelHandler::has_room_for_newcomers).
///
/// ```no_run
/// use heartwire::server::{self, Event, Server, ServerConfig};
///
/// let (sender, mut events) = server::channel();
/// let config = ServerConfig::new("127.0.0.1:39002".parse().unwrap());
/// let server = Server::start(config, |_shard| sender.handler())?;
/// drop(sender);
/// while let Some(event) = events.blocking_recv() {
///     println!("{event}");
/// }
/// # Ok::<(), heartwire::server::ServerError>(())
/// ```
#[must_use]
pub fn channel<T>() -> (ChannelSender<T>, Events<T>) {
    let shared = Arc::new(Shared::default());
    (ChannelSender(Sending::new(&shared)), Events(shared))
}

/// The sending end of a [`channel`].
#[derive(Debug)]
pub struct ChannelSender<T = Event<Vec<u8>>>(Sending<T>);

impl<T> ChannelSender<T> {
    /// Makes the handler for one shard.
    #[must_use]
    pub fn handler(&self) -> ChannelHandler<T> {
        ChannelHandler(Sending::new(&self.0.0))
    }
}

/// The receiving end of a [`channel`]: the events of all shards in the order in which they were
/// sent. So the events of one session are in order, and so are the sessions of one name.
///
/// When more than [`MAX_EVENTS`] events wait, the shards stop reading; when eight times as many
/// wait, they stop accepting clients. No event is dropped. Dropping this discards all further
/// events.
#[derive(Debug)]
pub struct Events<T = Event<Vec<u8>>>(Arc<Shared<T>>);

impl<T> Events<T> {
    /// The next event; `None` when the server has shut down and all events were received.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            if let Some(next) = self.0.lock().next() {
                return next;
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
            if let Some(next) = queue.next() {
                return next;
            }
            queue = self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An event, if one is waiting.
    pub fn try_recv(&mut self) -> Option<T> {
        self.0.lock().next().flatten()
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        queue.resume();
        let events = core::mem::take(&mut queue.events);
        // Without the lock, because this runs the application's `Drop` code.
        drop(queue);
        drop(events);
    }
}

/// One queue for all shards: events are received in the order sent, from whichever shard.
#[derive(Debug)]
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// Wakes a thread that waits.
    changed: Condvar,
    told: Notify,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        let queue =
            Queue { events: VecDeque::new(), senders: 0, is_closed: false, parked: Vec::new() };
        Self { queue: Mutex::new(queue), changed: Condvar::new(), told: Notify::new() }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.notify_one();
        self.told.notify_one();
    }
}

#[derive(Debug)]
struct Queue<T> {
    events: VecDeque<T>,
    /// Number of handlers and senders. At 0 there will be no more events.
    senders: usize,
    /// The application has dropped its [`Events`].
    is_closed: bool,
    /// Shards that wait for room.
    parked: Vec<Resumer>,
}

impl<T> Queue<T> {
    /// The next event; `Some(None)` if there will be none, `None` if it has not come yet.
    fn next(&mut self) -> Option<Option<T>> {
        let Some(event) = self.events.pop_front() else {
            return (self.senders == 0).then_some(None);
        };
        // At half of the room, so that a slow application does not wake the shards for each event.
        if [MAX_EVENTS / 2, MAX_NEWCOMERS / 2].contains(&self.events.len()) {
            self.resume();
        }
        Some(Some(event))
    }

    fn has_room(&mut self, most: usize, resumer: &Resumer) -> bool {
        if self.events.len() < most || self.is_closed {
            return true;
        }
        if !self.parked.iter().any(|parked| parked.is_same(resumer)) {
            self.parked.push(resumer.clone());
        }
        false
    }

    fn resume(&mut self) {
        self.parked.drain(..).for_each(|shard| shard.resume());
    }
}

/// A reference that keeps the channel open. When the last one is dropped, the events end.
#[derive(Debug)]
struct Sending<T>(Arc<Shared<T>>);

impl<T> Sending<T> {
    fn new(shared: &Arc<Shared<T>>) -> Self {
        shared.lock().senders += 1;
        Self(Arc::clone(shared))
    }
}

impl<T> Drop for Sending<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.notify();
    }
}

/// Puts the events of one shard into a [`channel`].
#[derive(Debug)]
pub struct ChannelHandler<T = Event<Vec<u8>>>(Sending<T>);

impl<T> ChannelHandler<T> {
    /// Puts an event into the channel, even if it is full. Shards that ask for room first exceed
    /// the limit only by the ends of sessions, two events each, and the rest of one read.
    pub fn forward(&mut self, event: T) {
        let Sending(shared) = &self.0;
        let mut queue = shared.lock();
        if queue.is_closed {
            return;
        }
        queue.events.push_back(event);
        drop(queue);
        shared.notify();
    }

    /// Whether the channel has room for data. Your own handler returns it from
    /// [`Handler::has_room`]. The channel resumes the shard when there is room again.
    pub fn has_room(&mut self, resumer: &Resumer) -> bool {
        self.0.0.lock().has_room(MAX_EVENTS, resumer)
    }

    /// Whether the channel has room for new clients: up to eight times as many events. Your own
    /// handler returns it from [`Handler::has_room_for_newcomers`]. The channel resumes the shard
    /// when there is room again.
    pub fn has_room_for_newcomers(&mut self, resumer: &Resumer) -> bool {
        self.0.0.lock().has_room(MAX_NEWCOMERS, resumer)
    }
}

impl Handler for ChannelHandler {
    fn handle(&mut self, event: Event<&[u8]>, _control: &mut Control<'_>) {
        self.forward(event.to_owned());
    }

    fn has_room(&mut self, resumer: &Resumer) -> bool {
        Self::has_room(self, resumer)
    }

    fn has_room_for_newcomers(&mut self, resumer: &Resumer) -> bool {
        Self::has_room_for_newcomers(self, resumer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_shard_tells_first_is_received_first_however_full_the_channel_is() {
        let (sender, mut events) = channel();
        let (mut one, mut other) = (sender.handler(), sender.handler());
        let before = u32::try_from(MAX_EVENTS).unwrap() + 10;
        (0..before).for_each(|number| one.forward(number));
        assert_eq!(events.try_recv(), Some(0));
        // A name passes from a session of one shard to a session of the other.
        one.forward(before);
        other.forward(before + 1);
        let rest: Vec<u32> = core::iter::from_fn(|| events.try_recv()).collect();
        assert_eq!(rest, (1..before + 2).collect::<Vec<_>>());
        drop((one, other, sender));
        assert_eq!(events.blocking_recv(), None);
    }

    #[test]
    fn an_application_that_has_left_keeps_nothing() {
        let (sender, events) = channel();
        let mut handler = sender.handler();
        let event = Arc::new(());
        handler.forward(Arc::clone(&event));
        drop(events);
        handler.forward(Arc::clone(&event));
        assert_eq!(Arc::strong_count(&event), 1);
    }
}
