//! Errors of a TLS connection.

use core::fmt::Write;
use std::io;

use super::fault::TlsFault;

/// Why a TLS connection failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// TLS failed. Another attempt may succeed: certificates are renewed, and settings changed.
    #[error("{fault}{}", Detail(detail))]
    Fault {
        /// The kind of fault.
        fault: TlsFault,
        /// Details, such as names and times. May be empty.
        detail: String,
    },
}

impl TlsError {
    /// The kind of fault; `None` if the socket failed.
    #[must_use]
    pub const fn fault(&self) -> Option<TlsFault> {
        match self {
            Self::Socket(_) => None,
            Self::Fault { fault, .. } => Some(*fault),
        }
    }
}

/// Details with control characters escaped: they may contain names that the peer chose.
struct Detail<'a>(&'a str);

impl core::fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str(": ")?;
        self.0.chars().try_for_each(|char| match char {
            '"' | '\'' => f.write_char(char),
            _ => write!(f, "{}", char.escape_debug()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_certificate_write_no_line_of_their_own() {
        let detail = "not for \"a\u{1b}[2J\n2026-01-01 online forged\u{202e}\u{9b}\"".to_owned();
        let error = TlsError::Fault { fault: TlsFault::NoCertificate, detail };
        let text = error.to_string();
        assert!(
            text.ends_with(r#": not for "a\u{1b}[2J\n2026-01-01 online forged\u{202e}\u{9b}""#),
            "{text}"
        );
    }
}
