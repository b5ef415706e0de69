//! TLS for both ends, over sockets that a driver reads and writes without waiting.
//!
//! [`ServerTls`] and [`ClientTls`] name the files with certificates and keys; loading them gives a
//! [`SharedServerTls`] or a [`SharedClientTls`], for the configuration of a server or a client.
//! `docs/adr/0008-tls.md` says what was decided and why.
//!
//! TLS 1.3 only, and no session tickets: a connection that lasts has no use for them, and a ticket
//! would let a client in whose certificate is no longer accepted.

mod client;
mod config_error;
mod diagnose;
mod error;
mod fault;
mod files;
mod machine;
mod server;
pub(crate) mod session;
#[cfg(test)]
mod tests;

pub use client::{ClientTls, SharedClientTls};
pub use config_error::TlsConfigError;
pub use error::TlsError;
pub use fault::{CertificateFault, TlsFault};
pub use server::{ServerTls, SharedServerTls};
pub(crate) use session::{MAX_RECORD, MIN_READ_LEN, RECORD_OVERHEAD, Received, TlsSession};

/// Tells a server apart that was reached by way of another protocol's port (RFC 7301). A peer without
/// it is accepted.
const PROTOCOL: &[u8] = b"heartwire";
