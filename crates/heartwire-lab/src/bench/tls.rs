//! TLS for a load: a certificate for this run, which only its clients trust.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;

/// The certificate's name.
pub(crate) const NAME: &str = "localhost";

/// A self-signed certificate, its key in files that go with this value, and clients that trust it.
#[derive(Debug)]
pub(crate) struct Identity {
    folder: TempDir,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Identity {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let folder = TempDir::new().context("no folder for a certificate")?;
        fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every handshake is a whole one.
        client.resumption = Resumption::disabled();
        Ok(Self { folder, client: Arc::new(client), name: ServerName::try_from(NAME)? })
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// A client's session, before its handshake.
    pub(super) fn connect(&self) -> anyhow::Result<Session> {
        let connection = ClientConnection::new(Arc::clone(&self.client), self.name.clone())?;
        Ok(Session(Box::new(connection)))
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Everything that has arrived so far.
    All,
    /// The connection's end.
    End,
}

/// A client's end of a TLS session. Data written before the end of the handshake waits for it.
#[derive(Debug)]
pub(super) struct Session(Box<ClientConnection>);

impl Session {
    pub(super) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// # Errors
    ///
    /// If the socket has no room, or has failed.
    pub(super) fn send(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        self.0.writer().write_all(bytes)?;
        self.flush(stream)
    }

    fn flush(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(stream)?;
        }
        Ok(())
    }

    /// Reads what has arrived, counts its bytes, and continues the handshake.
    pub(super) fn drain(&mut self, stream: &mut TcpStream, received: &mut u64) -> Found {
        loop {
            match self.0.read_tls(stream) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Found::All,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return Found::End,
            }
            if self.0.process_new_packets().is_err() || self.flush(stream).is_err() {
                return Found::End;
            }
            // Of the server's data only the count is kept.
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = self.0.reader().read(&mut buffer) {
                *received += u64::try_from(len).unwrap_or(u64::MAX);
            }
        }
    }
}
