//! A client: keeps one connection to a server alive, detects a dead server, and reconnects.
//!
//! [`Client::start`] spawns one task, which sends heartbeats whatever the application does and
//! reports what happens as a stream of [`Event`]s. [`Client`] sends messages, and [`Duplex`] both
//! sends and receives. For many servers use a [`Supervisor`](crate::supervisor::Supervisor), for a
//! program without an async runtime [`Client::start_on_thread`].
//!
//! ```
//! use heartwire::client::{Client, ClientConfig, Event};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use heartwire::server::{Server, ServerConfig};
//! # let (server, _) = Server::start_with_events(ServerConfig::new("127.0.0.1:0".parse()?))?;
//! # let address = server.local_addrs()[0];
//! let config = ClientConfig::new(address.to_string()).reconnect(None);
//! let (client, mut events) = Client::start(config);
//! while let Some(event) = events.recv().await {
//!     println!("{event}");
//!     match event {
//!         Event::Online { .. } => {
//!             client.send(b"hello".to_vec()).await?;
//!             client.close(); // after writing what was sent
//!         }
//!         Event::Offline { reason, .. } => assert_eq!(reason.name(), "shutdown"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod app;
mod blocking;
mod config;
mod dial;
mod drive;
mod event;
mod inbox;
pub(crate) mod internal;
mod life;
mod meter;
mod network;
mod outbox;
mod outlet;
mod pace;
mod receipts;
#[cfg(test)]
mod rig;
mod runtime;
mod session;
mod sink;
mod task;
mod transport;

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use heartwire_core::{Instant, LinkState, PauseWatch};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, watch};
use tracing::{Instrument, info_span};

use app::{App, Controls, Intake, Link};
pub use config::{ClientConfig, Reconnect, Resume, V1};
pub use dial::ConnectError;
pub use event::{Bye, Event, Events, SendError};
pub(crate) use event::{Delivery, Reports};
use life::Life;
pub use network::NetworkWatch;
use outbox::{Message, Outbox};
use outlet::Outlet;
use runtime::Runtime;
pub use sink::Duplex;

use crate::clock;

/// A handle to a running client: sends messages and closes it. Clones share one client.
///
/// The client ends when [`close`](Self::close) is called or the last handle is dropped, or when
/// both ends have [ended](Self::end) their session. It then
/// writes the accepted messages, closes the connection, waits until the server has acknowledged
/// everything, and emits [`Event::Closed`]. [`ClientConfig::close_timeout`] limits how long all of
/// that may take.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

/// State that the handles share. The task holds only parts of it, so that it notices when the last
/// handle is dropped.
#[derive(Debug)]
struct Shared {
    header_len: usize,
    max_frame: usize,
    /// One permit for each byte that may wait.
    room: Arc<Semaphore>,
    max_room: u32,
    intake: Arc<Intake>,
    messages: mpsc::UnboundedSender<Message>,
    /// True once [`Client::close`] was called.
    close: watch::Sender<bool>,
    controls: Arc<Controls>,
}

impl Client {
    /// Starts a client on the current runtime, in one task and with one timer. It connects at once.
    ///
    /// The task sends heartbeats whatever the application's other tasks do, as long as the runtime
    /// polls it: a runtime whose threads are all blocked sends none. The client notices that
    /// afterwards and reports [`Event::Paused`], but the server may have declared it dead by then.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, or in one without its I/O and time drivers.
    pub fn start(config: ClientConfig) -> (Self, Events) {
        let (client, events, life) = Self::prepare(config);
        tokio::spawn(life);
        (client, events)
    }

    /// A client, its events, and the future that runs it.
    pub(crate) fn prepare(config: ClientConfig) -> (Self, Events, impl Future<Output = ()>) {
        let (reports, receiver) = Reports::new(event::MAX_EVENTS);
        let (client, life) = Self::prepare_for(config, reports);
        (client, Events::new(receiver), life)
    }

    /// As [`prepare`](Self::prepare), with its events going to `reports`.
    pub(crate) fn prepare_for(
        config: ClientConfig,
        reports: Reports,
    ) -> (Self, impl Future<Output = ()>) {
        let by = reports.by.clone();
        let (client, app) = Self::open(&config, reports, clock::now());
        let span = info_span!(
            "client",
            target = config.target,
            connection = by.as_deref(),
            name = config.v1_settings().and_then(|v1| v1.name.as_deref()),
        );
        let watched = config.watch_network.then(|| Arc::clone(&app.controls));
        // In boxes, because a future keeps room for what it is given beside what it makes of it.
        let task = Box::pin(task::run(Box::new(Life::new(Runtime, config, app))));
        let life = async move {
            tokio::select! {
                biased;
                () = task => {}
                () = network::watch(watched) => {}
            }
        };
        (client, life.instrument(span))
    }

    /// A client that starts at `now`, and its task's side of it.
    fn open(config: &ClientConfig, reports: Reports, now: Instant) -> (Self, App) {
        let (messages, queue) = mpsc::unbounded_channel();
        let (close, closing) = watch::channel(false);
        let intake = Arc::new(Intake::new(config.offline_queue));
        let controls = Arc::new(Controls::new(now));
        let shared = Shared {
            header_len: config.header_len(),
            max_frame: config.max_frame(),
            room: Arc::new(Semaphore::new(config.max_queue)),
            max_room: u32::try_from(config.max_queue).unwrap_or(u32::MAX),
            intake: Arc::clone(&intake),
            messages,
            close,
            controls: Arc::clone(&controls),
        };
        let outlet = Outlet::new(reports, &config.target);
        let app = App {
            intake,
            controls,
            messages: queue,
            pending: VecDeque::new(),
            closing,
            outbox: Outbox::default(),
            outlet,
            session: None,
            watch: PauseWatch::new(now, Duration::ZERO),
            leave_by: None,
            is_over: false,
        };
        (Self { shared: Arc::new(shared) }, app)
    }

    /// Queues a message for sending, and waits while the queue is full. Messages arrive in the
    /// order in which they were accepted, each at most once.
    ///
    /// `Ok` means accepted, not sent: if the connection ends first, the message is lost or kept as
    /// [`offline_queue`](ClientConfig::offline_queue) says. In a session that can be
    /// [resumed](ClientConfig::resume) it is kept for the next connection, and sent again if the
    /// server has not received it. If the future is dropped before it is ready, the message was not
    /// accepted. An empty message is a frame without a body; on [raw](ClientConfig::raw)
    /// connections it sends nothing.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the message was not accepted, and gives it back.
    pub async fn send(&self, data: Vec<u8>) -> Result<(), SendError> {
        let (data, cost) = self.check(data)?;
        match self.room(cost).await {
            Ok(room) => self.accept(data, room),
            Err(_) => Err(SendError::Closed(data)),
        }
    }

    /// Waits for room for `cost` bytes in the queue.
    pub(crate) fn room(
        &self,
        cost: u32,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + use<> {
        Arc::clone(&self.shared.room).acquire_many_owned(cost)
    }

    /// Queues a message for sending if the queue has room for it now; see [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the message was not accepted, and gives it back.
    pub fn try_send(&self, data: Vec<u8>) -> Result<(), SendError> {
        let (data, cost) = self.check(data)?;
        match Arc::clone(&self.shared.room).try_acquire_many_owned(cost) {
            Ok(room) => self.accept(data, room),
            Err(TryAcquireError::NoPermits) => Err(SendError::Full(data)),
            Err(TryAcquireError::Closed) => Err(SendError::Closed(data)),
        }
    }

    /// Waits until every accepted message was written to a connection, or dropped with one, or the
    /// client has ended. It also waits for messages that are kept while there is no connection.
    /// Messages sent meanwhile wait until it is done.
    pub async fn flush(&self) {
        // The whole queue is free when nothing waits; an error means that the client has ended.
        let _ = self.shared.room.acquire_many(self.shared.max_room).await;
    }

    /// Promises the server a heartbeat every `interval` from now on, on this connection and the
    /// next ones: a longer interval before a device goes to sleep, a shorter one for faster
    /// detection. `None` returns to the negotiated interval. The client sends a beat with the
    /// promise at once, and the server applies it when it reads that beat.
    ///
    /// The interval is clamped to what the contract allows. On protocol v0 this does nothing.
    ///
    /// May be called as often as you like. Because a server disconnects clients that send too many
    /// beats, after 16 changes in a row the client sends one change per negotiated interval, the
    /// latest.
    pub fn promise(&self, interval: Option<Duration>) {
        self.shared.controls.set_promise(interval);
    }

    /// Reports that the application works. See [`V1::watchdog`].
    pub fn feed_watchdog(&self) {
        self.shared.controls.feed_watchdog(clock::now());
    }

    /// The state of both directions of the connection, as of the server's last beat; `None` without
    /// a connection, and on protocol v0.
    #[must_use]
    pub fn link_state(&self) -> Option<LinkState> {
        self.shared.controls.link_state(clock::now())
    }

    /// Waits until the client has ended: its connection is closed, and the events tell how. It does
    /// not end the client; [`close`](Self::close) does.
    pub async fn closed(&self) {
        self.shared.messages.closed().await;
    }

    /// Checks the connection now: the network may have changed, or the machine has woken up.
    ///
    /// - A client that waits before its next attempt starts it now. It cuts short at most one wait
    ///   per second, and none that the server asked for. An attempt that is under way goes on; if
    ///   it fails, the next one follows at once.
    /// - A client that is online sends a beat, unless its policy sends none. On Linux, if its
    ///   kernel is still retransmitting 3 s later and has received nothing from the server in that
    ///   time, neither data nor acknowledgement, the connection ends with
    ///   [`Reason::NetworkChanged`](crate::Reason::NetworkChanged), and the client reconnects at
    ///   once. (It takes 6 s where data had still been in flight.) The server program need not
    ///   answer: one that never does, as on protocol v0, or is slow, still has its full timeout. At
    ///   most 16 such beats are sent in a row, then one per negotiated interval.
    ///
    /// May be called as often as you like. [`ClientConfig::watch_network`] calls it automatically.
    pub fn network_changed(&self) {
        self.shared.controls.network_changed();
    }

    /// Says that this end sends no more in this session; the server still can. After the accepted
    /// messages the server's application gets its own [`Ended`](Event::Ended), and further messages
    /// are refused with [`SendError::Ended`]. Returns whether it could: only in a session that can
    /// be [resumed](ClientConfig::resume). A session that follows this one begins anew.
    ///
    /// When the server has ended its half too, and both applications have taken over everything,
    /// the session ends with [`Reason::Done`](crate::Reason::Done), and the client with it.
    pub fn end(&self) -> bool {
        let ends = self.shared.intake.end();
        if ends {
            self.shared.controls.changed.notify_one();
        }
        ends
    }

    /// Closes the client. From now on it refuses messages and discards what the server sends; its
    /// last event is [`Event::Closed`]. Repeated calls do nothing.
    pub fn close(&self) {
        self.shared.intake.set(Link::Closed);
        self.shared.room.close();
        self.shared.close.send_replace(true);
    }

    /// Closes the client as [`close`](Self::close) does, but drops the accepted messages that were
    /// not written, and tells the server at once. A client that is [away](Event::Away) comes back
    /// to tell it, and writes nothing again, within [`ClientConfig::close_timeout`].
    /// [`Event::Offline`] counts what was dropped. The server is told of no
    /// [end](Self::end) after that, and of what came that only what the application has taken by
    /// then was taken over.
    pub fn abort(&self) {
        self.shared.controls.abort();
        self.close();
    }

    /// The message and how many bytes of room it takes, or why it cannot be sent.
    pub(crate) fn check(&self, data: Vec<u8>) -> Result<(Vec<u8>, u32), SendError> {
        let max = self.shared.intake.max_frame().map(|max| max.min(self.shared.max_frame));
        // At least 1, so that the number of empty messages is limited too.
        let cost = (data.len().saturating_add(self.shared.header_len)).max(1);
        let fits = max.is_some_and(|max| data.len() <= max);
        match u32::try_from(cost) {
            Ok(cost) if fits => match self.shared.intake.refusal() {
                Some(refusal) => Err(refusal(data)),
                None => Ok((data, cost)),
            },
            _ => Err(SendError::TooLong { data, max: max.unwrap_or(0) }),
        }
    }

    pub(crate) fn accept(
        &self,
        data: Vec<u8>,
        room: OwnedSemaphorePermit,
    ) -> Result<(), SendError> {
        // `intake` stays locked during the send, so that no message enters the queue after the task
        // has closed `intake` and cleared the queue.
        let link = self.shared.intake.lock();
        if let Some(refusal) = self.shared.intake.refusal_of(&link) {
            return Err(refusal(data));
        }
        self.shared
            .messages
            .send(Message { body: data, room: Some(room) })
            .map_err(|refused| SendError::Closed(refused.0.body))
    }
}
