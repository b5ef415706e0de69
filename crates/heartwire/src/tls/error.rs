//! Errors of a TLS connection.

use core::fmt::{self, Write};
use std::io;

use super::fault::{CertificateFault, TlsFault};

/// Why TLS ended a connection: a sentence, a [name](Self::name), and whether to
/// [try again](Self::is_retryable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsError(pub(crate) TlsFault);

impl TlsError {
    /// A short name that does not change between versions, for logs, counters and JSON.
    ///
    /// - The peer: `not_tls`, `tls_unfinished` (it ended the connection during the handshake, as a
    ///   server without TLS does), `tls_too_slow`, `tls_expected` (it requires TLS, and this side
    ///   does not use it), `tls_version`, `tls_nothing_in_common`, `tls_refused` (it sent an
    ///   alert), `tls_corrupt`, `tls_too_much`, `tls_protocol`
    /// - Its certificate: `no_certificate`, `certificate_expired`, `certificate_not_yet_valid`,
    ///   `certificate_unknown_issuer`, `certificate_wrong_issuer`, `certificate_wrong_name`,
    ///   `certificate_wrong_purpose`, `certificate_is_ca`, `certificate_algorithm`,
    ///   `certificate_malformed`, `certificate_revoked`, `certificate_other`
    /// - This side: `tls_local` (an invalid server name, or no random bytes)
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Whether another attempt with the same settings could succeed. False for a rejected
    /// certificate, unless only its validity period is wrong: servers renew expired ones, and this
    /// machine's clock may not be set yet.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self.0 {
            // The server name is invalid.
            TlsFault::Local => false,
            // Invalid until a person replaces it or trusts another CA.
            TlsFault::Certificate(fault) => {
                matches!(fault, CertificateFault::Expired | CertificateFault::NotYetValid)
            }
            TlsFault::NotTls { .. }
            | TlsFault::Unfinished
            | TlsFault::TooSlow
            | TlsFault::Expected
            | TlsFault::Version
            | TlsFault::NothingInCommon
            | TlsFault::NoCertificate
            | TlsFault::Refused { .. }
            | TlsFault::Corrupt
            | TlsFault::TooMuch
            | TlsFault::Protocol => true,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a TLS connection failed, with details.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFailure {
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// TLS failed.
    #[error("{fault}{}", Detail(detail))]
    Fault {
        /// The kind of fault.
        fault: TlsFault,
        /// Details, such as names and times. May be empty.
        detail: String,
    },
}

/// Details with control characters escaped: they may contain names that the peer chose.
pub(crate) struct Detail<'a>(pub(crate) &'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        let error = TlsFailure::Fault { fault: TlsFault::NoCertificate, detail };
        let text = error.to_string();
        assert!(
            text.ends_with(r#": not for "a\u{1b}[2J\n2026-01-01 online forged\u{202e}\u{9b}""#),
            "{text}"
        );
    }
}
