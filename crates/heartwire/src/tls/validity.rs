//! When a certificate expires.

use core::time::Duration;

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, SliceReader, Tag, Tagged};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};

/// Checks that a peer that returns with a ticket still has a valid certificate, as a full handshake
/// does: a ticket does not know when that expires.
///
/// # Errors
///
/// That of a full handshake.
pub(super) fn check(certificates: &[CertificateDer<'_>]) -> Result<(), Error> {
    let Some(not_after) = certificates.first().and_then(|own| not_after(own)) else {
        return Ok(());
    };
    let time = UnixTime::now();
    if time.as_secs() <= not_after {
        return Ok(());
    }
    let not_after = UnixTime::since_unix_epoch(Duration::from_secs(not_after));
    Err(CertificateError::ExpiredContext { time, not_after }.into())
}

/// Its `notAfter`, in seconds since 1970 (RFC 5280, section 4.1). `None` if it is no certificate.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let certificate = AnyRef::from_der(certificate).ok()?;
    let mut signed = SliceReader::new(certificate.value()).ok()?;
    let content = AnyRef::decode(&mut signed).ok()?;
    let mut fields = SliceReader::new(content.value()).ok()?;
    // The version can be left out.
    let is_version = Tag::peek(&fields).is_ok_and(|tag| tag != Tag::Integer);
    // The serial number, the algorithm and the issuer.
    for _ in 0..3 + usize::from(is_version) {
        AnyRef::decode(&mut fields).ok()?;
    }
    let validity = AnyRef::decode(&mut fields).ok()?;
    let mut times = SliceReader::new(validity.value()).ok()?;
    AnyRef::decode(&mut times).ok()?;
    let not_after = AnyRef::decode(&mut times).ok()?;
    let since_1970 = if not_after.tag() == Tag::UtcTime {
        not_after.decode_as::<UtcTime>().ok()?.to_unix_duration()
    } else {
        not_after.decode_as::<GeneralizedTime>().ok()?.to_unix_duration()
    };
    Some(since_1970.as_secs())
}

#[cfg(test)]
mod tests;
