//! Signatures of deliveries, as <https://www.standardwebhooks.com> specifies them.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// What a secret in base64 begins with.
const PREFIX: &str = "whsec_";

/// The shortest secret, in bytes. Source: the specification.
const MIN_LEN: usize = 24;

/// Padding may be missing, as in secrets that some generators make.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secret that deliveries are signed with. The receiver knows it too, and so can tell that a
/// delivery is genuine. It is never shown, also not by `Debug`. Clones are the same secret, also
/// after it was [replaced](Self::replace).
#[derive(Clone)]
pub struct Secret(Arc<RwLock<Hmac<Sha256>>>);

impl Secret {
    /// A secret of at least 24 bytes: `whsec_` and base64, as libraries of receivers take it, or
    /// any other text, which is used as it is. White space around it does not count.
    ///
    /// # Errors
    ///
    /// It is too short, or what follows `whsec_` is not base64.
    pub fn new(text: &str) -> Result<Self, BadSecret> {
        let text = text.trim();
        let key = match text.strip_prefix(PREFIX) {
            Some(encoded) => LENIENT.decode(encoded).map_err(|_| BadSecret::NotBase64)?,
            None => text.as_bytes().to_vec(),
        };
        if key.len() < MIN_LEN {
            return Err(BadSecret::TooShort { len: key.len() });
        }
        // HMAC takes keys of any length.
        let keyed = Hmac::new_from_slice(&key);
        let keyed = keyed.map_err(|_| BadSecret::TooShort { len: key.len() })?;
        Ok(Self(Arc::new(RwLock::new(keyed))))
    }

    /// Signs deliveries with what `new` is now, from the next one on.
    pub fn replace(&self, new: &Self) {
        let keyed = new.keyed();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keyed;
    }

    /// Ignores poisoning: nothing that runs under the lock panics.
    fn keyed(&self) -> Hmac<Sha256> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The header `webhook-signature` of a delivery.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut mac = self.keyed();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A text that is no [`Secret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSecret {
    /// It has fewer than 24 bytes.
    #[error(
        "a secret has at least {MIN_LEN} bytes, and this one has {len}: openssl rand -base64 32 \
         makes one"
    )]
    TooShort {
        /// How many it has.
        len: usize,
    },
    /// What follows `whsec_` is not base64.
    #[error("what follows {PREFIX} is not base64")]
    NotBase64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_the_specification() {
        // The vector that the reference libraries test.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secret_is_base64_after_its_prefix_and_itself_otherwise() {
        let sign = |text: &str| Secret::new(text).map(|secret| secret.sign("m", 1, b""));
        let raw = "abcdefghijklmnopqrstuvwxy";
        let encoded = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eQ==";
        assert_eq!(sign(raw), sign(encoded));
        assert_eq!(sign(encoded), sign(encoded.trim_end_matches('=')));
        assert_eq!(sign(raw), sign(&format!("{raw}\n")));
        assert_eq!(sign("short"), Err(BadSecret::TooShort { len: 5 }));
        assert_eq!(sign("whsec_YWJj"), Err(BadSecret::TooShort { len: 3 }));
        assert_eq!(sign("whsec_!"), Err(BadSecret::NotBase64));
        assert_eq!(format!("{:?}", Secret::new(raw).unwrap()), "Secret");
    }

    #[test]
    fn replaced_secrets_sign_from_then_on_and_so_do_their_clones() {
        let [old, new] = ["an old secret of the tests", "a new secret of the tests"]
            .map(|text| Secret::new(text).unwrap());
        let (clone, before) = (old.clone(), old.sign("m", 1, b""));
        old.replace(&new);
        let after = new.sign("m", 1, b"");
        assert!(before != after && old.sign("m", 1, b"") == after);
        assert_eq!(clone.sign("m", 1, b""), after);
        old.replace(&old);
    }
}
