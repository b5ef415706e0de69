//! A client made of plain rustls, which can do what a well-behaved one would not.

use std::io::{Read, Write};
use std::sync::Arc;

use crate::tls::session::{Received, TlsSession};
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType,
    ProtocolVersion, RootCertStore, version,
};

use super::certificates::{Authority, Serve as _};
use super::pipe::Pipe;
use super::rig::Side;

pub(super) struct Forger {
    pub(super) client: ClientConnection,
    pub(super) server: Side,
    pub(super) pipe: Pipe,
}

impl Forger {
    /// After the handshake.
    pub(super) fn online() -> Self {
        Self::online_with(None)
    }

    /// After the handshake, with one cipher only.
    pub(super) fn online_with(suite: Option<CipherSuite>) -> Self {
        let authority = Authority::new();
        let server = authority.issue(&["localhost"]).server().load().unwrap();
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|s| suite.is_none_or(|suite| s.suite() == suite));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.roots()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        let name = ServerName::try_from("localhost").unwrap();
        let mut forger = Self {
            client: ClientConnection::new(Arc::new(config), name).unwrap(),
            server: Side::new(TlsSession::server(&server).unwrap()),
            pipe: Pipe::default(),
        };
        while forger.server.session.is_handshaking() {
            let mut back = Pipe::default();
            forger.client.write_tls(&mut forger.pipe).unwrap();
            forger.server.turn(&mut forger.pipe, &mut back);
            assert!(forger.hears(back).is_empty());
        }
        forger
    }

    /// The records for some plaintext.
    pub(super) fn say(&mut self, plain: &[u8]) -> Vec<u8> {
        self.client.writer().write_all(plain).unwrap();
        let mut records = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut records).unwrap();
        }
        records
    }

    /// What the server hears of it.
    #[track_caller]
    pub(super) fn expect_heard(&mut self, plain: &[u8]) {
        let records = self.say(plain);
        self.send(&records);
        assert!(self.server.end.is_none(), "{:?}", self.server.end);
        assert_eq!(self.server.take_heard(), plain);
    }

    /// Gives the server these bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.pipe.bytes.extend(bytes);
        self.server.turn(&mut self.pipe, &mut Pipe::default());
    }

    /// What the client hears of what the server has written.
    pub(super) fn hears(&mut self, mut pipe: Pipe) -> Vec<u8> {
        let mut heard = Vec::new();
        while !pipe.bytes.is_empty() {
            self.client.read_tls(&mut pipe).unwrap();
            self.client.process_new_packets().unwrap();
            // It is told that there is nothing more for now.
            let _ = self.client.reader().read_to_end(&mut heard);
        }
        heard
    }

    /// Goes on with the keys alone, with which any record can be made.
    pub(super) fn into_keys(self) -> Keys {
        let suite = self.client.negotiated_cipher_suite().unwrap().tls13().unwrap();
        let (seq, secrets) = self.client.dangerous_extract_secrets().unwrap().tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("an unknown cipher");
        };
        let encrypter = suite.aead_alg.encrypter(key, iv);
        Keys { encrypter, seq, server: self.server, pipe: self.pipe }
    }
}

pub(super) struct Keys {
    encrypter: Box<dyn MessageEncrypter>,
    seq: u64,
    pub(super) server: Side,
    pipe: Pipe,
}

impl Keys {
    /// A record as no client would make it.
    pub(super) fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload };
        let record = self.encrypter.encrypt(message, self.seq).unwrap().encode();
        self.seq += 1;
        record
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.pipe.bytes.extend(bytes);
        self.server.turn(&mut self.pipe, &mut Pipe::default());
    }

    pub(super) fn hang_up(&mut self) {
        self.pipe.closed = true;
        self.send(&[]);
    }

    #[track_caller]
    pub(super) fn expect_online(&mut self) {
        let record = self.record(ContentType::ApplicationData, b"hello");
        self.send(&record);
        assert!(self.server.end.is_none(), "{:?}", self.server.end);
        assert_eq!(self.server.take_heard(), b"hello");
    }

    #[track_caller]
    pub(super) fn expect_end(&self, end: Received) {
        assert_eq!(self.server.end.as_ref().unwrap().as_ref().unwrap(), &end);
    }
}
