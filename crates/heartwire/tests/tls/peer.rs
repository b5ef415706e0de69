//! A running server with TLS, and clients of it made of a socket, a session and frames by hand.

use core::net::SocketAddr;
use core::ops::{Deref, DerefMut};
use std::io::Write;
use std::net::{Shutdown, TcpStream};

use heartwire::internal::tls::{READ_LEN_MIN, Received, TlsSession};
use heartwire::server::{Event, ServerConfig, SessionId, Wires};
use heartwire::tls::{ClientTls, ServerTls, SharedClientTls, TlsError};
use heartwire_testkit::{DATA, HEART, ServerRig, frame, limit};

use crate::certificates::{Authority, Serve as _, Trust as _};

/// A server with TLS on the loopback.
pub(crate) struct Rig {
    pub(crate) authority: Authority,
    pub(crate) client: SharedClientTls,
    rig: ServerRig,
}

impl Deref for Rig {
    type Target = ServerRig;

    fn deref(&self) -> &ServerRig {
        &self.rig
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut ServerRig {
        &mut self.rig
    }
}

impl Rig {
    /// For clients on wire v0, who are judged by nobody within a test's time.
    pub(crate) fn start(change: impl FnOnce(ServerConfig) -> ServerConfig) -> Self {
        Self::of(ServerRig::start, |server| server, change)
    }

    /// The same, which sends back what it is sent.
    pub(crate) fn echo(change: impl FnOnce(ServerConfig) -> ServerConfig) -> Self {
        Self::of(ServerRig::echo, |server| server, change)
    }

    /// The same, with settings of TLS.
    pub(crate) fn start_with(
        tls: impl FnOnce(ServerTls) -> ServerTls,
        change: impl FnOnce(ServerConfig) -> ServerConfig,
    ) -> Self {
        Self::of(ServerRig::start, tls, change)
    }

    fn of(
        start: impl FnOnce(ServerConfig) -> ServerRig,
        tls: impl FnOnce(ServerTls) -> ServerTls,
        change: impl FnOnce(ServerConfig) -> ServerConfig,
    ) -> Self {
        let authority = Authority::new();
        let files = authority.issue(&["localhost", "127.0.0.1", "::1"]);
        let config = ServerConfig::new("127.0.0.1:0".parse().unwrap())
            .shards(1)
            .policy(limit(60_000))
            .wires(Wires::V0)
            .tls(tls(files.server()).load().unwrap());
        let rig = start(change(config));
        let client = authority.client().load().unwrap();
        Self { authority, client, rig }
    }

    pub(crate) fn client_tls(&self) -> ClientTls {
        self.authority.client()
    }

    /// A client after its handshake.
    #[track_caller]
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.addr(), &self.client)
    }

    /// A client on wire v0 that is online.
    #[track_caller]
    pub(crate) fn secured(&mut self) -> (Peer, SessionId) {
        let peer = self.connect();
        let id = self.expect_online(&peer);
        (peer, id)
    }

    #[track_caller]
    pub(crate) fn expect_online(&mut self, of: &Peer) -> SessionId {
        match self.rig.next() {
            Event::Online { id, peer, .. } if peer == of.stream.local_addr().unwrap() => id,
            other => panic!("not online, but {other:?}"),
        }
    }

    /// Waits until so many connections have been ended by TLS.
    #[track_caller]
    pub(crate) fn wait_for_faults(&self, faults: u64) {
        self.wait_for("faults", |stats| stats.tls >= faults);
        assert_eq!(self.stats().tls, faults);
    }

    #[track_caller]
    pub(crate) fn finish(self) {
        self.rig.finish();
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
        let stream = heartwire_testkit::Peer::connect(addr).stream;
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
        self.send(&frame(DATA, body));
    }

    #[track_caller]
    pub(crate) fn expect_data(&mut self, body: &[u8]) {
        let expected = frame(DATA, body);
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

/// Writes bytes that the other end may not want any more.
pub(crate) fn write_anyway(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}
