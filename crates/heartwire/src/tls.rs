//! TLS for both ends, over sockets that a driver reads and writes without waiting.
//!
//! [`ServerTls`] and [`ClientTls`] name the files with certificates and keys; loading them gives a
//! [`SharedServerTls`] or a [`SharedClientTls`], which makes a [`TlsSession`] for each connection. A
//! session is a plain value between a socket and its driver: no task, no timer, no buffer while it
//! is idle. `docs/adr/0008-tls.md` says what was decided and why.
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
mod session;

pub use client::{ClientTls, SharedClientTls};
pub use config_error::TlsConfigError;
pub use error::TlsError;
pub use fault::{CertificateFault, TlsFault};
pub use server::{ServerTls, SharedServerTls};
pub use session::{Received, TlsSession};

/// Bytes that a record adds to its plaintext on the wire: a head of 5, a type of 1 and a tag of 16,
/// with every cipher of TLS 1.3 (RFC 8446, section 5.2).
pub const RECORD_OVERHEAD: usize = 22;

/// The longest plaintext of one record (RFC 8446, section 5.1).
pub const RECORD_MAX: usize = 16 * 1024;

/// The most that a peer can make a session keep: a record or a handshake message has to be whole
/// before it can be understood. A certificate chain is the longest message there is, and chains of
/// more than a few KiB are rare.
pub const PENDING_MAX: usize = 32 * 1024;

/// The shortest buffer that [`TlsSession::read`] takes: what was kept and what is read are put behind
/// room for the plaintext of one record.
pub const READ_LEN_MIN: usize = RECORD_MAX + PENDING_MAX;

/// How many bytes on the wire become of `plain` bytes that are written at once.
#[must_use]
pub const fn wire_len(plain: usize) -> usize {
    plain.saturating_add(plain.div_ceil(RECORD_MAX).saturating_mul(RECORD_OVERHEAD))
}

/// Tells a server apart that was reached by way of another protocol's port (RFC 7301). A peer without
/// it is accepted.
const PROTOCOL: &[u8] = b"heartwire";
