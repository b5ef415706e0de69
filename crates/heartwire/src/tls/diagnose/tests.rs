use core::time::Duration;
use std::sync::Arc;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};

use super::{error, not_tls, unusable};
use crate::tls::TlsFault;

fn looks_like(first: &[u8]) -> Option<Option<&'static str>> {
    let TlsFault::NotTls { looks_like } = not_tls(first)? else { panic!("another fault") };
    Some(looks_like)
}

#[test]
fn a_protocol_is_known_by_its_first_bytes() {
    let heartwire = Some(Some("a Heartwire frame without TLS"));
    for (first, expected) in [
        (&[0, 0, 0, 0, 0, 0, 0, 0][..], heartwire),
        (&[2, 0, 0, 0, 60, 0, 0, 0], heartwire),
        (b"GET / HTTP/1.1\r\n", Some(Some("HTTP"))),
        (b"HTTP/1.1 400 Bad Request\r\n", Some(Some("HTTP"))),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Some(Some("SSH"))),
        (b"PROXY TCP4 ", Some(Some("a PROXY protocol header"))),
        (b"\r\n\r\n\0\r\nQUIT\n", Some(Some("a PROXY protocol header"))),
        (b"hello", Some(None)),
        // A ClientHello, an alert, and nothing yet.
        (&[0x16, 3, 1, 2, 0], None),
        (&[0x15, 3, 3, 0, 2], None),
        (&[], None),
    ] {
        assert_eq!(looks_like(first), expected, "{first:?}");
    }
}

#[test]
fn certificate_errors_are_sentences() {
    let other = OtherError(Arc::new(std::io::Error::other("PathLenConstraintViolated")));
    for fault in [
        CertificateError::BadEncoding,
        CertificateError::Revoked,
        CertificateError::UnhandledCriticalExtension,
        CertificateError::UnknownIssuer,
        CertificateError::BadSignature,
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![6, 8, 42],
            supported_algorithms: Vec::new(),
        },
        CertificateError::ApplicationVerificationFailure,
        CertificateError::Other(other),
    ] {
        let text = error(&Error::InvalidCertificate(fault.clone())).to_string();
        assert!(!text.contains(&format!("{fault:?}")), "{text}");
        assert!(text.starts_with("the peer's certificate "), "{text}");
    }
}

#[test]
fn the_rest_of_an_error_has_no_names_of_types_and_no_seconds_since_1970() {
    let day = 86_400;
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let name = || ServerName::try_from("hall.example.org").unwrap();
    let for_other = |presented: &[&str]| CertificateError::NotValidForNameContext {
        expected: name(),
        presented: presented.iter().map(|&name| name.to_owned()).collect(),
    };
    let expired = |now, not_after| CertificateError::ExpiredContext {
        time: at(now),
        not_after: at(not_after),
    };
    let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(3600) };
    for (fault, says) in [
        (expired(10 * day, day), "the peer's certificate has expired: 9 days ago"),
        (expired(90, 30), "the peer's certificate has expired: 1m ago"),
        (
            early,
            "the peer's certificate is not valid yet: it will be in 1h, if the clock of this \
             machine is right",
        ),
        (
            for_other(&["DnsName(\"localhost\")", "IpAddress(127.0.0.1)"]),
            "the peer's certificate is for another name: it is for localhost, 127.0.0.1, not for \
             hall.example.org",
        ),
        (
            for_other(&[]),
            "the peer's certificate is for another name: it has no subjectAltName, so it is not \
             for hall.example.org",
        ),
    ] {
        assert_eq!(error(&Error::InvalidCertificate(fault)).to_string(), says);
    }
    for (fault, says) in [
        (
            Error::AlertReceived(AlertDescription::BadCertificate),
            "the peer does not accept our certificate (alert 42): bad certificate",
        ),
        (
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            "the peer broke the rules of TLS: received corrupt message of type invalid content \
             type",
        ),
        (
            Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
            "the peer does not speak TLS 1.3: peer is incompatible: tls12 not offered",
        ),
    ] {
        assert_eq!(error(&fault).to_string(), says);
    }
}

#[test]
fn why_a_file_cannot_be_used_is_told_in_words() {
    for (fault, says) in [
        (
            Error::InvalidCertificate(CertificateError::BadEncoding),
            "it is malformed, or demands something unknown: make a new one",
        ),
        (Error::General("failed to parse private key".to_owned()), "failed to parse private key"),
    ] {
        assert_eq!(unusable(&fault), says);
    }
}
