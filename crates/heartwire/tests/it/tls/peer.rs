//! A running server with TLS, and the other ends of connections made of a socket, plain rustls and
//! frames by hand, so that no mistake of ours can hide in both ends.

use core::net::SocketAddr;
use core::ops::{Deref, DerefMut};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use heartwire::server::{Event, Protocols, ServerConfig, SessionId};
use heartwire::tls::{ClientTls, ServerTls, SharedClientTls};
use heartwire_testkit::{DATA, HEART, ServerRig, frame, timeout};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConnection,
};

use super::certificates::{Authority, Files, Trust as _};

/// One shard on protocol v0 with a certificate of this authority.
fn secure(authority: &Authority, tls: impl FnOnce(ServerTls) -> ServerTls) -> ServerConfig {
    let files = authority.issue(&["localhost", "127.0.0.1", "::1"]);
    let tls = tls(ServerTls::new(&files.certificate, &files.key)).load().unwrap();
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).threads(1);
    config.policy(timeout(60_000)).protocols(Protocols::V0).tls(tls)
}

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
    /// For clients on protocol v0, whom no end judges within a test's time.
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

    /// The same, started like this.
    pub(crate) fn of(
        start: impl FnOnce(ServerConfig) -> ServerRig,
        tls: impl FnOnce(ServerTls) -> ServerTls,
        change: impl FnOnce(ServerConfig) -> ServerConfig,
    ) -> Self {
        let authority = Authority::new();
        let rig = start(change(secure(&authority, tls)));
        let client = authority.client().load().unwrap();
        Self { authority, client, rig }
    }

    pub(crate) fn client_tls(&self) -> ClientTls {
        self.authority.client()
    }

    /// A client that has connected, and has said nothing yet.
    #[track_caller]
    pub(crate) fn begin(&self) -> Peer {
        Peer::begin(self.addr(), &self.authority)
    }

    /// A client after its handshake.
    #[track_caller]
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.addr(), &self.authority)
    }

    /// A client on protocol v0 that is online.
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
        self.wait_for("tls", faults);
        assert_eq!(self.count("tls"), faults);
    }

    #[track_caller]
    pub(crate) fn finish(self) {
        self.rig.finish();
    }
}

/// An end of a connection with TLS that the test plays by hand.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) tls: Connection,
    heard: Vec<u8>,
    has_ended: bool,
}

/// How a connection ended.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    Goodbye,
    /// Without a goodbye.
    Cut,
    Alert(AlertDescription),
}

impl Peer {
    /// A client that trusts this authority, after its handshake.
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr, authority: &Authority) -> Self {
        let mut peer = Self::begin(addr, authority);
        peer.shake_hands();
        peer
    }

    /// The same, which has said nothing yet.
    #[track_caller]
    pub(crate) fn begin(addr: SocketAddr, authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.roots()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = heartwire_testkit::Peer::connect(addr).stream;
        Self { stream, tls: Connection::Client(tls), heard: Vec::new(), has_ended: false }
    }

    /// A server for the client at the other end of this, which has said nothing yet.
    #[track_caller]
    pub(crate) fn serve(stream: TcpStream, files: &Files) -> Self {
        let certificate = vec![CertificateDer::from_pem_file(&files.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let provider = Arc::new(ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificate, key)
            .unwrap();
        // It may speak before the client has ended the handshake.
        config.send_half_rtt_data = true;
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        Self { stream, tls: Connection::Server(tls), heard: Vec::new(), has_ended: false }
    }

    #[track_caller]
    pub(crate) fn shake_hands(&mut self) {
        while self.tls.is_handshaking() {
            self.flush();
            self.read().unwrap();
        }
        self.flush();
    }

    /// Writes what TLS has to write.
    #[track_caller]
    pub(crate) fn flush(&mut self) {
        let records = self.take_records();
        self.stream.write_all(&records).unwrap();
    }

    /// Reads once, and keeps what was said.
    pub(crate) fn read(&mut self) -> Result<(), End> {
        if self.has_ended {
            return Err(End::Goodbye);
        }
        match self.tls.read_tls(&mut self.stream) {
            Ok(1..) => {}
            Ok(0) => return Err(End::Cut),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(End::Cut),
            Err(error) => panic!("nothing comes: {error}"),
        }
        match self.tls.process_new_packets() {
            Ok(state) => {
                let from = self.heard.len();
                self.heard.resize(from + state.plaintext_bytes_to_read(), 0);
                self.tls.reader().read_exact(&mut self.heard[from..]).unwrap();
                self.has_ended = state.peer_has_closed();
                if self.has_ended { Err(End::Goodbye) } else { Ok(()) }
            }
            Err(rustls::Error::AlertReceived(alert)) => Err(End::Alert(alert)),
            Err(error) => panic!("{error}"),
        }
    }

    /// So many bytes of what is said.
    #[track_caller]
    pub(crate) fn hear(&mut self, len: usize) -> Vec<u8> {
        while self.heard.len() < len {
            let read = self.read();
            assert!(self.heard.len() >= len || read.is_ok(), "{read:?}");
        }
        let rest = self.heard.split_off(len);
        core::mem::replace(&mut self.heard, rest)
    }

    #[track_caller]
    pub(crate) fn expect_data(&mut self, body: &[u8]) {
        let expected = frame(DATA, body);
        assert!(self.hear(expected.len()) == expected, "other bytes came");
    }

    /// How the connection ends.
    #[track_caller]
    pub(crate) fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.read() {
                return end;
            }
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let records = self.records(bytes);
        self.stream.write_all(&records).unwrap();
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
    pub(crate) fn say_goodbye(&mut self) {
        let records = self.goodbye();
        self.stream.write_all(&records).unwrap();
    }

    pub(crate) fn hang_up(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The records for some plaintext, after those that TLS has to write, which are not sent.
    pub(crate) fn records(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(plain).unwrap();
        self.take_records()
    }

    /// The records of a goodbye, which are not sent.
    pub(crate) fn goodbye(&mut self) -> Vec<u8> {
        self.tls.send_close_notify();
        self.take_records()
    }

    fn take_records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }
}

/// Writes bytes that the other end may not want any more.
pub(crate) fn write_anyway(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}
