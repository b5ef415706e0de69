//! Maps errors of rustls to TLS faults.

use core::time::Duration;

use heartwire_core::internal::Typed;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use super::TlsFailure;
use super::fault::{CertificateFault, PROXY_HEADER, TlsFault};

pub(super) fn error(error: &Error) -> TlsFailure {
    TlsFailure::Fault { fault: fault(error), detail: detail(error) }
}

/// What the fault does not say. rustls shows names of its types and times in seconds since 1970,
/// which this puts into words.
pub(super) fn detail(error: &Error) -> String {
    let time = |time: UnixTime| Duration::from_secs(time.as_secs());
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is open")]
    match error {
        Error::AlertReceived(alert) => words(&format!("{alert:?}")),
        Error::InvalidCertificate(CertificateError::ExpiredContext { time: now, not_after }) => {
            let ago = time(*now).saturating_sub(time(*not_after));
            format!("{} ago", age(ago))
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext {
            time: now,
            not_before,
        }) => {
            let left = time(*not_before).saturating_sub(time(*now));
            format!("it will be in {}, if the clock of this machine is right", age(left))
        }
        Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected,
            presented,
        }) => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!("it has no subjectAltName, so it is not for {expected}");
            }
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            format!("it is for {}, not for {expected}", names.join(", "))
        }
        Error::InvalidCertificate(error @ CertificateError::InvalidPurposeContext { .. }) => {
            error.to_string()
        }
        // Names of types alone, and the fault says the same.
        Error::InvalidCertificate(_) => String::new(),
        _ => words(&error.to_string()),
    }
}

/// Why a certificate or a key of a file cannot be used.
pub(super) fn unusable(error: &Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is open")]
    match error {
        Error::InvalidCertificate(error) => format!("it {}", certificate_fault(error)),
        Error::General(why) => why.clone(),
        _ => words(&error.to_string()),
    }
}

fn age(time: Duration) -> String {
    match time.as_secs() / 86_400 {
        days @ 2.. => format!("{days} days"),
        0 | 1 => Typed(time).to_string(),
    }
}

/// A name as a certificate has it: `localhost` for `DnsName("localhost")`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

/// Names of types in a text as words: `bad certificate` for `BadCertificate`.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let begins_word =
            c.is_ascii_uppercase() && chars.peek().is_some_and(char::is_ascii_lowercase);
        if begins_word && before.is_ascii_alphanumeric() {
            words.push(' ');
        }
        words.push(if begins_word { c.to_ascii_lowercase() } else { c });
        before = c;
    }
    words
}

pub(super) fn fault(error: &Error) -> TlsFault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is open")]
    match error {
        Error::InvalidCertificate(error) => TlsFault::Certificate(certificate_fault(error)),
        Error::NoCertificatesPresented => TlsFault::NoCertificate,
        Error::AlertReceived(alert) => TlsFault::Refused { alert: u8::from(*alert) },
        Error::DecryptError => TlsFault::Corrupt,
        Error::PeerIncompatible(incompatible) => incompatibility(incompatible),
        Error::NoApplicationProtocol => TlsFault::NothingInCommon,
        Error::PeerSentOversizedRecord
        | Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge
            | InvalidMessage::CertificatePayloadTooLarge
            | InvalidMessage::MessageTooLarge,
        )
        | Error::PeerMisbehaved(
            PeerMisbehaved::TooManyEmptyFragments
            | PeerMisbehaved::TooManyKeyUpdateRequests
            | PeerMisbehaved::TooManyWarningAlertsReceived,
        ) => TlsFault::TooMuch,
        Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes
        | Error::EncryptError
        | Error::General(_)
        | Error::Other(_) => TlsFault::Local,
        _ => TlsFault::Protocol,
    }
}

fn incompatibility(incompatible: &PeerIncompatible) -> TlsFault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of causes is open")]
    match incompatible {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => TlsFault::Version,
        _ => TlsFault::NothingInCommon,
    }
}

fn certificate_fault(error: &CertificateError) -> CertificateFault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is open")]
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            CertificateFault::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateFault::NotYetValid
        }
        CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
        CertificateError::BadSignature => CertificateFault::WrongIssuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            CertificateFault::WrongName
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            CertificateFault::WrongPurpose
        }
        CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => {
            CertificateFault::Malformed
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            CertificateFault::Algorithm
        }
        CertificateError::Revoked => CertificateFault::Revoked,
        // Errors of webpki for which rustls has no name.
        CertificateError::Other(error) => match error.0.to_string().as_str() {
            "CaUsedAsEndEntity" => CertificateFault::IsAuthority,
            "UnsupportedCertVersion"
            | "MalformedExtensions"
            | "ExtensionValueInvalid"
            | "EmptyEkuExtension"
            | "InvalidSerialNumber"
            | "MalformedDnsIdentifier" => CertificateFault::Malformed,
            _ => CertificateFault::Other,
        },
        _ => CertificateFault::Other,
    }
}

/// Detects a protocol other than TLS in the first bytes of a connection.
pub(super) fn not_tls(first: &[u8]) -> Option<TlsFault> {
    let looks_like = match first {
        // The content types of TLS (RFC 8446, section 5.1; 24 was the heartbeat of RFC 6520).
        [] | [0x14..=0x18, ..] => return None,
        [0..=5, 0, 0, 0, ..] => Some("a Heartwire frame without TLS"),
        [b'S', b'S', b'H', b'-', ..] => Some("SSH"),
        [b'P', b'R', b'O', b'X', b'Y', b' ', ..]
        | [b'\r', b'\n', b'\r', b'\n', 0, b'\r', b'\n', b'Q', ..] => Some(PROXY_HEADER),
        [b'H', b'T', b'T', b'P', b'/', ..]
        | [b'G', b'E', b'T', b' ', ..]
        | [b'P', b'O', b'S', b'T', b' ', ..]
        | [b'P', b'U', b'T', b' ', ..]
        | [b'H', b'E', b'A', b'D', b' ', ..]
        | [b'O', b'P', b'T', b'I', b'O', b'N', b'S', b' ', ..]
        | [b'P', b'R', b'I', b' ', ..] => Some("HTTP"),
        _ => None,
    };
    Some(TlsFault::NotTls { looks_like })
}

#[cfg(test)]
mod tests;
