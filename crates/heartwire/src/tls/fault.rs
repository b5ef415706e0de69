//! TLS faults: a name and a sentence for each.

use core::fmt;

/// What [`TlsFault::NotTls`] says of a balancer's header.
pub(crate) const PROXY_HEADER: &str = "a PROXY protocol header";

/// Why TLS ended a connection: a fault of the peer or of the settings, unless a variant says
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFault {
    /// The first bytes were not TLS.
    NotTls {
        /// What they look like.
        looks_like: Option<&'static str>,
    },
    /// The connection ended before the handshake was over. A server without TLS does that.
    Unfinished,
    /// The handshake, or a record, took too long.
    TooSlow,
    /// The peer requires TLS, and this side does not use it.
    Expected,
    /// The peer speaks TLS, but not 1.3.
    Version,
    /// Both speak TLS 1.3, but have no cipher, key exchange, signature or protocol in common.
    NothingInCommon,
    /// The peer's certificate was not accepted.
    Certificate(CertificateFault),
    /// The peer has no certificate, and one is required.
    NoCertificate,
    /// The peer ended it, with this alert (RFC 8446, section 6).
    Refused {
        /// Its number.
        alert: u8,
    },
    /// A record was altered on its way, or was not made with the key of this connection.
    Corrupt,
    /// A message longer than 32 KiB, a record longer than TLS allows, or too many empty records.
    TooMuch,
    /// The peer broke the rules of TLS in another way.
    Protocol,
    /// A fault of this side: no random bytes, or no time of day.
    Local,
}

/// Why a certificate was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateFault {
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It is not signed by a trusted CA.
    UnknownIssuer,
    /// It is signed by another CA with the name of a trusted one: perhaps that CA has a new
    /// certificate, and one side has the old one.
    WrongIssuer,
    /// It is for other names.
    WrongName,
    /// It is not for this side of a connection.
    WrongPurpose,
    /// It is a CA certificate, not one of a server or client: `openssl req -x509` makes these by
    /// default.
    IsAuthority,
    /// It, or an intermediate certificate, has a signature or a key of an unsupported kind.
    Algorithm,
    /// It is malformed, or has a critical extension that is unknown here.
    Malformed,
    /// Its CA has revoked it.
    Revoked,
    /// Anything else.
    Other,
}

impl TlsFault {
    /// See [`TlsError::name`](super::TlsError::name).
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::NotTls { .. } => "not_tls",
            Self::Unfinished => "tls_unfinished",
            Self::TooSlow => "tls_too_slow",
            Self::Expected => "tls_expected",
            Self::Version => "tls_version",
            Self::NothingInCommon => "tls_nothing_in_common",
            Self::Certificate(fault) => fault.name(),
            Self::NoCertificate => "no_certificate",
            Self::Refused { .. } => "tls_refused",
            Self::Corrupt => "tls_corrupt",
            Self::TooMuch => "tls_too_much",
            Self::Protocol => "tls_protocol",
            Self::Local => "tls_local",
        }
    }
}

impl CertificateFault {
    const fn name(&self) -> &'static str {
        match self {
            Self::Expired => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::UnknownIssuer => "certificate_unknown_issuer",
            Self::WrongIssuer => "certificate_wrong_issuer",
            Self::WrongName => "certificate_wrong_name",
            Self::WrongPurpose => "certificate_wrong_purpose",
            Self::IsAuthority => "certificate_is_ca",
            Self::Algorithm => "certificate_algorithm",
            Self::Malformed => "certificate_malformed",
            Self::Revoked => "certificate_revoked",
            Self::Other => "certificate_other",
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotTls { looks_like: Some(kind) } => {
                write!(f, "the peer does not speak TLS: what came looks like {kind}")
            }
            Self::NotTls { looks_like: None } => f.write_str("the peer does not speak TLS"),
            Self::Unfinished => f.write_str(
                "the peer ended the connection during the TLS handshake; \
                 perhaps it does not speak TLS on this port",
            ),
            Self::TooSlow => f.write_str("the TLS handshake, or a record, took too long"),
            Self::Expected => f.write_str("the peer requires TLS, and this side does not use it"),
            Self::Version => f.write_str("the peer does not speak TLS 1.3"),
            Self::NothingInCommon => f.write_str(
                "the peer speaks TLS 1.3, but has nothing in common with us (cipher, key exchange, \
                 signature or protocol)",
            ),
            Self::Certificate(fault) => write!(f, "the peer's certificate {fault}"),
            Self::NoCertificate => f.write_str("the peer sent no certificate, and one is required"),
            Self::Refused { alert } => refusal(f, alert),
            Self::Corrupt => f.write_str("a TLS record was altered on its way"),
            Self::TooMuch => f.write_str("the peer sent more than TLS allows"),
            Self::Protocol => f.write_str("the peer broke the rules of TLS"),
            Self::Local => f.write_str("TLS failed on this side"),
        }
    }
}

fn refusal(f: &mut fmt::Formatter<'_>, alert: u8) -> fmt::Result {
    // RFC 8446, section 6, and RFC 7301 for the last.
    let why = match alert {
        0 | 90 => "the peer gave up during the TLS handshake",
        42 | 43 | 44 | 46 | 49 => "the peer does not accept our certificate",
        45 => "the peer says that our certificate has expired",
        48 => "the peer does not trust the CA of our certificate",
        70 => "the peer does not speak TLS 1.3",
        112 => "the peer does not know the server name we asked for",
        116 => "the peer requires a certificate from us",
        120 => "the peer speaks TLS, but not for Heartwire",
        _ => "the peer ended TLS",
    };
    write!(f, "{why} (alert {alert})")
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::UnknownIssuer => "is not signed by a trusted CA",
            Self::WrongIssuer => {
                "is not signed by the trusted CA, but by another one of the same name"
            }
            Self::WrongName => "is for another name",
            Self::WrongPurpose => "is not for this side of a connection",
            Self::IsAuthority => {
                "is a CA certificate: make one with basicConstraints CA:FALSE, or sign a second \
                 one with it"
            }
            Self::Algorithm => {
                "is signed in a way that is not used here: make one with an ECDSA P-256 key, and \
                 SHA-256"
            }
            Self::Malformed => "is malformed, or demands something unknown: make a new one",
            Self::Revoked => "has been revoked: get a new one",
            Self::Other => "was not accepted",
        })
    }
}

#[cfg(test)]
mod tests;
