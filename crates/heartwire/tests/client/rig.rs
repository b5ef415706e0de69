//! A client, and a server to play by hand.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use heartwire::client::{ClientConfig, ConnectError, Event, Retry};
use heartwire::{BackoffPolicy, Policy, Reason, Wire};
use socket2::SockRef;

use super::subject::{Client, Events, Ground, start};

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

/// The client under test.
pub(crate) struct Rig {
    pub(crate) client: Option<Client>,
    pub(crate) events: Option<Events>,
    /// What it runs on, as long as that is needed.
    pub(crate) ground: Ground,
}

pub(crate) struct Offline {
    pub(crate) reason: Reason,
    pub(crate) unsent: usize,
    pub(crate) unacknowledged: usize,
    pub(crate) beats: u64,
}

impl Rig {
    pub(crate) fn start(config: ClientConfig) -> Self {
        Self::of(start(config))
    }

    pub(crate) fn of((client, events, ground): (Client, Events, Ground)) -> Self {
        Self { client: Some(client), events: Some(events), ground }
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

    #[track_caller]
    pub(crate) fn send(&self, data: &[u8]) {
        self.client().send_timeout(data.to_vec(), GIVE_UP).unwrap();
    }

    #[track_caller]
    pub(crate) fn next(&mut self) -> Event {
        self.next_if_any().expect("the client still runs")
    }

    #[track_caller]
    fn next_if_any(&mut self) -> Option<Event> {
        match self.events.as_mut().unwrap().recv_timeout(GIVE_UP) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("took too long"),
        }
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
            Event::Offline { reason, unsent, unacknowledged, beats, .. } => {
                Offline { reason, unsent, unacknowledged, beats }
            }
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
        assert!(self.next_if_any().is_none());
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

    /// A server whose kernel takes in little before its program reads.
    pub(crate) fn narrow() -> Self {
        let server = Self::new();
        SockRef::from(&server.listener).set_recv_buffer_size(4096).unwrap();
        server
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
