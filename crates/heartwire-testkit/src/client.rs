//! A client of the library, with a runtime of its own.

use core::cell::RefCell;
use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use heartwire::client::{
    Bye, Client, ClientConfig, ConnectError, Event, Events, Reconnect, SendError,
};
use heartwire::v1::Welcome;
use heartwire::{BackoffPolicy, Reason};
use tokio::runtime::{Builder, Runtime};

use crate::{Listener, PATIENCE, Peer, ms, patient};

/// A v1 client for a server of [`patient`] sessions, which reconnects after 20 ms.
pub fn client_config(addr: SocketAddr) -> ClientConfig {
    ClientConfig::new(addr.to_string()).policy(patient()).reconnect(fixed(ms(20)))
}

/// The same delay before each attempt.
pub fn fixed(wait: Duration) -> Reconnect {
    Reconnect::new(BackoffPolicy::fixed(wait))
}

/// The fields of an `Offline` event.
#[derive(Debug)]
pub struct ClientOffline {
    /// Why.
    pub reason: Reason,
    /// The BYE of its server.
    pub bye: Option<Box<Bye>>,
    /// Messages that were not written.
    pub unsent: usize,
    /// Bytes that the server has not acknowledged.
    pub unacknowledged: usize,
    /// How many beats arrived.
    pub beats: u64,
}

/// A client on its own single-threaded runtime. The test takes its events one by one: while it
/// takes none, the client has a slow application. Pauses of a busy machine are skipped.
#[derive(Debug)]
pub struct ClientRig {
    client: Client,
    events: RefCell<Events>,
    /// Its runtime.
    pub runtime: Runtime,
    /// How long each pause was.
    pub pauses: RefCell<Vec<Duration>>,
}

impl ClientRig {
    /// Starts a client.
    pub fn start(config: ClientConfig) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (client, events) = {
            let _inside = runtime.enter();
            Client::start(config)
        };
        Self { client, events: RefCell::new(events), runtime, pauses: RefCell::default() }
    }

    /// A v0 client that is online, and the server that the test plays.
    #[track_caller]
    pub fn online_with(
        config: impl FnOnce(ClientConfig) -> ClientConfig,
    ) -> (Self, Listener, Peer) {
        let server = Listener::new();
        let rig = Self::start(config(server.config()));
        assert_eq!(rig.connecting(), 1);
        let peer = server.accept();
        rig.expect_online();
        (rig, server, peer)
    }

    /// The client's handle.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Runs a future on the client's runtime.
    #[track_caller]
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.wait_within(PATIENCE, future).expect("it ends")
    }

    /// The same, if that is within `time`.
    pub fn wait_within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        self.runtime.block_on(async { tokio::time::timeout(time, future).await }).ok()
    }

    /// Sends a message, and waits until there is room for it.
    #[track_caller]
    pub fn send(&self, data: &[u8]) {
        self.wait(self.client().send(data.to_vec())).unwrap();
    }

    /// The same, for at most `time`.
    ///
    /// # Errors
    ///
    /// The message was not accepted within that time, and is lost.
    pub fn send_within(&self, time: Duration, data: Vec<u8>) -> Result<(), SendError> {
        self.wait_within(time, self.client().send(data))
            .unwrap_or_else(|| Err(SendError::Full(Vec::new())))
    }

    /// Sends numbered messages of this length until the buffers of both kernels and of the client
    /// are full. Returns how many were accepted.
    #[track_caller]
    pub fn fill(&self, len: usize) -> u32 {
        for n in 0.. {
            let mut body = vec![0; len];
            body[..4].copy_from_slice(&u32::to_le_bytes(n));
            // It takes a while until a kernel's buffer is full.
            match self.send_within(ms(1000), body) {
                Ok(()) => {}
                Err(SendError::Full(_)) => return n,
                Err(other) => panic!("{other}"),
            }
        }
        unreachable!()
    }

    /// Blocks the only thread of the client for `time`.
    pub fn stand_still(&self, time: Duration) {
        self.runtime.spawn(async move { std::thread::sleep(time) });
    }

    /// The next event within `time`, if there is one.
    #[track_caller]
    pub fn next_within(&self, time: Duration) -> Option<Event> {
        self.take_within(time)?.map_or_else(|| panic!("the events ended"), Some)
    }

    /// The next event within `time`, and within that `None` after the last.
    #[expect(clippy::option_option, reason = "the end of the events is not the end of the time")]
    #[track_caller]
    fn take_within(&self, time: Duration) -> Option<Option<Event>> {
        let mut events = self.events.borrow_mut();
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.wait_within(left, events.recv())? {
                Some(Event::Paused(pause)) => self.pauses.borrow_mut().push(pause.gap),
                event => return Some(event),
            }
        }
    }

    /// The next event.
    #[track_caller]
    pub fn next(&self) -> Event {
        self.next_within(PATIENCE).expect("an event comes")
    }

    /// Checks that no event comes for `time`.
    #[track_caller]
    pub fn expect_quiet(&self, time: Duration) {
        let event = self.next_within(time);
        assert!(event.is_none(), "{event:?} came");
    }

    /// It connects. Returns the number of the attempt.
    #[track_caller]
    pub fn connecting(&self) -> u32 {
        match self.next() {
            Event::Connecting { attempt } => attempt,
            other => panic!("it does not connect: {other}"),
        }
    }

    /// The next event is `Online`, with this server.
    #[track_caller]
    pub fn expect_online(&self) -> SocketAddr {
        match self.next() {
            Event::Online { peer, .. } => peer,
            other => panic!("it is not online: {other}"),
        }
    }

    /// Waits until it is online on v1, and skips the attempts before that.
    #[track_caller]
    pub fn online(&self) -> Welcome {
        loop {
            match self.next() {
                Event::Online { welcome, .. } => return *welcome.expect("it speaks v1"),
                Event::Connecting { .. } | Event::Failed { .. } | Event::Waiting { .. } => {}
                other => panic!("it is not online: {other}"),
            }
        }
    }

    /// The next event is these data.
    #[track_caller]
    pub fn data(&self) -> Vec<u8> {
        match self.next() {
            Event::Data(data) => data,
            other => panic!("no data: {other}"),
        }
    }

    /// The next event is these data.
    #[track_caller]
    pub fn expect_data(&self, body: &[u8]) {
        let data = self.data();
        assert!(data == body, "{} other bytes", data.len());
    }

    /// The next event is `Offline`.
    #[track_caller]
    pub fn expect_offline(&self) -> ClientOffline {
        match self.next() {
            Event::Offline { reason, bye, unsent, unacknowledged, beats, .. } => {
                ClientOffline { reason, bye, unsent, unacknowledged, beats }
            }
            other => panic!("it is not offline: {other}"),
        }
    }

    /// Why its connection ended.
    #[track_caller]
    pub fn offline(&self) -> Reason {
        self.expect_offline().reason
    }

    /// An attempt has failed.
    #[track_caller]
    pub fn failed(&self) -> ConnectError {
        match self.next() {
            Event::Failed { error } => error,
            other => panic!("it did not fail: {other}"),
        }
    }

    /// It waits. Returns how long, before the next attempt.
    #[track_caller]
    pub fn waiting(&self) -> Duration {
        match self.next() {
            Event::Waiting { wait, .. } => wait,
            other => panic!("it does not wait: {other}"),
        }
    }

    /// The last event, and nothing after it.
    #[track_caller]
    pub fn closed(&self) {
        match self.next() {
            Event::Closed => {}
            other => panic!("it is not closed: {other}"),
        }
        assert!(self.take_within(PATIENCE).expect("the events end").is_none());
    }

    /// Closes it, and waits until it is closed; other events are skipped.
    #[track_caller]
    pub fn close(self) {
        self.client().close();
        while !matches!(self.next(), Event::Closed) {}
    }
}
