//! What can be wrong with files.

use std::io;
use std::path::PathBuf;

/// Why files with certificates and keys cannot be used. Nothing has changed: what was loaded before
/// stays in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not in PEM format, or is damaged.
    #[error("{} is not a sound PEM file: {reason}", path.display())]
    BadPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has no certificate in it.
    #[error(
        "{} holds no certificate (a line with BEGIN CERTIFICATE){hint}",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What to look at; may be empty.
        hint: &'static str,
    },
    /// A file has no private key in it.
    #[error("{} holds no private key (a line with BEGIN PRIVATE KEY){hint}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What to look at; may be empty.
        hint: &'static str,
    },
    /// A certificate cannot be understood.
    #[error("a certificate in {} cannot be used: {reason}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key cannot be understood, or is of a kind that TLS 1.3 does not use.
    #[error("the private key in {} cannot be used: {reason}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is not the one that the certificate is for.
    #[error(
        "the private key in {} is not the one of the first certificate in {}",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The system has no certificates of roots where they were looked for.
    #[error("the system has no root certificates{reason}; name a file with some instead")]
    NoSystemRoots {
        /// What was said on looking; may be empty.
        reason: String,
    },
    /// A name cannot be a server's.
    #[error("{name:?} is not the name or the address of a server")]
    BadServerName {
        /// The name.
        name: String,
    },
    /// TLS itself is not available.
    #[error("TLS cannot be used: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
    },
}
