use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError};

use super::{error, not_tls};
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
fn what_is_wrong_with_a_certificate_is_told_in_words() {
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
