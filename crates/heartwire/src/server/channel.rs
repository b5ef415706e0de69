//! The owner's side of a server, on any thread or task: events through a channel.

use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::event::Event;
use super::handler::{Control, Handler, Resumer};

/// Events that wait for the owner before shards stop reading.
pub const EVENTS_MAX: usize = 1024;

/// A channel for the events of all shards of one server, for owners that would rather not run on
/// the shards' threads. [`ChannelSender::handler`] makes the handler for each shard.
///
/// It carries [`Event`]s, or whatever `T` a handler of your own makes of them: such a handler keeps
/// a [`ChannelHandler`], [forwards](ChannelHandler::forward) to it, and asks it
/// [for room](ChannelHandler::has_room).
///
/// ```no_run
/// use heartwire::server::{self, Event, Server, ServerConfig};
///
/// let (sender, mut events) = server::channel();
/// let config = ServerConfig::new("127.0.0.1:29002".parse().unwrap());
/// let server = Server::start(config, |_shard| sender.handler())?;
/// drop(sender);
/// while let Some(event) = events.recv_blocking() {
///     println!("{event:?}");
/// }
/// # Ok::<(), heartwire::server::ServerError>(())
/// ```
#[must_use]
pub fn channel<T>() -> (ChannelSender<T>, Events<T>) {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let parked = Arc::new(Parked::default());
    (ChannelSender { sender, parked: Arc::clone(&parked) }, Events { receiver, parked })
}

/// The sending end of a [`channel`].
#[derive(Debug)]
pub struct ChannelSender<T = Event<Vec<u8>>> {
    sender: mpsc::Sender<T>,
    parked: Arc<Parked>,
}

impl<T> ChannelSender<T> {
    /// The handler for one shard.
    #[must_use]
    pub fn handler(&self) -> ChannelHandler<T> {
        ChannelHandler {
            sender: self.sender.clone(),
            parked: Arc::clone(&self.parked),
            overflow: VecDeque::new(),
        }
    }
}

/// The receiving end of a [`channel`]: the events of all shards, those of one session in order.
///
/// An owner that falls more than [`EVENTS_MAX`] events behind makes the shards stop reading; no
/// event is dropped. After a shutdown it must go on reading until `None`: the shards wait for that.
/// Dropping it discards all further events.
#[derive(Debug)]
pub struct Events<T = Event<Vec<u8>>> {
    receiver: mpsc::Receiver<T>,
    parked: Arc<Parked>,
}

impl<T> Events<T> {
    /// The next event; `None` when the server has shut down and all events were received.
    ///
    /// Cancel-safe: no event is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        let event = self.receiver.recv().await;
        self.unpark();
        event
    }

    /// The next event, for threads without a runtime. `None` as for [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// Within an asynchronous runtime.
    pub fn recv_blocking(&mut self) -> Option<T> {
        let event = self.receiver.blocking_recv();
        self.unpark();
        event
    }

    /// An event, if one is waiting.
    pub fn try_recv(&mut self) -> Option<T> {
        let event = self.receiver.try_recv().ok();
        self.unpark();
        event
    }

    fn unpark(&self) {
        // Half of the room, so that a slow owner does not wake the shards for each event.
        if self.parked.any.load(Ordering::SeqCst) && self.receiver.len() <= EVENTS_MAX / 2 {
            self.parked.unpark();
        }
    }
}

impl<T> Drop for Events<T> {
    fn drop(&mut self) {
        self.receiver.close();
        self.parked.unpark();
    }
}

/// Shards that wait for room in the channel.
#[derive(Debug, Default)]
struct Parked {
    any: AtomicBool,
    shards: Mutex<Vec<Resumer>>,
}

impl Parked {
    fn park(&self, resumer: &Resumer) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if !shards.iter().any(|parked| Arc::ptr_eq(&parked.0, &resumer.0)) {
            shards.push(resumer.clone());
        }
        self.any.store(true, Ordering::SeqCst);
    }

    fn unpark(&self) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(false, Ordering::SeqCst);
        shards.drain(..).for_each(|shard| shard.resume());
    }
}

/// Puts the events of one shard into a [`channel`].
#[derive(Debug)]
pub struct ChannelHandler<T = Event<Vec<u8>>> {
    sender: mpsc::Sender<T>,
    parked: Arc<Parked>,
    /// Events that found the channel full. The shard then stops reading and accepting, so that only
    /// the ends of sessions, two events each, and the rest of one read can be added.
    overflow: VecDeque<T>,
}

impl<T> ChannelHandler<T> {
    /// Puts an event into the channel, or aside until there is room.
    pub fn forward(&mut self, event: T) {
        if self.overflow.is_empty() {
            match self.sender.try_send(event) {
                // Closed: the owner wants no events.
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => self.overflow.push_back(event),
            }
        } else {
            self.overflow.push_back(event);
        }
    }

    /// Whether the channel has room; what a handler of your own returns from
    /// [`Handler::has_room`]. The shard is resumed when the owner has made some.
    pub fn has_room(&mut self, resumer: &Resumer) -> bool {
        if self.refill() {
            return true;
        }
        self.parked.park(resumer);
        // The owner may have made room before it could see the shard parked.
        self.refill()
    }

    /// Moves events into the channel; false if it is full.
    fn refill(&mut self) -> bool {
        while let Some(event) = self.overflow.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(event)) = self.sender.try_send(event) {
                self.overflow.push_front(event);
                return false;
            }
        }
        self.sender.capacity() > 0 || self.sender.is_closed()
    }
}

impl Handler for ChannelHandler {
    fn handle(&mut self, event: Event<&[u8]>, _control: &mut Control<'_>) {
        self.forward(event.to_owned());
    }

    fn has_room(&mut self, resumer: &Resumer) -> bool {
        Self::has_room(self, resumer)
    }
}

/// The shard has ended; its last events must reach the owner.
impl<T> Drop for ChannelHandler<T> {
    fn drop(&mut self) {
        for event in self.overflow.drain(..) {
            if self.sender.blocking_send(event).is_err() {
                return;
            }
        }
    }
}
