//! TLS 1.3 for the server and the client, over non-blocking sockets.
//!
//! [`ServerTls`] and [`ClientTls`] name the files with certificates and keys; loading them returns
//! a [`SharedServerTls`] or a [`SharedClientTls`], for the configuration of a server or a client.
//! `docs/adr/0008-tls.md` explains the decisions.
//!
//! A client that returns shows a session ticket instead of certificates;
//! `docs/adr/0036-session-tickets.md` says what keeps a ticket from admitting a client that a full
//! handshake would not.

mod client;
mod config_error;
mod diagnose;
pub(crate) mod error;
mod fault;
mod files;
mod machine;
mod server;
pub(crate) mod session;
mod store;
#[cfg(test)]
mod tests;
mod tickets;
mod validity;

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, ring};

pub use client::{ClientTls, SharedClientTls};
pub use config_error::TlsConfigError;
pub(crate) use error::{Detail, TlsError, TlsFailure};
#[cfg(test)]
pub(crate) use fault::CertificateFault;
pub(crate) use fault::{PROXY_HEADER, TlsFault};
pub use server::{ServerTls, SharedServerTls};
pub(crate) use session::{MIN_READ_LEN, RECORD_OVERHEAD, Received, TlsSession};
pub(crate) use store::Tickets;

/// The cryptography of *ring*, with the cipher first whose handshake is cheapest: SHA-256 has
/// instructions of its own on most processors and SHA-384 has none, and a handshake hashes far more
/// than it encrypts.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != FIRST_CIPHER);
    provider
}

const FIRST_CIPHER: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;

/// ALPN protocol name (RFC 7301), which detects a connection to a port of another protocol. A peer
/// without ALPN is accepted.
const PROTOCOL: &[u8] = b"heartwire";
