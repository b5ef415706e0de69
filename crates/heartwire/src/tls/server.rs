//! TLS settings of a server.

use core::task::Waker;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{Error, ServerConfig, version};

use super::config_error::{ConfigFault, TlsConfigError};
use super::diagnose;
use super::error::TlsFailure;
use super::fault::{CertificateFault, TlsFault};
use super::files::{self, Identity};
use super::tickets::{self, Fingerprint, Settings};
use super::{PROTOCOL, provider};
use crate::server::{Changes, Ended};

/// Session tickets for each client at its handshake. The second is for when an attempt fails, as in
/// a storm.
const TICKETS: usize = 2;

/// The TLS settings of a server. Files are in PEM format.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    identity: Identity,
    clients: Option<Clients>,
    tickets: Tickets,
}

/// Whether clients get session tickets, and which keys encrypt them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tickets {
    Off,
    OwnKeys,
    KeysFrom(PathBuf),
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
        Self { identity, clients: None, tickets: Tickets::OwnKeys }
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

    /// Encrypts session tickets with the keys in this file, so that clients can return with them
    /// after this server was restarted, and to other servers with the same keys and certificates.
    /// By default the keys are drawn when the settings are loaded, and never leave the process.
    ///
    /// Each line is a key of 64 hexadecimal digits (`openssl rand -hex 32`). The first encrypts;
    /// tickets of all are accepted. To exchange a key, add the new one at the end on all servers
    /// and [reload](SharedServerTls::reload), then move it to the front, and remove the old one a
    /// week later. Keep the file as secret as a CA's key: with it, tickets can be made for any
    /// client certificate.
    pub fn ticket_keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.tickets = Tickets::KeysFrom(file.into());
        self
    }

    /// Gives clients no session tickets: every handshake is a full one.
    pub fn without_tickets(mut self) -> Self {
        self.tickets = Tickets::Off;
        self
    }

    /// Reads the files. Logs a warning if every user of this machine can read the private key, or
    /// the keys of session tickets.
    ///
    /// # Errors
    ///
    /// Names the file, and what is wrong with it.
    pub fn load(self) -> Result<SharedServerTls, TlsConfigError> {
        let loaded = RwLock::new(self.read()?);
        Ok(SharedServerTls(Arc::new(Shared { loaded, changes: Changes::default() })))
    }

    fn read(self) -> Result<Loaded, ConfigFault> {
        let provider = Arc::new(provider());
        let identity = self.identity.load(&provider)?;
        let mut settings = Settings::default();
        identity.cert.iter().for_each(|part| settings.add("server", part));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(unavailable)?;
        let verifier =
            self.clients.as_ref().map(|clients| clients.verifier(&provider, &mut settings));
        let verifier = verifier.transpose()?;
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        let identity = Arc::new(SingleCertAndKey::from(identity));
        let mut config = builder.with_cert_resolver(identity);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Clients send little, so the order of the server's ciphers is better than theirs.
        config.ignore_client_order = true;
        // The default reserves memory for session resumption.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let settings = settings.fingerprint();
        config.send_tls13_tickets = TICKETS;
        match &self.tickets {
            Tickets::Off => config.send_tls13_tickets = 0,
            Tickets::OwnKeys => config.ticketer = tickets::with_own_keys()?,
            Tickets::KeysFrom(path) => config.ticketer = tickets::with_keys_from(path, &settings)?,
        }
        Ok(Loaded { files: self, config: Arc::new(config), verifier, settings })
    }
}

impl Clients {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
        settings: &mut Settings,
    ) -> Result<Arc<dyn ClientCertVerifier>, ConfigFault> {
        let roots = Arc::new(files::roots(&self.roots)?);
        settings.add(if self.required { "required" } else { "requested" }, &[]);
        for root in &roots.roots {
            settings.add("root", &root.subject);
            settings.add("key", &root.subject_public_key_info);
            settings.add("names", root.name_constraints.as_deref().unwrap_or_default());
        }
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
            found.iter().for_each(|list| settings.add("revoked", list));
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
    /// What the tickets depend on.
    settings: Fingerprint,
}

impl Loaded {
    /// Goes on with the keys that were drawn before, if their tickets mean the same.
    fn keep_own_keys(&mut self, before: &Self) {
        let has_own_keys = |loaded: &Self| loaded.files.tickets == Tickets::OwnKeys;
        if has_own_keys(self) && has_own_keys(before) && self.settings == before.settings {
            let mut config = ServerConfig::clone(&self.config);
            config.ticketer = Arc::clone(&before.config.ticketer);
            self.config = Arc::new(config);
        }
    }
}

impl SharedServerTls {
    /// Reads the files again. New sessions use them, and earlier session tickets are only accepted
    /// if the certificates, the CAs and the revocation lists are the same. Sessions whose client
    /// certificate is not accepted any more end with [`Reason::Revoked`](crate::Reason::Revoked) or
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

    fn set(&self, mut loaded: Loaded) {
        {
            let mut current = self.0.loaded.write().unwrap_or_else(PoisonError::into_inner);
            loaded.keep_own_keys(&current);
            *current = loaded;
        }
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
