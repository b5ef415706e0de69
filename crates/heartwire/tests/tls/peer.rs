//! A running server with TLS, and clients of it made of a socket, a session and frames by hand.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

use heartwire::internal::tls::{READ_LEN_MIN, Received, TlsSession};
use heartwire::server::{Control, Event, Handler, Server, ServerConfig, SessionId, Stats, Wires};
use heartwire::tls::{ClientTls, SharedClientTls, SharedServerTls, TlsError};
use heartwire::{Policy, Reason};

use crate::certificates::Authority;
use crate::sockets::{PATIENCE, patient};

pub(crate) const HEART: i32 = 0;
pub(crate) const OTHER: i32 = 1;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn limit(millis: u64) -> Policy {
    Policy::builder().limit(ms(millis)).build().unwrap()
}

/// A frame, as the tutorial writes it.
pub(crate) fn frame(kind: i32, body: &[u8]) -> Vec<u8> {
    let len = i32::try_from(body.len()).unwrap();
    [&kind.to_le_bytes()[..], &len.to_le_bytes(), body].concat()
}

/// A server with TLS on the loopback, and its events.
pub(crate) struct Rig {
    pub(crate) authority: Authority,
    pub(crate) tls: SharedServerTls,
    pub(crate) client: SharedClientTls,
    pub(crate) server: Server,
    events: Receiver<Event<Vec<u8>>>,
}

struct Tell {
    events: mpsc::Sender<Event<Vec<u8>>>,
    echo: bool,
}

impl Handler for Tell {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        // The test may be over.
        let _ = self.events.send(event.to_owned());
        if let Event::Data { id, data } = event {
            if self.echo {
                control.send(id, data).unwrap();
            }
        }
    }
}

impl Rig {
    /// For clients on wire v0, who are judged by nobody within a test's time.
    pub(crate) fn start(change: impl FnOnce(ServerConfig) -> ServerConfig) -> Self {
        Self::start_with(|server| server, change, false)
    }

    pub(crate) fn echo(change: impl FnOnce(ServerConfig) -> ServerConfig) -> Self {
        Self::start_with(|server| server, change, true)
    }

    pub(crate) fn start_with(
        tls: impl FnOnce(heartwire::tls::ServerTls) -> heartwire::tls::ServerTls,
        change: impl FnOnce(ServerConfig) -> ServerConfig,
        echo: bool,
    ) -> Self {
        let authority = Authority::new();
        let files = authority.issue(&["localhost", "127.0.0.1", "::1"]);
        let tls = tls(files.server()).load().unwrap();
        let config = ServerConfig::new("127.0.0.1:0".parse().unwrap())
            .shards(1)
            .policy(limit(60_000))
            .wires(Wires::V0)
            .tls(tls.clone());
        let (sender, events) = mpsc::channel();
        let server =
            Server::start(change(config), |_| Tell { events: sender.clone(), echo }).unwrap();
        let client = authority.client().load().unwrap();
        Self { authority, tls, client, server, events }
    }

    pub(crate) fn client_tls(&self) -> ClientTls {
        self.authority.client()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    pub(crate) fn stats(&self) -> Stats {
        self.server.handle().stats()
    }

    /// Has the shard do something.
    pub(crate) fn turn(&self) {
        drop(self.server.handle().list());
    }

    /// Waits until whatever the shard had to do is done. (The end of its last turn may be counted
    /// later.)
    pub(crate) fn settle(&self) {
        let begun = self.stats().turns;
        // Two more have ended: the one that was under way, and one that began after it.
        while self.stats().turns < begun + 2 {
            self.turn();
        }
    }

    /// A client after its handshake.
    #[track_caller]
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.addr(), &self.client)
    }

    /// A client on wire v0 that is online.
    #[track_caller]
    pub(crate) fn online(&self) -> (Peer, SessionId) {
        let peer = self.connect();
        let id = self.expect_online(&peer);
        (peer, id)
    }

    /// The next event, stalls of a busy machine apart.
    #[track_caller]
    pub(crate) fn next(&self) -> Event<Vec<u8>> {
        loop {
            match self.events.recv_timeout(PATIENCE).expect("an event comes") {
                Event::Stalled { .. } => {}
                event => return event,
            }
        }
    }

    #[track_caller]
    pub(crate) fn expect_quiet(&self, time: Duration) {
        match self.events.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) | Ok(Event::Stalled { .. }) => {}
            other => panic!("{other:?} came"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_online(&self, of: &Peer) -> SessionId {
        match self.next() {
            Event::Online { id, peer, .. } if peer == of.stream.local_addr().unwrap() => id,
            other => panic!("not online, but {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_data(&self, of: SessionId, body: &[u8]) {
        match self.next() {
            Event::Data { id, data } if id == of && data == body => {}
            other => panic!("not {} bytes, but {other:?} came", body.len()),
        }
    }

    #[track_caller]
    pub(crate) fn expect_offline(&self, of: SessionId) -> Reason {
        match self.next() {
            Event::Offline { id, reason, .. } if id == of => reason,
            other => panic!("not offline, but {other:?} came"),
        }
    }

    /// Waits until so many connections have been ended by TLS.
    #[track_caller]
    pub(crate) fn wait_for_faults(&self, faults: u64) {
        let started = Instant::now();
        while self.stats().tls < faults {
            assert!(started.elapsed() < PATIENCE, "{:?}", self.stats());
            self.turn();
        }
        assert_eq!(self.stats().tls, faults);
    }

    /// Shuts the server down. Nothing comes after that but what belongs to it.
    #[track_caller]
    pub(crate) fn finish(self) {
        self.server.handle().shut_down();
        self.server.join().unwrap();
        while let Ok(event) = self.events.recv() {
            let expected = Reason::Shutdown;
            match event {
                Event::Stalled { .. } => {}
                Event::Offline { reason, .. } if reason == expected => {}
                other => panic!("{other:?} came"),
            }
        }
    }
}

/// A client of a server with TLS.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) session: TlsSession,
    buffer: Vec<u8>,
    heard: Vec<u8>,
}

impl Peer {
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr, tls: &SharedClientTls) -> Self {
        let mut peer = Self::begin(addr, tls);
        while peer.session.is_handshaking() {
            peer.session.flush(&mut peer.stream).unwrap();
            peer.read().unwrap();
        }
        peer.session.flush(&mut peer.stream).unwrap();
        peer
    }

    /// Connects, and has said nothing yet.
    #[track_caller]
    pub(crate) fn begin(addr: SocketAddr, tls: &SharedClientTls) -> Self {
        let stream = patient(TcpStream::connect(addr).unwrap());
        stream.set_nodelay(true).unwrap();
        let session = TlsSession::client(tls, "localhost").unwrap();
        Self { stream, session, buffer: vec![0; READ_LEN_MIN], heard: Vec::new() }
    }

    pub(crate) fn read(&mut self) -> Result<Received, TlsError> {
        let read = self.session.read(&mut self.stream, &mut self.buffer);
        if let Ok(Received::Bytes(len)) = read {
            self.heard.extend_from_slice(&self.buffer[..len]);
        }
        read
    }

    /// Writes this as one record.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let mut written = 0;
        while written < bytes.len() {
            written += self.session.write(&mut self.stream, &bytes[written..]).unwrap();
        }
    }

    #[track_caller]
    pub(crate) fn beat(&mut self) {
        self.send(&frame(HEART, &[]));
    }

    #[track_caller]
    pub(crate) fn data(&mut self, body: &[u8]) {
        self.send(&frame(OTHER, body));
    }

    #[track_caller]
    pub(crate) fn expect_data(&mut self, body: &[u8]) {
        let expected = frame(OTHER, body);
        while self.heard.len() < expected.len() {
            let read = self.read();
            assert!(matches!(read, Ok(Received::Bytes(_))), "{read:?}");
        }
        let rest = self.heard.split_off(expected.len());
        assert_eq!(core::mem::replace(&mut self.heard, rest), expected);
    }

    /// How the connection ends.
    pub(crate) fn end(&mut self) -> Result<Received, TlsError> {
        loop {
            match self.read() {
                Ok(Received::Bytes(_)) => {}
                end => return end,
            }
        }
    }

    #[track_caller]
    pub(crate) fn say_goodbye(&mut self) {
        self.session.close();
        self.session.flush(&mut self.stream).unwrap();
    }

    pub(crate) fn hang_up(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The records for some plaintext, which are not sent.
    pub(crate) fn records(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        self.session.write(&mut records, plain).unwrap();
        records
    }
}

/// What comes on a bare socket until it is closed.
#[track_caller]
pub(crate) fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => bytes,
        Err(error) => panic!("it was not closed: {error}"),
    }
}

/// Writes bytes that the other end may not want any more.
pub(crate) fn write_anyway(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}
