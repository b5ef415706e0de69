//! A supervisor: connections to many servers, each with a name.
//!
//! A [`Supervisor`] runs one [`Client`] for each name and puts their events into one bounded queue.
//! Everything else, such as reconnecting and queueing, is configured per connection by its
//! [`ClientConfig`].
//!
//! ```
//! use core::time::Duration;
//! use heartwire::client::{ClientConfig, Event};
//! use heartwire::supervisor::Supervisor;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use heartwire::server::{Server, ServerConfig};
//! # let config = || ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(1);
//! # let (here, _) = Server::start_with_events(config())?;
//! # let (there, _) = Server::start_with_events(config())?;
//! # let (here, there) = (here.local_addrs()[0].to_string(), there.local_addrs()[0].to_string());
//! let (supervisor, mut events) = Supervisor::new();
//! supervisor.add("here", ClientConfig::new(here))?;
//! supervisor.add("there", ClientConfig::new(there))?;
//! let mut online = 0;
//! while let Some((name, event)) = events.recv().await {
//!     println!("{name}: {event}");
//!     if let Event::Online { .. } = event {
//!         supervisor.send(&name, b"hello".to_vec()).await?;
//!         online += 1;
//!     }
//!     if online == 2 {
//!         break;
//!     }
//! }
//! assert!(supervisor.close(Duration::from_secs(5)).await.is_empty());
//! # Ok(())
//! # }
//! ```

use core::hash::{Hash, Hasher};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::collections::BTreeMap;
use std::hash::DefaultHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_core::Stream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::client::{Client, ClientConfig, Delivery, Event, Reports, SendError};

/// Runs named connections. Clones share them.
///
/// When the last clone is dropped, every connection is closed as by [`Client::close`], except those
/// that still have another [`Client`] handle.
#[derive(Clone, Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connections: Mutex<Connections>,
    /// Number of connections.
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Connections {
    /// `None` once everything is closed.
    events: Option<Queue>,
    by_name: BTreeMap<Arc<str>, Connection>,
}

/// The sending end of [`Events`], and permits for it.
#[derive(Clone, Debug)]
struct Queue {
    sender: mpsc::UnboundedSender<Box<Delivery>>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    task: AbortHandle,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        // The map stays consistent even if a thread panicked while it held the lock.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supervisor {
    /// Default for [`with_queue`](Self::with_queue): as many as for a single client.
    pub const MAX_EVENTS: usize = 1024;

    /// Creates a supervisor without connections, and the stream of their events.
    #[must_use]
    pub fn new() -> (Self, Events) {
        Self::with_queue(Self::MAX_EVENTS)
    }

    /// As [`new`](Self::new), with at most `max_events` waiting events of all connections together;
    /// at least 1. Data events keep their data in memory: with the default maximum frame of 64 KiB,
    /// 1,024 events take at most 64 MiB.
    #[must_use]
    pub fn with_queue(max_events: usize) -> (Self, Events) {
        let max_events = max_events.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::unbounded_channel();
        let queue = Queue { sender, room: Arc::new(Semaphore::new(max_events)) };
        let connections = Connections { events: Some(queue), by_name: BTreeMap::new() };
        let shared = Shared { connections: Mutex::new(connections), count: watch::Sender::new(0) };
        (Self { shared: Arc::new(shared) }, Events { receiver })
    }

    /// Starts a connection with a new name, in one task on the current runtime.
    ///
    /// The name is local to this program; the server sees [`V1::name`](crate::client::V1::name).
    /// The name is in use until the connection's [`Event::Closed`] is in the queue, also where the
    /// client [ends by itself](ClientConfig::reconnect); so events of two connections never mix
    /// under one name.
    ///
    /// Each connection has its own random back-off delays, so that they do not reconnect in step: a
    /// [`Reconnect::seed`](crate::client::Reconnect::seed) is mixed with the name.
    ///
    /// # Errors
    ///
    /// [`AddError`]; nothing was started.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, or in one without its I/O and time drivers.
    pub fn add(&self, name: impl Into<Arc<str>>, config: ClientConfig) -> Result<Client, AddError> {
        let name = name.into();
        let mut connections = self.shared.lock();
        let Some(queue) = connections.events.clone() else { return Err(AddError::Closed) };
        if connections.by_name.contains_key(&name) {
            return Err(AddError::Taken(name));
        }
        let config = config.seed_mixed_with(hash_of(&name));
        let Queue { sender, room } = queue;
        let reports = Reports { sender, room, by: Some(Arc::clone(&name)) };
        let (client, life) = Client::prepare_for(config, reports);
        let shared = Arc::downgrade(&self.shared);
        let entry = Entry { shared, name: Arc::clone(&name) };
        // The map is locked until the connection is in it, so `entry` always finds it there to
        // remove.
        let task = tokio::spawn(async move {
            life.await;
            drop(entry);
        });
        let connection = Connection { client: client.clone(), task: task.abort_handle() };
        connections.by_name.insert(name, connection);
        self.shared.count.send_replace(connections.by_name.len());
        Ok(client)
    }

    /// Closes a connection as [`Client::close`] does, and does not wait. Returns whether the name
    /// was in use.
    pub fn remove(&self, name: &str) -> bool {
        let client = self.get(name);
        if let Some(client) = &client {
            client.close();
        }
        client.is_some()
    }

    /// A handle to a connection, online or not. After the connection has ended it refuses messages.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Client> {
        self.shared.lock().by_name.get(name).map(|connection| connection.client.clone())
    }

    /// The names in use, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        self.shared.lock().by_name.keys().cloned().collect()
    }

    /// Queues a message on a connection, as [`Client::send`] does.
    ///
    /// # Errors
    ///
    /// As for [`Client::send`]; also [`SendError::Closed`] if no connection has this name.
    pub async fn send(&self, name: &str, data: Vec<u8>) -> Result<(), SendError> {
        match self.get(name) {
            Some(client) => client.send(data).await,
            None => Err(SendError::Closed(data)),
        }
    }

    /// Checks every connection now, because the network may have changed; see
    /// [`Client::network_changed`].
    pub fn network_changed(&self) {
        for connection in self.shared.lock().by_name.values() {
            connection.client.network_changed();
        }
    }

    /// Closes every connection; no more can be added. Each writes its accepted messages and
    /// disconnects, within its [`ClientConfig::close_timeout`]. Connections that have not ended
    /// `within` the given time are aborted, and their names are returned; they emit no
    /// [`Event::Closed`].
    ///
    /// [`Events`] that are not taken meanwhile do not delay it. If the future is dropped before it
    /// is ready, the connections go on closing, and none is aborted.
    pub async fn close(&self, within: Duration) -> Vec<Arc<str>> {
        {
            let mut connections = self.shared.lock();
            connections.events = None;
            for connection in connections.by_name.values() {
                connection.client.close();
            }
        }
        let mut count = self.shared.count.subscribe();
        let all_gone = count.wait_for(|&count| count == 0);
        if timeout(within, all_gone).await.is_ok() {
            return Vec::new();
        }
        let left = core::mem::take(&mut self.shared.lock().by_name);
        self.shared.count.send_replace(0);
        left.values().for_each(|connection| connection.task.abort());
        left.into_keys().collect()
    }
}

fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Removes a connection from the supervisor when dropped.
struct Entry {
    shared: Weak<Shared>,
    name: Arc<str>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut connections = shared.lock();
        let left = connections.by_name.remove(&self.name);
        shared.count.send_replace(connections.by_name.len());
        drop(connections);
        drop(left);
    }
}

/// The events of all connections, each with the name of its connection. Events of one connection
/// come in the order in which they happened.
///
/// Take them promptly: when the queue is full, *every* connection stops reading, except those whose
/// session can be [resumed](ClientConfig::resume), and what the servers send waits in the kernel.
/// The connections still send beats and messages, do not declare a server dead whose bytes they
/// have not read, and can reconnect and be closed. [`client::Events`](crate::client::Events) says
/// which events each connection keeps meanwhile.
/// After this is dropped, the connections go on, and read and discard what the servers send.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Box<Delivery>>,
}

impl Events {
    /// The next event; `None` when every connection has ended and the [`Supervisor`] is closed or
    /// dropped.
    ///
    /// If the future is dropped before it is ready, no event is lost.
    pub async fn recv(&mut self) -> Option<(Arc<str>, Event)> {
        self.receiver.recv().await.map(|told| named(*told))
    }
}

impl Stream for Events {
    type Item = (Arc<str>, Event);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context).map(|told| told.map(|told| named(*told)))
    }
}

fn named(told: Delivery) -> (Arc<str>, Event) {
    // Every connection has a name, so this never falls back to the default.
    (told.by.unwrap_or_default(), told.event)
}

/// Why no connection was started.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// A connection has this name, or had it and has not closed yet: wait for its
    /// [`Event::Closed`], or use another name.
    #[error("the name {0:?} is in use by a connection that has not closed yet")]
    Taken(Arc<str>),
    /// [`Supervisor::close`] was called.
    #[error("the supervisor is closed")]
    Closed,
}
