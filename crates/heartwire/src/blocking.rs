//! The [`client`] for programs without async.
//!
//! [`Client::start`] starts a thread, and on it the very same client: what it does, and when, is in the
//! documentation of the other one. It takes one thread and one socket, and needs no runtime of the
//! application's. Everything here may be called from any thread, from an async task too, which it then
//! blocks; nothing panics.
//!
//! ```
//! use core::time::Duration;
//! use heartwire::blocking::Client;
//! use heartwire::client::{ClientConfig, Event, Retry};
//!
//! # use heartwire::server::{Server, ServerConfig};
//! # let (server, _) = Server::start_with_events(ServerConfig::new("127.0.0.1:0".parse()?))?;
//! # let address = server.local_addrs()[0];
//! let config = ClientConfig::new(address.to_string()).retry(Retry::Never);
//! let (client, events) = Client::start(config)?;
//! for event in events {
//!     println!("{event}");
//!     match event {
//!         Event::Online { .. } => {
//!             client.send(b"hello".to_vec())?;
//!             client.close(); // what was sent is written first
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

/// A handle to a running client, for sending and for ending it. Clones share one client.
///
/// The client ends when [`close`](Self::close) is called or the last handle is dropped: on its own thread it
/// writes what was accepted, closes the connection and emits [`Event::Closed`], for which it gives the
/// server [`ClientConfig::close_timeout`]. Neither waits for that. A program that leaves right afterwards cuts
/// it short; to be sure that everything has arrived, take [`Events`] to their end: the last
/// [`Offline`](Event::Offline) says so with [`Reason::Shutdown`](crate::Reason::Shutdown).
#[derive(Clone, Debug)]
pub struct Client {
    inner: client::Client,
}

impl Client {
    /// Starts a client on a thread of its own, `heartwire-client`. It connects at once. The thread ends
    /// after [`Event::Closed`].
    ///
    /// # Errors
    ///
    /// The system has no room for another thread, or no descriptor for its poller. Nothing was started.
    pub fn start(config: ClientConfig) -> io::Result<(Self, Events)> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (inner, events, life) = client::Client::prepare(config);
        thread::Builder::new().name("heartwire-client".to_owned()).spawn(move || {
            runtime.block_on(life);
            // A name that is still being looked up must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok((Self { inner }, Events { inner: events }))
    }

    /// Hands a message over for sending, and waits while there is no room for it: for as long as the server
    /// does not read, or, with [`offline_queue`](client::ClientConfig::offline_queue), until there is a connection again.
    /// Otherwise as [`client::Client::send`].
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the message was not accepted, and gives it back.
    pub fn send(&self, data: Vec<u8>) -> Result<(), SendError> {
        self.send_by(data, None)
    }

    /// As [`send`](Self::send), for `timeout` at the longest.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there was no room within that time; the others as in [`send`](Self::send).
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

    /// Hands a message over for sending if there is room for it now; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the message was not accepted, and gives it back.
    pub fn try_send(&self, data: Vec<u8>) -> Result<(), SendError> {
        self.inner.try_send(data)
    }

    /// Waits as [`client::Client::flush`] does, until every message that was accepted is written to a
    /// connection, or dropped with one, or the client has ended.
    pub fn flush(&self) {
        wait(self.inner.flush(), None);
    }

    /// As [`flush`](Self::flush), for `timeout` at the longest. Returns whether nothing waits any more.
    #[must_use]
    pub fn flush_timeout(&self, timeout: Duration) -> bool {
        wait(self.inner.flush(), Some(deadline(timeout))).is_some()
    }

    /// Promises the server a beat every `interval` from now on; see [`client::Client::promise`].
    pub fn promise(&self, interval: Option<Duration>) {
        self.inner.promise(interval);
    }

    /// The application works. See [`ClientConfig::watchdog`].
    pub fn feed_watchdog(&self) {
        self.inner.feed_watchdog();
    }

    /// How both directions of the connection fare; see [`client::Client::link_state`].
    #[must_use]
    pub fn link_state(&self) -> Option<LinkState> {
        self.inner.link_state()
    }

    /// The network may have changed: looks at once how things are; see [`client::Client::network_changed`].
    pub fn network_changed(&self) {
        self.inner.network_changed();
    }

    /// Ends the client, without waiting for that. Messages are refused from now on, and what the server still
    /// sends is not reported; the last event is [`Event::Closed`]. Repeated calls do nothing.
    pub fn close(&self) {
        self.inner.close();
    }
}

/// The events of a client, as an iterator that waits for each, and ends after [`Event::Closed`].
///
/// Take them promptly: as with [`client::Events`], 1,024 of them may wait before the client stops reading,
/// and what becomes of the others is said there.
/// Dropping this means that the application wants no news: the client goes on.
#[derive(Debug)]
pub struct Events {
    inner: client::Events,
}

impl Events {
    /// Waits for the next event; `None` after [`Event::Closed`].
    pub fn recv(&mut self) -> Option<Event> {
        wait(self.inner.recv(), None).flatten()
    }

    /// Waits for the next event for `timeout` at the longest. No event is lost when that passes.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if none came within that time, [`RecvTimeoutError::Disconnected`] after
    /// [`Event::Closed`].
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
    /// [`TryRecvError::Empty`] if there is none yet, [`TryRecvError::Disconnected`] after [`Event::Closed`].
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

/// Waits for a future on this thread; `None` if it is not ready by `until`. Unlike a runtime's, it may be
/// called within another one, where it blocks a thread but does not panic.
fn wait<F: Future>(future: F, until: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        // A wake-up from now on ends the next call at once; one without a reason costs a look.
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
