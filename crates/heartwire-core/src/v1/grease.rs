//! Grease (RFC 8701): entries of our bodies that mean nothing, so that the programs in the field
//! stay able to skip what they do not know.

use minicbor::Encoder;

use super::handshake::{Map, Written};
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
        map.put(FIRST_KEY + key, |e| value(e, bits / 2));
    }
}

/// A value of one of the types in CBOR, which is at most 32 bytes long.
fn value(e: &mut Encoder<&mut Map<'_>>, bits: u64) -> Written {
    let number = mix(bits) >> (bits % 64);
    let len = usize::try_from(number % (MAX_LEN + 1)).unwrap_or_default();
    let text = "this is skipped.".get(..len).unwrap_or_default();
    match bits % 8 {
        0 => e.u64(number)?,
        1 => e.i64(-1)?,
        2 => e.str(text)?,
        3 => e.bytes(text.as_bytes())?,
        4 => e.array(3)?.u64(number)?.array(1)?.str("a")?.array(0)?,
        5 => e.map(2)?.str("a")?.map(1)?.u8(0)?.bytes(&[0xff; 3])?.u8(1)?.array(1)?.u64(number)?,
        6 => e.null()?,
        _ => e.f64(0.5)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests;
