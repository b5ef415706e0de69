//! Maps errors of rustls to TLS faults.

use rustls::{CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use super::TlsFailure;
use super::fault::{CertificateFault, TlsFault};

pub(super) fn error(error: &Error) -> TlsFailure {
    TlsFailure::Fault { fault: fault(error), detail: detail(error) }
}

/// The details of an error that are readable text. Other certificate errors of rustls are only
/// names of its types, and the fault says the same.
pub(super) fn detail(error: &Error) -> String {
    let Error::InvalidCertificate(certificate) = error else { return error.to_string() };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the list of errors is open")]
    match certificate {
        CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::NotValidForNameContext { .. }
        | CertificateError::InvalidPurposeContext { .. } => certificate.to_string(),
        _ => String::new(),
    }
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
        [b'P', b'R', b'O', b'X', b'Y', b' ', ..] => Some("a PROXY protocol header"),
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
