//! What a client needs for TLS.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, version};

use super::PROTOCOL;
use super::config_error::TlsConfigError;
use super::diagnose;
use super::error::TlsError;
use super::files::{self, Identity};
use super::machine::Machine;
use super::server::unavailable;
use super::session::TlsSession;

/// What a client's TLS is made of. Files are in PEM format.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientTls {
    roots: Option<PathBuf>,
    server_name: Option<String>,
    identity: Option<Identity>,
}

impl ClientTls {
    /// A client that trusts the roots that the system trusts, and has no certificate of its own.
    ///
    /// On Unix other than macOS the environment's `SSL_CERT_FILE` and `SSL_CERT_DIR` are heeded.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts only the roots in this file.
    pub fn roots(mut self, roots: impl Into<PathBuf>) -> Self {
        self.roots = Some(roots.into());
        self
    }

    /// Expects a certificate for this name or address, whatever the host is called that the client
    /// connects to.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Shows this certificate (and those between it and a root, in order) to a server that asks for
    /// one. The private key has to be stored without a password.
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some(Identity { certificate: certificate.into(), key: key.into() });
        self
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// Names the file, and what is wrong with it; or a server name that cannot be one.
    pub fn load(self) -> Result<SharedClientTls, TlsConfigError> {
        if let Some(name) = &self.server_name {
            server_name(name)?;
        }
        let current = RwLock::new(self.read()?);
        Ok(SharedClientTls { shared: Arc::new(Shared { settings: self, current }) })
    }

    fn read(&self) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let provider = Arc::new(ring::default_provider());
        let roots = match &self.roots {
            Some(path) => files::roots(path)?,
            None => files::system_roots()?,
        };
        let identity =
            self.identity.as_ref().map(|identity| identity.load(&provider)).transpose()?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unavailable)?
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => builder.with_client_cert_resolver(identity),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// A client's TLS, loaded. Clones are the same one.
#[derive(Clone, Debug)]
pub struct SharedClientTls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: ClientTls,
    current: RwLock<Arc<ClientConfig>>,
}

impl SharedClientTls {
    /// Reads the files again. A connection that exists goes on as it is; the next one is made with
    /// what is in the files now. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// Names the file, and what is wrong with it. What was loaded before stays in use.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let config = self.shared.settings.read()?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Whether a session can be made for `host`.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError::BadServerName`], unless [`ClientTls::server_name`] says what to expect.
    pub fn check_host(&self, host: &str) -> Result<(), TlsConfigError> {
        self.expected(host).map(|_| ())
    }

    /// The client's side of a connection to `host`: a name, or an address, in brackets or not. It has
    /// something to write at once.
    ///
    /// # Errors
    ///
    /// [`TlsFault::Local`](super::TlsFault::Local), when the system has no random bytes or `host` does
    /// not pass [`check_host`](Self::check_host).
    pub fn session(&self, host: &str) -> Result<TlsSession, TlsError> {
        let name = self.expected(host).map_err(|error| TlsError::Fault {
            fault: super::TlsFault::Local,
            detail: error.to_string(),
        })?;
        let config = self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = UnbufferedClientConnection::new(config, name)
            .map_err(|error| diagnose::error(&error))?;
        TlsSession::start(Machine::Client(connection))
    }

    fn expected(&self, host: &str) -> Result<ServerName<'static>, TlsConfigError> {
        server_name(self.shared.settings.server_name.as_deref().unwrap_or(host))
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, TlsConfigError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    // The zone of a link-local address means something on this machine only.
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    ServerName::try_from(bare.to_owned())
        .map_err(|_| TlsConfigError::BadServerName { name: host.to_owned() })
}
