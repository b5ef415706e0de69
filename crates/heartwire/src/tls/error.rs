//! What can go wrong on a connection.

use std::io;

use super::fault::TlsFault;

/// Why a TLS connection ended, or did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The socket failed; TLS had no part in it.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// TLS itself ended it. Another attempt may succeed: certificates are renewed, settings changed.
    #[error("{fault}{}", Detail(detail))]
    Fault {
        /// What was wrong.
        fault: TlsFault,
        /// The same with its particulars, such as names and times. May be empty.
        detail: String,
    },
}

impl TlsError {
    /// What was wrong, unless it was the socket.
    #[must_use]
    pub const fn fault(&self) -> Option<TlsFault> {
        match self {
            Self::Socket(_) => None,
            Self::Fault { fault, .. } => Some(*fault),
        }
    }
}

struct Detail<'a>(&'a str);

impl core::fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}
