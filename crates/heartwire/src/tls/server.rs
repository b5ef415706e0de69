//! TLS settings of a server.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{ServerConfig, version};

use super::PROTOCOL;
use super::config_error::{ConfigFault, TlsConfigError};
use super::diagnose;
use super::error::TlsFailure;
use super::files::{self, Identity};

/// The TLS settings of a server. Files are in PEM format.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    identity: Identity,
    clients: Option<Clients>,
}

#[derive(Clone, Debug)]
struct Clients {
    roots: PathBuf,
    required: bool,
}

impl ServerTls {
    /// TLS with this certificate (and its chain, in order) and this private key, which must have no
    /// password. Clients need no certificate.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let identity = Identity { certificate: certificate.into(), key: key.into() };
        Self { identity, clients: None }
    }

    /// Requires client certificates that are signed by a CA in this file.
    pub fn require_client_certificates(mut self, roots: impl Into<PathBuf>) -> Self {
        self.clients = Some(Clients { roots: roots.into(), required: true });
        self
    }

    /// Asks for client certificates, and also accepts clients without one. A certificate that is
    /// not signed by a CA in this file is rejected.
    pub fn request_client_certificates(mut self, roots: impl Into<PathBuf>) -> Self {
        self.clients = Some(Clients { roots: roots.into(), required: false });
        self
    }

    /// Reads the files. Logs a warning if every user of this machine can read the private key.
    ///
    /// # Errors
    ///
    /// Names the file, and what is wrong with it.
    pub fn load(self) -> Result<SharedServerTls, TlsConfigError> {
        let config = self.read()?;
        Ok(SharedServerTls(Arc::new(RwLock::new(Loaded { files: self, config }))))
    }

    fn read(&self) -> Result<Arc<ServerConfig>, ConfigFault> {
        let provider = Arc::new(ring::default_provider());
        let identity = self.identity.load(&provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unavailable)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier(&provider)?),
        };
        let mut config = builder.with_cert_resolver(identity);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.send_tls13_tickets = 0;
        // The default reserves memory for session resumption.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }
}

impl Clients {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, ConfigFault> {
        let roots = Arc::new(files::roots(&self.roots)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| ConfigFault::BadCertificate {
            path: self.roots.clone(),
            reason: error.to_string(),
        })
    }
}

pub(super) fn unavailable(error: impl core::fmt::Display) -> ConfigFault {
    ConfigFault::Unavailable { reason: error.to_string() }
}

/// Loaded TLS settings of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedServerTls(Arc<RwLock<Loaded>>);

#[derive(Clone, Debug)]
struct Loaded {
    files: ServerTls,
    config: Arc<ServerConfig>,
}

impl SharedServerTls {
    /// Reads the files again. New sessions use them; existing ones do not change. Blocks while it
    /// reads.
    ///
    /// # Errors
    ///
    /// The file and what is wrong with it. What was loaded before stays in use.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let files = self.now().files;
        let config = files.read()?;
        self.set(Loaded { files, config });
        Ok(())
    }

    /// Replaces the settings by what `tls` are now, and the files by theirs. New sessions use them;
    /// existing ones do not change.
    pub fn replace(&self, tls: &Self) {
        self.set(tls.now());
    }

    fn now(&self) -> Loaded {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, loaded: Loaded) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    pub(super) fn connection(&self) -> Result<UnbufferedServerConnection, TlsFailure> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).config);
        UnbufferedServerConnection::new(config).map_err(|error| diagnose::error(&error))
    }
}
