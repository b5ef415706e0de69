//! TLS settings of a client.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, version};
use tracing::{debug, warn};

use super::config_error::{ConfigFault, TlsConfigError};
use super::diagnose;
use super::error::TlsFailure;
use super::files::{self, Identity};
use super::server::unavailable;
use super::store::Tickets;
use super::{PROTOCOL, provider};

/// The TLS settings of a client. Files are in PEM format.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientTls {
    roots: Option<PathBuf>,
    server_name: Option<String>,
    identity: Option<Identity>,
}

impl ClientTls {
    /// TLS with the system's trusted roots, and without a client certificate.
    ///
    /// On Unix other than macOS the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` apply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts only the CA certificates in this file.
    pub fn roots(mut self, roots: impl Into<PathBuf>) -> Self {
        self.roots = Some(roots.into());
        self
    }

    /// Expects a server certificate for this name or address, instead of the target's host.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The client certificate (and its chain, in order), for servers that ask for one. The private
    /// key must have no password.
    pub fn certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some(Identity { certificate: certificate.into(), key: key.into() });
        self
    }

    /// Reads the files. Logs a warning if every user of this machine can read the private key.
    ///
    /// # Errors
    ///
    /// The file and what is wrong with it, or an invalid server name.
    pub fn load(self) -> Result<SharedClientTls, TlsConfigError> {
        if let Some(name) = &self.server_name {
            server_name(name)?;
        }
        let stamp = self.stamp();
        let current = RwLock::new(Current { config: self.read()?, stamp });
        Ok(SharedClientTls { shared: Arc::new(Shared { settings: self, current }) })
    }

    /// Changes when one of the files has changed.
    fn stamp(&self) -> Stamp {
        let identity = self.identity.iter().flat_map(|own| [&own.certificate, &own.key]);
        let files = self.roots.iter().chain(identity);
        files
            .map(|path| fs::metadata(path).ok().map(|file| (file.modified().ok(), file.len())))
            .collect()
    }

    fn read(&self) -> Result<Arc<ClientConfig>, ConfigFault> {
        let provider = Arc::new(provider());
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
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        // Each client has its own tickets.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Loaded TLS settings of a client. Clones share them.
#[derive(Clone, Debug)]
pub struct SharedClientTls {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: ClientTls,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ClientConfig>,
    stamp: Stamp,
}

/// Modification time and length of each file; `None` if it does not exist.
type Stamp = Vec<Option<(Option<SystemTime>, u64)>>;

impl SharedClientTls {
    /// Reads the files and the system's trusted roots again. New connections use them; existing
    /// ones do not change. Blocks while it reads.
    ///
    /// [`client::Client`](crate::client::Client) does this by itself before each attempt to
    /// connect, if a file has changed.
    ///
    /// # Errors
    ///
    /// The file and what is wrong with it. What was loaded before stays in use.
    pub fn reload(&self) -> Result<(), TlsConfigError> {
        // Before the files are read, so that a change meanwhile is seen the next time.
        let stamp = self.shared.settings.stamp();
        let current = Current { config: self.shared.settings.read()?, stamp };
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    /// [Reloads](Self::reload) if a file has changed since it was read.
    pub(crate) fn refresh(&self) {
        let stamp = self.shared.settings.stamp();
        let is_fresh = {
            let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
            current.stamp == stamp
        };
        if is_fresh {
            return;
        }
        match self.reload() {
            Ok(()) => debug!("reloaded the TLS files"),
            Err(error) => {
                warn!(%error, "the TLS files have changed and cannot be loaded")
            }
        }
    }

    /// Checks that `host` is a valid server name, or that [`ClientTls::server_name`] is set.
    ///
    /// # Errors
    ///
    /// It is neither a name nor an address.
    pub fn check_host(&self, host: &str) -> Result<(), TlsConfigError> {
        self.expected(host)?;
        Ok(())
    }

    pub(super) fn connection(
        &self,
        host: &str,
        tickets: &mut Tickets,
    ) -> Result<UnbufferedClientConnection, TlsFailure> {
        let name = self.expected(host).map_err(|error| TlsFailure::Fault {
            fault: super::TlsFault::Local,
            detail: error.to_string(),
        })?;
        let config = {
            let current = self.shared.current.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&current.config)
        };
        let config = tickets.with(config);
        UnbufferedClientConnection::new(config, name).map_err(|error| diagnose::error(&error))
    }

    fn expected(&self, host: &str) -> Result<ServerName<'static>, ConfigFault> {
        server_name(self.shared.settings.server_name.as_deref().unwrap_or(host))
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, ConfigFault> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    // The zone of a link-local address has a meaning on this machine only.
    let bare = bare.split_once('%').map_or(bare, |(address, _zone)| address);
    ServerName::try_from(bare.to_owned())
        .map_err(|_| ConfigFault::BadServerName { name: host.to_owned() })
}
