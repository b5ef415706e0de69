//! Loads certificates and keys from PEM files.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};

use super::config_error::ConfigFault;
use super::diagnose::unusable;
use crate::server::is_world_readable;

/// A certificate with its chain, and its private key.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Identity {
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigFault> {
        let chain = certificates(&self.certificate)?;
        let key =
            provider.key_provider.load_private_key(private_key(&self.key)?).map_err(|error| {
                ConfigFault::BadKey { path: self.key.clone(), reason: unusable(&error) }
            })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // `Unknown` is for keys in hardware, which cannot be compared.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                if is_world_readable(&self.key).unwrap_or(false) {
                    tracing::warn!(
                        path = %self.key.display(),
                        "every user of this machine can read the private key of the certificate"
                    );
                }
                Ok(certified)
            }
            Err(Error::InconsistentKeys(_)) => Err(ConfigFault::Mismatch {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
            }),
            Err(error) => Err(ConfigFault::BadCertificate {
                path: self.certificate.clone(),
                reason: unusable(&error),
            }),
        }
    }
}

/// Loads all certificates of a file as trusted roots.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, ConfigFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| ConfigFault::BadCertificate {
            path: path.to_owned(),
            reason: unusable(&error),
        })?;
    }
    Ok(roots)
}

/// Loads the system's trusted roots, except those that rustls cannot parse: every system has some.
pub(super) fn system_roots() -> Result<RootCertStore, ConfigFault> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(ConfigFault::NoSystemRoots { reason });
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigFault> {
    let file = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file).collect();
    let found = found.map_err(|error| bad_pem(path, &error))?;
    if found.is_empty() {
        let hint = if contains(&file, "PRIVATE KEY-----") {
            "; it holds a private key: perhaps the two files are swapped"
        } else {
            ""
        };
        return Err(ConfigFault::NoCertificate { path: path.to_owned(), hint });
    }
    Ok(found)
}

/// Loads all revocation lists of a file.
pub(super) fn revocation_lists(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigFault> {
    let file = read(path)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&file).collect();
    let found = found.map_err(|error| bad_pem(path, &error))?;
    if found.is_empty() {
        return Err(ConfigFault::NoRevocationList { path: path.to_owned() });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ConfigFault> {
    let file = read(path)?;
    match PrivateKeyDer::from_pem_slice(&file) {
        Ok(key) => Ok(key),
        Err(_) if contains(&file, "ENCRYPTED") => {
            let hint = "; the key is encrypted: store it without a password (openssl pkey)";
            Err(ConfigFault::NoKey { path: path.to_owned(), hint })
        }
        Err(pem::Error::NoItemsFound) => {
            let hint = if contains(&file, "BEGIN CERTIFICATE-----") {
                "; it holds a certificate: perhaps the two files are swapped"
            } else {
                ""
            };
            Err(ConfigFault::NoKey { path: path.to_owned(), hint })
        }
        Err(error) => Err(bad_pem(path, &error)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigFault> {
    fs::read(path).map_err(|error| ConfigFault::Unreadable { path: path.to_owned(), error })
}

fn bad_pem(path: &Path, error: &pem::Error) -> ConfigFault {
    ConfigFault::BadPem { path: path.to_owned(), reason: error.to_string() }
}

fn contains(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}
