//! Errors in TLS files and settings.

use std::io;
use std::path::PathBuf;

/// Why the TLS files or settings cannot be used: a sentence that names the file, and what is wrong
/// with it. What was loaded before stays in use.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TlsConfigError(#[from] pub(super) ConfigFault);

#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigFault {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file is not in PEM format, or is damaged.
    #[error("{} is not a valid PEM file: {reason}", path.display())]
    BadPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file contains no certificate.
    #[error(
        "{} holds no certificate (a line with BEGIN CERTIFICATE){hint}",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What to check; may be empty.
        hint: &'static str,
    },
    /// A file has no revocation list in it.
    #[error("{} holds no revocation list (a line with BEGIN X509 CRL)", path.display())]
    NoRevocationList {
        /// The file.
        path: PathBuf,
    },
    /// A revocation list cannot be used.
    #[error("{} holds a revocation list that cannot be used: {reason}", path.display())]
    BadRevocationList {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has no private key in it.
    #[error("{} holds no private key (a line with BEGIN PRIVATE KEY){hint}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What to check; may be empty.
        hint: &'static str,
    },
    /// A certificate is invalid.
    #[error("a certificate in {} cannot be used: {reason}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A private key is invalid, or of a kind that TLS 1.3 does not use.
    #[error(
        "the private key in {} cannot be used: {reason}; use an ECDSA or Ed25519 key, or an RSA \
         key of 2048 bits or more",
        path.display()
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a file with keys of session tickets is wrong.
    #[error("line {line} of {} is {what}", path.display())]
    BadTicketKeys {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file has no key of session tickets in it.
    #[error(
        "{} holds no key of session tickets: make one with `openssl rand -hex 32`",
        path.display()
    )]
    NoTicketKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key does not belong to the certificate.
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
    /// The system has no root certificates.
    #[error("the system has no root certificates{reason}; name a file with some instead")]
    NoSystemRoots {
        /// The system's error; may be empty.
        reason: String,
    },
    /// A server name is invalid.
    #[error("{name:?} is not the name or the address of a server")]
    BadServerName {
        /// The name.
        name: String,
    },
    /// TLS is not available.
    #[error("TLS cannot be used: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
    },
}
