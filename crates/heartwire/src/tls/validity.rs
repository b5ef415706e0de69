//! When a certificate expires.

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, SliceReader, Tag, Tagged};

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
