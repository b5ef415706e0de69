//! TLS settings of a server.

use core::task::Waker;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{Error, ServerConfig, version};

use super::PROTOCOL;
use super::config_error::{ConfigFault, TlsConfigError};
use super::diagnose;
use super::error::TlsFailure;
use super::fault::{CertificateFault, TlsFault};
use super::files::{self, Identity};
use crate::server::{Changes, Ended};

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
    /// Files with revocation lists.
    revoked: Vec<PathBuf>,
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
        self.clients = Some(Clients { roots: roots.into(), required: true, revoked: Vec::new() });
        self
    }

    /// Asks for client certificates, and also accepts clients without one. A certificate that is
    /// not signed by a CA in this file is rejected.
    pub fn request_client_certificates(mut self, roots: impl Into<PathBuf>) -> Self {
        self.clients = Some(Clients { roots: roots.into(), required: false, revoked: Vec::new() });
        self
    }

    /// Rejects client certificates that are in a revocation list in this file, and those below a CA
    /// certificate that is. Can be given for several files; without client certificates it has no
    /// effect. A CA without a list has revoked nothing, and a list stays in force when its next
    /// update is overdue.
    pub fn revocation_lists(mut self, file: impl Into<PathBuf>) -> Self {
        if let Some(clients) = &mut self.clients {
            clients.revoked.push(file.into());
        }
        self
    }

    /// Reads the files. Logs a warning if every user of this machine can read the private key.
    ///
    /// # Errors
    ///
    /// Names the file, and what is wrong with it.
    pub fn load(self) -> Result<SharedServerTls, TlsConfigError> {
        let loaded = RwLock::new(self.read()?);
        Ok(SharedServerTls(Arc::new(Shared { loaded, changes: Changes::default() })))
    }

    fn read(self) -> Result<Loaded, ConfigFault> {
        let provider = Arc::new(ring::default_provider());
        let identity = self.identity.load(&provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unavailable)?;
        let verifier = self.clients.as_ref().map(|clients| clients.verifier(&provider));
        let verifier = verifier.transpose()?;
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        let mut config = builder.with_cert_resolver(identity);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.send_tls13_tickets = 0;
        // The default reserves memory for session resumption.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Loaded { files: self, config: Arc::new(config), verifier })
    }
}

impl Clients {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, ConfigFault> {
        let roots = Arc::new(files::roots(&self.roots)?);
        let builder = || {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
        };
        let mut lists = Vec::new();
        for path in &self.revoked {
            let found = files::revocation_lists(path)?;
            // Each file on its own, to name the one that is wrong.
            builder().with_crls(found.clone()).build().map_err(|error| {
                ConfigFault::BadRevocationList { path: path.clone(), reason: error.to_string() }
            })?;
            lists.extend(found);
        }
        let builder = builder().with_crls(lists).allow_unknown_revocation_status();
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| ConfigFault::BadCertificate {
            path: self.roots.clone(),
            reason: error.to_string(),
        })
    }
}

fn has_expired(error: &Error) -> bool {
    diagnose::fault(error) == TlsFault::Certificate(CertificateFault::Expired)
}

pub(super) fn unavailable(error: impl core::fmt::Display) -> ConfigFault {
    ConfigFault::Unavailable { reason: error.to_string() }
}

/// Loaded TLS settings of a server. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedServerTls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    loaded: RwLock<Loaded>,
    changes: Changes,
}

#[derive(Clone, Debug)]
struct Loaded {
    files: ServerTls,
    config: Arc<ServerConfig>,
    /// Of client certificates, if they are asked for.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl SharedServerTls {
    /// Reads the files again. New sessions use them. Sessions whose client certificate is not
    /// accepted any more end with [`Reason::Revoked`](crate::Reason::Revoked) or
    /// [`Reason::Expired`](crate::Reason::Expired); others do not change. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// The file and what is wrong with it. What was loaded before stays in use.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        let files = self.now().files;
        self.set(files.read()?);
        Ok(())
    }

    /// Replaces the settings by what `tls` are now, and the files by theirs, as
    /// [`reload`](Self::reload) does.
    pub fn replace(&self, tls: &Self) {
        self.set(tls.now());
    }

    fn now(&self) -> Loaded {
        self.0.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, loaded: Loaded) {
        *self.0.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        self.0.changes.tell();
    }

    /// How often the settings have changed.
    pub(crate) fn changes(&self) -> u64 {
        self.0.changes.count()
    }

    /// Wakes these shards at each change.
    pub(crate) fn watch(&self, shards: &Arc<[Waker]>) {
        self.0.changes.watch(shards);
    }

    /// Checks the certificates of a client that was accepted earlier, its own first, at so many
    /// seconds since 1970.
    pub(super) fn check_again(
        &self,
        certificates: &[CertificateDer<'_>],
        wall: u64,
    ) -> Result<(), Ended> {
        let (Some(verifier), Some((own, others))) =
            (self.now().verifier, certificates.split_first())
        else {
            return Ok(());
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(wall));
        match verifier.verify_client_cert(own, others, now) {
            Ok(_) => Ok(()),
            Err(error) if has_expired(&error) => Err(Ended::Expired),
            Err(_) => Err(Ended::Revoked),
        }
    }

    pub(super) fn connection(&self) -> Result<UnbufferedServerConnection, TlsFailure> {
        UnbufferedServerConnection::new(self.now().config).map_err(|error| diagnose::error(&error))
    }
}
