//! Session tickets of a server, with which a client returns without certificates.
//!
//! They are stateless: a ticket is the session's secret, encrypted with a key that only servers
//! have, and the client keeps it.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::crypto::GetRandomFailed;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use rustls::ticketer::TicketRotator;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::config_error::ConfigFault;
use super::server::unavailable;
use crate::server::is_world_readable;

/// How long a ticket is accepted: a week, the most that TLS allows (RFC 8446, section 4.6.1). A
/// client gets its ticket when it connects, and may need it days later.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most keys in a file. Each ticket names its key, so that more would only be slow to load.
const KEYS_MAX: usize = 64;

const KEY_LEN: usize = 32;
const NAME_LEN: usize = 16;
/// The time of issue, in front of what rustls encrypts.
const TIME_LEN: usize = 8;

/// Everything that decides which clients a server accepts, and its own certificate, hashed. Tickets
/// are only accepted where that is the same: other servers check certificates as always.
#[derive(Clone, Default)]
pub(super) struct Settings(Sha256);

impl Settings {
    /// Adds a part. Each has its kind and its length in front, so that others never hash the same.
    pub(super) fn add(&mut self, kind: &str, part: &[u8]) {
        for bytes in [kind.as_bytes(), part] {
            self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            self.0.update(bytes);
        }
    }

    pub(super) fn fingerprint(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// Tickets with keys that this process draws, and replaces twice a week.
pub(super) fn with_own_keys() -> Result<Arc<dyn ProducesTickets>, ConfigFault> {
    let half = u32::try_from(LIFETIME.as_secs() / 2).unwrap_or(u32::MAX);
    let rotator = TicketRotator::new(half, || {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        SystemRandom::new().fill(&mut *key).map_err(|_| GetRandomFailed)?;
        Ok(Box::new(Keys(vec![Key::new(&key, &[]).ok_or(GetRandomFailed)?])))
    });
    Ok(Arc::new(rotator.map_err(unavailable)?))
}

/// Tickets with the keys in a file, which other servers and later processes may have too: 64
/// hexadecimal digits in a line. The first encrypts, and tickets of all are accepted.
pub(super) fn with_keys_from(
    path: &Path,
    fingerprint: &Fingerprint,
) -> Result<Arc<dyn ProducesTickets>, ConfigFault> {
    let text = fs::read_to_string(path)
        .map_err(|error| ConfigFault::Unreadable { path: path.to_owned(), error })?;
    let text = Zeroizing::new(text);
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bad =
            |what| ConfigFault::BadTicketKeys { path: path.to_owned(), line: index + 1, what };
        let key = from_hex(line).ok_or_else(|| {
            bad("no key of 64 hexadecimal digits, as `openssl rand -hex 32` makes")
        })?;
        if keys.len() == KEYS_MAX {
            return Err(bad("one key too many: at most 64 are used"));
        }
        keys.push(Key::new(&key, &fingerprint.0).ok_or_else(|| bad("no key"))?);
    }
    if keys.is_empty() {
        return Err(ConfigFault::NoTicketKey { path: path.to_owned() });
    }
    if is_world_readable(path).unwrap_or(false) {
        tracing::warn!(
            path = %path.display(),
            "every user of this machine can read the keys of session tickets"
        );
    }
    Ok(Arc::new(Keys(keys)))
}

fn from_hex(line: &str) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if line.len() != 2 * KEY_LEN {
        return None;
    }
    let digit = |at: &u8| char::from(*at).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, pair) in key.iter_mut().zip(line.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(key)
}

/// Keys, of which the first encrypts.
#[derive(Debug)]
struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    /// In front of each ticket, in clear.
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl Key {
    /// A key for one purpose, made from another. Returns `None` if the cipher does not take it,
    /// which does not happen.
    fn new(secret: &[u8; KEY_LEN], context: &[u8]) -> Option<Self> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, context).extract(secret);
        let mut name = [0; NAME_LEN];
        let mut key = Zeroizing::new([0; KEY_LEN]);
        root.expand(&[b"heartwire ticket name"], Len(NAME_LEN)).ok()?.fill(&mut name).ok()?;
        root.expand(&[b"heartwire ticket key"], Len(KEY_LEN)).ok()?.fill(&mut *key).ok()?;
        let key = UnboundKey::new(&aead::CHACHA20_POLY1305, &*key).ok()?;
        Some(Self { name, key: LessSafeKey::new(key) })
    }

    /// A name, a nonce, and encrypted the time of issue and the message, with a tag.
    fn seal(&self, message: &[u8], now: u64) -> Option<Vec<u8>> {
        let mut nonce = [0; aead::NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let overhead = NAME_LEN + nonce.len() + TIME_LEN + self.key.algorithm().tag_len();
        let mut ticket = Vec::with_capacity(overhead + message.len());
        ticket.extend(self.name);
        ticket.extend(nonce);
        let head = ticket.len();
        ticket.extend(now.to_be_bytes());
        ticket.extend(message);
        let (nonce, name) = (Nonce::assume_unique_for_key(nonce), Aad::from(self.name));
        let text = ticket.get_mut(head..)?;
        let tag = self.key.seal_in_place_separate_tag(nonce, name, text).ok()?;
        ticket.extend(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let ticket = ticket.strip_prefix(&self.name)?;
        let (nonce, text) = ticket.split_at_checked(aead::NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let len = self.key.open_in_place(nonce, Aad::from(self.name), &mut text).ok()?.len();
        text.truncate(len);
        let issued_at = u64::from_be_bytes(*text.first_chunk::<TIME_LEN>()?);
        text.drain(..TIME_LEN);
        // The clock may have been set back.
        (now.abs_diff(issued_at) <= LIFETIME.as_secs()).then_some(text)
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

impl ProducesTickets for Keys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.0.first()?.seal(message, UnixTime::now().as_secs())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now = UnixTime::now().as_secs();
        self.0.iter().find_map(|key| key.open(ticket, now))
    }
}

#[cfg(test)]
mod tests;
