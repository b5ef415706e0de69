//! A blocking [`client`], for programs without async.
//!
//! [`Client::start`] runs the async client on a thread of its own; see there for what it does. It
//! takes one thread and one socket, and needs no async runtime. Any thread may call everything
//! here; an async task may too, but then blocks its thread. Nothing panics.
//!
//! ```
//! use core::time::Duration;
//! use heartwire::blocking::Client;
//! use heartwire::client::{ClientConfig, Event};
//!
//! # use heartwire::server::{Server, ServerConfig};
//! # let (server, _) = Server::start_with_events(ServerConfig::new("127.0.0.1:0".parse()?))?;
//! # let address = server.local_addrs()[0];
//! let config = ClientConfig::new(address.to_string()).reconnect(None);
//! let (client, events) = Client::start(config)?;
//! for event in events {
//!     println!("{event}");
//!     match event {
//!         Event::Online { .. } => {
//!             client.send(b"hello".to_vec())?;
//!             client.close(); // after writing what was sent
//!         }
//!         Event::Offline { reason, .. } => assert_eq!(reason.name(), "shutdown"),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::task::Wake;
use std::thread::{self, Thread};

use heartwire_core::{Instant, LinkState};
use tokio::runtime::Builder;

use crate::client::{self, ClientConfig, Event, SendError};
use crate::clock;

/// A handle to a running client: sends messages and closes it. Clones share one client.
///
/// The client ends when [`close`](Self::close) is called or the last handle is dropped: on its own
/// thread it writes the accepted messages, closes the connection and emits [`Event::Closed`],
/// within [`ClientConfig::close_timeout`]. The call does not wait for that, and a program that
/// exits right afterwards cuts it short. To be sure that everything has arrived, take [`Events`] to
/// their end: the last [`Offline`](Event::Offline) then has
/// [`Reason::Shutdown`](crate::Reason::Shutdown).
#[derive(Clone, Debug)]
pub struct Client {
    inner: client::Client,
}

impl Client {
    /// Starts a client on a new thread, `heartwire-client`. It connects at once. The thread ends
    /// after [`Event::Closed`].
    ///
    /// # Errors
    ///
    /// The system cannot start another thread, or has no descriptor for its poller. Nothing was
    /// started.
    pub fn start(config: ClientConfig) -> io::Result<(Self, Events)> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (inner, events, life) = client::Client::prepare(config);
        thread::Builder::new().name("heartwire-client".to_owned()).spawn(move || {
            runtime.block_on(life);
            // A name lookup that is still running must not delay the end.
            runtime.shutdown_background();
        })?;
        Ok((Self { inner }, Events { inner: events }))
    }

    /// Queues a message for sending, and waits while the queue is full: as long as the server does
    /// not read, or, with [`offline_queue`](client::ClientConfig::offline_queue), until there is a
    /// connection again. Otherwise as [`client::Client::send`].
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the message was not accepted, and gives it back.
    pub fn send(&self, data: Vec<u8>) -> Result<(), SendError> {
        self.send_by(data, None)
    }

    /// As [`send`](Self::send), but waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if the queue stayed full that long; the others as in
    /// [`send`](Self::send).
    pub fn send_timeout(&self, data: Vec<u8>, timeout: Duration) -> Result<(), SendError> {
        self.send_by(data, Some(deadline(timeout)))
    }

    fn send_by(&self, data: Vec<u8>, until: Option<Instant>) -> Result<(), SendError> {
        let (data, cost) = self.inner.check(data)?;
        match wait(self.inner.room(cost), until) {
            Some(Ok(room)) => self.inner.accept(data, room),
            Some(Err(_)) => Err(SendError::Closed(data)),
            None => Err(SendError::Full(data)),
        }
    }

    /// Queues a message for sending if the queue has room for it now; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the message was not accepted, and gives it back.
    pub fn try_send(&self, data: Vec<u8>) -> Result<(), SendError> {
        self.inner.try_send(data)
    }

    /// Waits until every accepted message was written to a connection, or dropped with one, or the
    /// client has ended; see [`client::Client::flush`].
    pub fn flush(&self) {
        wait(self.inner.flush(), None);
    }

    /// As [`flush`](Self::flush), but waits for at most `timeout`. Returns whether it finished.
    #[must_use]
    pub fn flush_timeout(&self, timeout: Duration) -> bool {
        wait(self.inner.flush(), Some(deadline(timeout))).is_some()
    }

    /// Promises the server a heartbeat every `interval` from now on; see
    /// [`client::Client::promise`].
    pub fn promise(&self, interval: Option<Duration>) {
        self.inner.promise(interval);
    }

    /// Reports that the application works. See [`V1::watchdog`](client::V1::watchdog).
    pub fn feed_watchdog(&self) {
        self.inner.feed_watchdog();
    }

    /// The state of both directions of the connection; see [`client::Client::link_state`].
    #[must_use]
    pub fn link_state(&self) -> Option<LinkState> {
        self.inner.link_state()
    }

    /// Checks the connection now, because the network may have changed; see
    /// [`client::Client::network_changed`].
    pub fn network_changed(&self) {
        self.inner.network_changed();
    }

    /// Closes the client, and does not wait. From now on it refuses messages and discards what the
    /// server sends; its last event is [`Event::Closed`]. Repeated calls do nothing.
    pub fn close(&self) {
        self.inner.close();
    }
}

/// A blocking iterator over the events of a client. It ends after [`Event::Closed`].
///
/// Take them promptly: when 1,024 events wait, the client stops reading; see [`client::Events`].
/// After this is dropped, the client goes on, and reads and discards what the server sends.
#[derive(Debug)]
pub struct Events {
    inner: client::Events,
}

impl Events {
    /// Waits for the next event; `None` after [`Event::Closed`].
    pub fn recv(&mut self) -> Option<Event> {
        wait(self.inner.recv(), None).flatten()
    }

    /// Waits for the next event for at most `timeout`. No event is lost when that passes.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if none came within that time,
    /// [`RecvTimeoutError::Disconnected`] after [`Event::Closed`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Event, RecvTimeoutError> {
        match wait(self.inner.recv(), Some(deadline(timeout))) {
            Some(event) => event.ok_or(RecvTimeoutError::Disconnected),
            None => Err(RecvTimeoutError::Timeout),
        }
    }

    /// The next event, if there is one already.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if there is none yet, [`TryRecvError::Disconnected`] after
    /// [`Event::Closed`].
    pub fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        self.inner.try_recv()
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.recv()
    }
}

fn deadline(timeout: Duration) -> Instant {
    clock::now().saturating_add(timeout)
}

/// Waits for a future on this thread; `None` if it is not ready by `until`. Unlike a runtime's
/// `block_on`, it does not panic inside another runtime, but blocks its thread.
fn wait<F: Future>(future: F, until: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        // A wake-up from now on ends the next call at once; a spurious one only polls once more.
        match until {
            None => thread::park(),
            Some(until) => match until.saturating_since(clock::now()) {
                Duration::ZERO => return None,
                left => thread::park_timeout(left),
            },
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
