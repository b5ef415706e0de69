//! Grease (RFC 8701): entries of our bodies that mean nothing, so that the programs in the field
//! stay able to skip what they do not know.

use super::handshake::{Map, Writer};
use crate::frame::Kind;
use crate::mix::mix;

/// The keys that never get a meaning: 1,000 of them.
const FIRST_KEY: u16 = 1_000;
const KEYS: u64 = 1_000;
/// Longest text or bytes.
const MAX_LEN: u64 = 16;

/// Adds an entry that means nothing to about half of all maps, chosen by `seed` and `kind`.
pub(super) fn grease(map: &mut Map<'_>, kind: Kind, seed: u64) {
    let kind = Kind::ALL.into_iter().position(|other| other == kind).unwrap_or_default();
    let bits = mix(mix(seed).wrapping_add(u64::try_from(kind).unwrap_or_default()));
    if bits % 2 == 0 {
        let key = u16::try_from(mix(bits) % KEYS).unwrap_or_default();
        value(map.key(FIRST_KEY + key), bits / 2);
    }
}

/// A value of one of the types in CBOR, which is at most 32 bytes long.
fn value(out: &mut Writer<'_>, bits: u64) {
    let number = mix(bits) >> (bits % 64);
    let len = usize::try_from(number % (MAX_LEN + 1)).unwrap_or_default();
    let text = "this is skipped.".get(..len).unwrap_or_default();
    match bits % 8 {
        0 => out.number(number),
        // -1
        1 => out.raw(&[0x20]),
        2 => out.text(text),
        3 => out.bytes(text.as_bytes()),
        // [number, ["a"], []]
        4 => {
            out.array(3);
            out.number(number);
            out.raw(b"\x81\x61a\x80");
        }
        // {"a": {0: h'ffffff'}, 1: [number]}
        5 => {
            out.raw(b"\xa2\x61a\xa1\x00\x43\xff\xff\xff\x01\x81");
            out.number(number);
        }
        // null
        6 => out.raw(&[0xf6]),
        // 0.5
        _ => out.raw(&[0xfb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]),
    }
}

#[cfg(test)]
mod tests;
