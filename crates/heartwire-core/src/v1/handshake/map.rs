//! The CBOR maps in the bodies: how one is built, and how one is read.

use alloc::vec::Vec;
use core::time::Duration;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::codec;
use crate::frame::Kind;
use crate::policy::Millis;
use crate::time;
use crate::v1::grease::grease;

/// A CBOR map that is being built.
#[derive(Default)]
pub(in crate::v1) struct Map {
    entries: u64,
    body: Vec<u8>,
}

pub(in crate::v1) type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

impl Map {
    pub(in crate::v1) fn put(
        &mut self,
        key: u16,
        value: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Written,
    ) {
        let mut encoder = Encoder::new(&mut self.body);
        // Writing to memory does not fail.
        let _ = encoder.u16(key).map(drop);
        let _ = value(&mut encoder);
        self.entries += 1;
    }

    pub(super) fn text(&mut self, key: u16, text: Option<&str>) {
        if let Some(text) = text {
            self.put(key, |e| e.str(text).map(drop));
        }
    }

    pub(super) fn u32(&mut self, key: u16, number: Option<u32>) {
        if let Some(number) = number {
            self.put(key, |e| e.u32(number).map(drop));
        }
    }

    pub(super) fn duration(&mut self, key: u16, duration: Option<Duration>) {
        if let Some(duration) = duration {
            self.put(key, |e| e.u32(time::millis(duration)).map(drop));
        }
    }

    /// Adds a map as the value of a key.
    pub(super) fn map(&mut self, key: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.put(key, |e| e.map(inner.entries).map(drop));
        self.body.extend(inner.body);
    }

    pub(super) fn greased(mut self, kind: Kind, seed: u64) -> Self {
        grease(&mut self, kind, seed);
        self
    }

    pub(super) fn frame(self, kind: Kind) -> Vec<u8> {
        let mut map = Vec::new();
        let _ = Encoder::new(&mut map).map(self.entries).map(drop);
        map.extend(self.body);
        let mut frame = Vec::new();
        frame.extend(codec::header(kind, map.len()).unwrap_or_default());
        frame.extend(map);
        frame
    }
}

/// Calls `take` for each entry of a body, with its key and a decoder at its value. `None` if the
/// body is not exactly one map of definite length, or has a key twice.
pub(super) fn entries<'a>(
    body: &'a [u8],
    take: impl FnMut(u64, &mut Decoder<'a>) -> Option<()>,
) -> Option<()> {
    let mut decoder = Decoder::new(body);
    nested(&mut decoder, take)?;
    (decoder.position() == body.len()).then_some(())
}

/// The same for a map within another one.
pub(super) fn nested<'a>(
    decoder: &mut Decoder<'a>,
    mut take: impl FnMut(u64, &mut Decoder<'a>) -> Option<()>,
) -> Option<()> {
    let count = decoder.map().ok()??;
    let mut seen = Vec::new();
    for _ in 0..count {
        // A map that announces more entries than there are bytes ends here.
        let key = decoder.u64().ok()?;
        if seen.contains(&key) {
            return None;
        }
        if seen.len() == seen.capacity() {
            // In small steps, because any client can send a map that is full of keys.
            seen.reserve_exact(64);
        }
        seen.push(key);
        take(key, decoder)?;
    }
    Some(())
}

/// Skips the value of an unknown key, which must be well-formed CBOR with texts in UTF-8.
/// Everything in it has a definite length, so a counter is enough, however deep it is nested.
pub(super) fn skip(d: &mut Decoder<'_>) -> Option<()> {
    let mut items = 1_u64;
    while let Some(rest) = items.checked_sub(1) {
        let within = match d.datatype().ok()? {
            Type::Array => d.array().ok()??,
            Type::Map => d.map().ok()??.checked_mul(2)?,
            Type::Tag => {
                d.tag().ok()?;
                1
            }
            Type::ArrayIndef
            | Type::MapIndef
            | Type::BytesIndef
            | Type::StringIndef
            | Type::Break
            | Type::Unknown(_) => return None,
            // RFC 8949, section 3.3: the values below 32 have one byte, and no other form.
            Type::Simple => {
                let at = d.position();
                let value = d.simple().ok()?;
                (d.position() == at + 1 || value >= 32).then_some(0)?
            }
            Type::Bool
            | Type::Null
            | Type::Undefined
            | Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int
            | Type::F16
            | Type::F32
            | Type::F64
            | Type::Bytes
            | Type::String => {
                d.skip().ok()?;
                0
            }
        };
        items = rest.checked_add(within)?;
    }
    Some(())
}

pub(super) fn text<'a>(d: &mut Decoder<'a>, max_len: usize) -> Option<&'a str> {
    d.str().ok().filter(|text| text.len() <= max_len)
}

pub(super) fn millis(d: &mut Decoder<'_>) -> Option<Duration> {
    d.u32().ok().map(|millis| Duration::from_millis(u64::from(millis)))
}

pub(super) fn duration(d: &mut Decoder<'_>) -> Option<Millis> {
    d.u32().ok().and_then(Millis::new)
}

pub(super) fn cut(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
