//! A client with a runtime of its own, and a server to play by hand.

use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use heartwire::client::{Client, ClientConfig, ConnectError, Event, Events, Retry};
use heartwire::{BackoffPolicy, Policy, Reason, Wire};
use socket2::SockRef;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// When a test gives up on something that should long have happened.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(20);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn beat(interval: Duration) -> Policy {
    Policy::builder().beat(interval).build().unwrap()
}

pub(crate) fn limit(silence: Duration) -> Policy {
    Policy::builder().limit(silence).build().unwrap()
}

/// Neither beats nor judges.
pub(crate) fn idle() -> Policy {
    Policy::builder().build().unwrap()
}

pub(crate) fn fixed(interval: Duration) -> Retry {
    Retry::Backoff(BackoffPolicy::fixed(interval).unwrap())
}

/// Lets time pass that a test is about.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// The client under test. Its runtime has one thread, which the test does not run on.
pub(crate) struct Rig {
    pub(crate) client: Option<Client>,
    pub(crate) events: Option<Events>,
    pub(crate) handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Offline {
    pub(crate) reason: Reason,
    pub(crate) unsent: usize,
    pub(crate) beats: u64,
}

impl Rig {
    pub(crate) fn start(config: ClientConfig) -> Self {
        Self::start_on(Builder::new_current_thread().enable_all(), config)
    }

    pub(crate) fn start_on(builder: &mut Builder, config: ClientConfig) -> Self {
        let runtime = builder.build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = runtime.block_on(stopped);
        });
        let (client, events) = {
            let _inside = handle.enter();
            Client::start(config)
        };
        Self {
            client: Some(client),
            events: Some(events),
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// A client of `server` that is online.
    #[track_caller]
    pub(crate) fn online(
        config: impl FnOnce(ClientConfig) -> ClientConfig,
    ) -> (Self, Server, Peer) {
        let server = Server::new();
        let mut rig = Self::start(config(server.config()));
        rig.expect_connecting(1);
        let peer = server.accept();
        rig.expect_online();
        (rig, server, peer)
    }

    pub(crate) fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let within = async { tokio::time::timeout(GIVE_UP, future).await };
        self.handle.block_on(within).expect("took too long")
    }

    #[track_caller]
    pub(crate) fn send(&self, data: &[u8]) {
        self.block_on(self.client().send(data.to_vec())).unwrap();
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> Event {
        let mut events = self.events.take().unwrap();
        let event = self.block_on(events.recv());
        self.events = Some(events);
        event.expect("the client still runs")
    }

    /// The next event, stalls of a busy machine apart.
    #[track_caller]
    fn next_but_stalls(&mut self) -> Event {
        loop {
            match self.next() {
                Event::Stalled(_) => {}
                event => return event,
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_connecting(&mut self, number: u32) {
        match self.next_but_stalls() {
            Event::Connecting { attempt } => assert_eq!(attempt, number),
            other => panic!("expected attempt {number}: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_online(&mut self) -> SocketAddr {
        match self.next_but_stalls() {
            Event::Online { peer, .. } => peer,
            other => panic!("expected to be online: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_data(&mut self) -> Vec<u8> {
        match self.next_but_stalls() {
            Event::Data(data) => data,
            other => panic!("expected data: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_offline(&mut self) -> Offline {
        match self.next_but_stalls() {
            Event::Offline { reason, unsent, beats, .. } => Offline { reason, unsent, beats },
            other => panic!("expected to be offline: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_waiting(&mut self, number: u32) -> Duration {
        match self.next_but_stalls() {
            Event::Waiting { wait, attempt } => {
                assert_eq!(attempt, number);
                wait
            }
            other => panic!("expected to wait: {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_failed(&mut self) -> ConnectError {
        match self.next_but_stalls() {
            Event::Failed { error } => error,
            other => panic!("expected a failure: {other}"),
        }
    }

    /// The last event, and nothing after it.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        match self.next_but_stalls() {
            Event::Closed => {}
            other => panic!("expected the end: {other}"),
        }
        let mut events = self.events.take().unwrap();
        assert!(self.block_on(events.recv()).is_none());
    }

    /// Keeps the runtime's only thread busy for `time`. Returns when it is free again.
    pub(crate) fn block_runtime(&self, time: Duration) {
        let (done, finished) = mpsc::channel();
        self.handle.spawn(async move {
            pass(time);
            done.send(()).unwrap();
        });
        finished.recv().unwrap();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap();
            }
        }
    }
}

/// A listener on a free port.
pub(crate) struct Server {
    listener: TcpListener,
}

impl Server {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Accepting honours it too, on Linux.
        SockRef::from(&listener).set_read_timeout(Some(GIVE_UP)).unwrap();
        Self { listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// A client for this server that neither beats nor judges, and comes back after 10 ms.
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig::new(self.address().to_string())
            .wire(Wire::V0)
            .policy(idle())
            .retry(fixed(ms(10)))
    }

    #[track_caller]
    pub(crate) fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().expect("a connection");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(GIVE_UP)).unwrap();
        stream.set_write_timeout(Some(GIVE_UP)).unwrap();
        Peer { stream }
    }
}

/// The server's end of a connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Beat,
    Data(Vec<u8>),
    End,
}

pub(crate) fn data_frame(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 0, 0, 0];
    frame.extend(i32::try_from(body.len()).unwrap().to_le_bytes());
    frame.extend(body);
    frame
}

pub(crate) const BEAT: [u8; 8] = [0; 8];

impl Peer {
    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub(crate) fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).expect("more bytes from the client");
        bytes
    }

    #[track_caller]
    pub(crate) fn read_frame(&mut self) -> Frame {
        let mut head = [0; 8];
        match self.stream.read(&mut head[..1]) {
            Ok(0) => return Frame::End,
            Ok(_) => self.stream.read_exact(&mut head[1..]).unwrap(),
            Err(error) => panic!("expected a frame: {error}"),
        }
        let length = i32::from_le_bytes(head[4..].try_into().unwrap());
        match i32::from_le_bytes(head[..4].try_into().unwrap()) {
            0 => {
                assert_eq!(length, 0);
                Frame::Beat
            }
            1 => Frame::Data(self.read(usize::try_from(length).unwrap())),
            other => panic!("type {other} from the client"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_beat(&mut self) -> Instant {
        assert_eq!(self.read_frame(), Frame::Beat);
        Instant::now()
    }

    #[track_caller]
    pub(crate) fn expect_data(&mut self, body: &[u8]) {
        match self.read_frame() {
            // Without printing what may be megabytes.
            Frame::Data(data) => assert!(data == body, "{} other bytes", data.len()),
            other => panic!("expected {} bytes of data: {other:?}", body.len()),
        }
    }

    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.read_frame(), Frame::End);
    }

    /// Closes with RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
