//! Connections to many servers, each under a name.
//!
//! A [`Supervisor`] holds one [`Client`] for each name, and puts their events into one bounded queue. It
//! does nothing else: what a connection does, when it comes back and what becomes of its messages is its own
//! [`ClientConfig`]'s business.
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

/// Holds connections by name. Clones share them.
///
/// When the last clone is dropped, every connection is closed as [`Client::close`] does it, except those
/// that somebody else holds a [`Client`] of.
#[derive(Clone, Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connections: Mutex<Connections>,
    /// How many there are.
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Connections {
    /// `None` once everything is closed.
    events: Option<Queue>,
    by_name: BTreeMap<Arc<str>, Connection>,
}

/// The way to [`Events`], and room in it.
#[derive(Clone, Debug)]
struct Queue {
    sender: mpsc::UnboundedSender<Delivery>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    task: AbortHandle,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        // Whatever happened, each connection is in there or not.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supervisor {
    /// Default for [`with_queue`](Self::with_queue): as many as a single client's.
    pub const MAX_EVENTS: usize = 1024;

    /// A supervisor without connections, and the events of those it will have.
    #[must_use]
    pub fn new() -> (Self, Events) {
        Self::with_queue(Self::MAX_EVENTS)
    }

    /// As [`new`](Self::new), with as many events waiting to be taken as this, of all connections together; at
    /// least 1. An event of data takes the memory of the data: with the default of 64 KiB for the longest frame,
    /// 1,024 take 64 MiB at the most.
    #[must_use]
    pub fn with_queue(max_events: usize) -> (Self, Events) {
        let max_events = max_events.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::unbounded_channel();
        let queue = Queue { sender, room: Arc::new(Semaphore::new(max_events)) };
        let connections = Connections { events: Some(queue), by_name: BTreeMap::new() };
        let shared = Shared { connections: Mutex::new(connections), count: watch::Sender::new(0) };
        (Self { shared: Arc::new(shared) }, Events { receiver })
    }

    /// Starts a connection under a name that nobody has, in one task on the current runtime.
    ///
    /// The name is this program's own: what it calls itself to the server is [`ClientConfig::name`]. It is
    /// taken until the connection's [`Event::Closed`] is in the queue, which comes by itself where the client
    /// [ends by itself](crate::client::Retry::Never); so events under one name never mix.
    ///
    /// Connections wait by their own backoff, each with draws of its own, so that they do not come back in step:
    /// where [`ClientConfig::seed`] is set, the name makes it another for each.
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
        // When it ends or is dropped, it finds itself in the map, which is locked until it is there.
        let task = tokio::spawn(async move {
            life.await;
            drop(entry);
        });
        let connection = Connection { client: client.clone(), task: task.abort_handle() };
        connections.by_name.insert(name, connection);
        self.shared.count.send_replace(connections.by_name.len());
        Ok(client)
    }

    /// Closes a connection as [`Client::close`] does, without waiting for that. Returns whether there is one.
    pub fn remove(&self, name: &str) -> bool {
        let client = self.get(name);
        if let Some(client) = &client {
            client.close();
        }
        client.is_some()
    }

    /// A handle to a connection, be it online or not. It stays good when the connection ends, and refuses then.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Client> {
        self.shared.lock().by_name.get(name).map(|connection| connection.client.clone())
    }

    /// The names that are taken, in order.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        self.shared.lock().by_name.keys().cloned().collect()
    }

    /// Hands a message over to a connection, as [`Client::send`] does.
    ///
    /// # Errors
    ///
    /// As for [`Client::send`]; [`SendError::Closed`] too where nobody has this name.
    pub async fn send(&self, name: &str, data: Vec<u8>) -> Result<(), SendError> {
        match self.get(name) {
            Some(client) => client.send(data).await,
            None => Err(SendError::Closed(data)),
        }
    }

    /// The network may have changed: has every connection look how things are, as [`Client::network_changed`] does.
    pub fn network_changed(&self) {
        for connection in self.shared.lock().by_name.values() {
            connection.client.network_changed();
        }
    }

    /// Closes every connection and adds no more. Each writes what was accepted, and takes its leave, for which
    /// it gives its server [`ClientConfig::close_timeout`]; what then is not over `within` the given time is cut off. Returns the
    /// names of those, which have had no [`Event::Closed`]; nothing else is left behind.
    ///
    /// [`Events`] that are not taken meanwhile do not hold it up. If this is dropped before it is ready, the
    /// connections go on closing, and none is cut off.
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

/// The place of a connection among the others. It leaves when this is dropped.
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

/// The events of all connections, each with the name of the one it is about; those under one name come in
/// the order in which they happened.
///
/// Take them promptly: when the queue is full, *every* connection stops reading, and what the servers send waits
/// in the kernel. Beats and messages go on, unread bytes are not held against the servers, and connections come
/// back and can be closed. What each of them keeps of its news meanwhile is with
/// [`client::Events`](crate::client::Events). Dropping this means that the application wants no news: the
/// connections go on, and what the servers send is read and discarded.
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Delivery>,
}

impl Events {
    /// The next event; `None` when every connection has ended and the [`Supervisor`] is closed or dropped.
    ///
    /// If the future is dropped before it is ready, no event is lost.
    pub async fn recv(&mut self) -> Option<(Arc<str>, Event)> {
        self.receiver.recv().await.map(named)
    }
}

impl Stream for Events {
    type Item = (Arc<str>, Event);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context).map(|told| told.map(named))
    }
}

fn named(told: Delivery) -> (Arc<str>, Event) {
    // There is always one: every connection was started under a name.
    (told.by.unwrap_or_default(), told.event)
}

/// Why no connection was started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// There is a connection of this name, or one that has not closed yet: wait for its
    /// [`Event::Closed`], or take another name.
    #[error("there is a connection {0:?} already, or it has not closed yet")]
    Taken(Arc<str>),
    /// [`Supervisor::close`] was called.
    #[error("the supervisor is closed")]
    Closed,
}
