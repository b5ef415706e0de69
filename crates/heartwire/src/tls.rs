//! TLS 1.3 for the server and the client, over non-blocking sockets.
//!
//! [`ServerTls`] and [`ClientTls`] name the files with certificates and keys; loading them returns
//! a [`SharedServerTls`] or a [`SharedClientTls`], for the configuration of a server or a client.
//! `docs/adr/0008-tls.md` explains the decisions.
//!
//! There are no session tickets: a long-lived connection does not need them, and a ticket would
//! admit a client whose certificate is no longer accepted.

mod client;
mod config_error;
mod diagnose;
pub(crate) mod error;
mod fault;
mod files;
mod machine;
mod server;
pub(crate) mod session;
#[cfg(test)]
mod tests;
mod validity;

pub use client::{ClientTls, SharedClientTls};
pub use config_error::TlsConfigError;
pub(crate) use error::{Detail, TlsError, TlsFailure};
#[cfg(test)]
pub(crate) use fault::CertificateFault;
pub(crate) use fault::{PROXY_HEADER, TlsFault};
pub use server::{ServerTls, SharedServerTls};
pub(crate) use session::{MIN_READ_LEN, RECORD_OVERHEAD, Received, TlsSession};

/// ALPN protocol name (RFC 7301), which detects a connection to a port of another protocol. A peer
/// without ALPN is accepted.
const PROTOCOL: &[u8] = b"heartwire";
