//! A client for programs without async.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::task::Wake;
use std::thread::{self, Thread};

use heartwire_core::Instant;
use tokio::runtime::Builder;

use super::{Client, ClientConfig, Event, Events, SendError};
use crate::clock;

/// For programs without async.
impl Client {
    /// Starts a client on a new thread, `heartwire-client`, for a program without an async runtime.
    /// It connects at once. The thread ends after [`Event::Closed`].
    ///
    /// Closing the client does not wait, and a program that exits right afterwards cuts it short.
    /// To be sure that everything has arrived, take the events to their end: the last
    /// [`Offline`](Event::Offline) then has [`Reason::Shutdown`](crate::Reason::Shutdown), or
    /// [`Reason::Done`](crate::Reason::Done).
    ///
    /// ```
    /// use heartwire::client::{Client, ClientConfig, Event};
    ///
    /// # use heartwire::server::{Server, ServerConfig};
    /// # let (server, _) = Server::start_with_events(ServerConfig::new("127.0.0.1:0".parse()?))?;
    /// # let address = server.local_addrs()[0];
    /// let config = ClientConfig::new(address.to_string()).reconnect(None);
    /// let (client, mut events) = Client::start_on_thread(config)?;
    /// while let Some(event) = events.blocking_recv() {
    ///     println!("{event}");
    ///     match event {
    ///         Event::Online { .. } => {
    ///             client.blocking_send(b"hello".to_vec())?;
    ///             client.close(); // after writing what was sent
    ///         }
    ///         Event::Offline { reason, .. } => assert_eq!(reason.name(), "shutdown"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The system cannot start another thread, or has no descriptor for its poller. Nothing was
    /// started.
    pub fn start_on_thread(config: ClientConfig) -> io::Result<(Self, Events)> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (client, events, life) = Self::prepare(config);
        thread::Builder::new().name("heartwire-client".to_owned()).spawn(move || {
            runtime.block_on(life);
            // A name lookup that is still running must not delay the end.
            runtime.shutdown_background();
        })?;
        Ok((client, events))
    }

    /// As [`send`](Self::send), and blocks the thread while the queue is full: as long as the
    /// server does not read, or, with [`offline_queue`](ClientConfig::offline_queue) or in a
    /// session that can be [resumed](ClientConfig::resume), until there is a connection again.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the message was not accepted, and gives it back.
    pub fn blocking_send(&self, data: Vec<u8>) -> Result<(), SendError> {
        self.send_by(data, None)
    }

    /// As [`blocking_send`](Self::blocking_send), but blocks for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if the queue stayed full that long; the others as in
    /// [`send`](Self::send).
    pub fn blocking_send_timeout(&self, data: Vec<u8>, timeout: Duration) -> Result<(), SendError> {
        self.send_by(data, Some(deadline(timeout)))
    }

    fn send_by(&self, data: Vec<u8>, until: Option<Instant>) -> Result<(), SendError> {
        let (data, cost) = self.check(data)?;
        match wait(self.room(cost), until) {
            Some(Ok(room)) => self.accept(data, room),
            Some(Err(_)) => Err(SendError::Closed(data)),
            None => Err(SendError::Full(data)),
        }
    }

    /// As [`flush`](Self::flush), and blocks the thread.
    pub fn blocking_flush(&self) {
        wait(self.flush(), None);
    }

    /// As [`blocking_flush`](Self::blocking_flush), but blocks for at most `timeout`. Returns
    /// whether it finished.
    #[must_use]
    pub fn blocking_flush_timeout(&self, timeout: Duration) -> bool {
        wait(self.flush(), Some(deadline(timeout))).is_some()
    }
}

/// For programs without async.
impl Events {
    /// The next event; `None` as in [`recv`](Self::recv). Blocks the thread, an async task's too.
    pub fn blocking_recv(&mut self) -> Option<Event> {
        wait(self.recv(), None).flatten()
    }

    /// As [`blocking_recv`](Self::blocking_recv), but blocks for at most `timeout`. No event is
    /// lost when that passes.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if none came within that time,
    /// [`RecvTimeoutError::Disconnected`] where [`recv`](Self::recv) would return `None`.
    pub fn blocking_recv_timeout(&mut self, timeout: Duration) -> Result<Event, RecvTimeoutError> {
        match wait(self.recv(), Some(deadline(timeout))) {
            Some(event) => event.ok_or(RecvTimeoutError::Disconnected),
            None => Err(RecvTimeoutError::Timeout),
        }
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
