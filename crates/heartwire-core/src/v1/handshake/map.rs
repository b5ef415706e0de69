//! The CBOR maps in the bodies: how one is written, and how one is read.

#[cfg(any(feature = "alloc", test))]
use alloc::vec::Vec;
use core::convert::Infallible;
use core::time::Duration;

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::codec;
use crate::frame::{HEADER_LEN, Kind};
use crate::policy::Millis;
use crate::v1::grease::grease;

/// A frame whose body is a map.
pub(super) trait Body {
    const KIND: Kind;

    fn fill(&self, map: &mut Map<'_>);

    /// Writes the whole frame to the start of `out`, with [grease](super::Hello#grease) if there is
    /// a seed. Returns its length, even if there is no room for it.
    fn write(&self, seed: Option<u64>, out: &mut [u8]) -> usize {
        let mut map = Map { out, len: HEADER_LEN, entries: 0 };
        map.nest(|map| {
            self.fill(map);
            if let Some(seed) = seed {
                grease(map, Self::KIND, seed);
            }
        });
        let len = map.len;
        let header = codec::header(Self::KIND, len - HEADER_LEN).unwrap_or_default();
        codec::join(out, &[&header]);
        len
    }

    /// The same, if there is room for it.
    fn write_whole(&self, seed: Option<u64>, out: &mut [u8]) -> Option<usize> {
        let len = self.write(seed, out);
        (len <= out.len()).then_some(len)
    }

    #[cfg(any(feature = "alloc", test))]
    fn to_vec(&self, seed: Option<u64>) -> Vec<u8> {
        let mut frame = alloc::vec![0; self.write(seed, &mut [])];
        self.write(seed, &mut frame);
        frame
    }
}

/// A CBOR map that is being written. What has no room is counted, and not written.
pub(in crate::v1) struct Map<'a> {
    out: &'a mut [u8],
    /// Of everything so far, which may be more than there is room for.
    len: usize,
    entries: u8,
}

pub(in crate::v1) type Written = Result<(), minicbor::encode::Error<Infallible>>;

impl minicbor::encode::Write for Map<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        codec::join(self.out.get_mut(self.len..).unwrap_or_default(), &[bytes]);
        self.len += bytes.len();
        Ok(())
    }
}

impl Map<'_> {
    pub(in crate::v1) fn put(
        &mut self,
        key: u16,
        value: impl FnOnce(&mut Encoder<&mut Self>) -> Written,
    ) {
        self.entries += 1;
        let mut encoder = Encoder::new(self);
        // Writing to memory does not fail.
        let _ = encoder.u16(key).map(drop);
        let _ = value(&mut encoder);
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

    pub(super) fn millis(&mut self, key: u16, millis: Option<Millis>) {
        self.u32(key, millis.map(Millis::get));
    }

    /// Adds a map as the value of a key.
    pub(super) fn map(&mut self, key: u16, fill: impl FnOnce(&mut Self)) {
        self.put(key, |_| Ok(()));
        self.nest(fill);
    }

    /// A map begins here. Its first byte has the number of entries, and is written last.
    fn nest(&mut self, fill: impl FnOnce(&mut Self)) {
        let (at, outer) = (self.len, core::mem::take(&mut self.entries));
        self.len += 1;
        fill(self);
        let entries = core::mem::replace(&mut self.entries, outer);
        debug_assert!(entries < 24, "more entries would take more bytes");
        if let Some(first) = self.out.get_mut(at) {
            *first = 0xa0 | entries;
        }
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
    let mut seen = Seen::new(decoder);
    for _ in 0..count {
        // A map that announces more entries than there are bytes ends here.
        let key = decoder.u64().ok()?;
        seen.add(key)?;
        take(key, decoder)?;
    }
    Some(())
}

/// The keys of a map, as far as it was read.
#[cfg(feature = "alloc")]
struct Seen(Vec<u64>);

#[cfg(feature = "alloc")]
impl Seen {
    const fn new(_: &Decoder<'_>) -> Self {
        Self(Vec::new())
    }

    /// Adds a key; `None` if it was there.
    fn add(&mut self, key: u64) -> Option<()> {
        let Self(keys) = self;
        if keys.contains(&key) {
            return None;
        }
        if keys.len() == keys.capacity() {
            // In small steps, because any client can send a map that is full of keys.
            keys.reserve_exact(64);
        }
        keys.push(key);
        Some(())
    }
}

/// The same without an allocator: the entries are read again for each key.
#[cfg(not(feature = "alloc"))]
struct Seen<'a> {
    entries: Decoder<'a>,
    count: usize,
}

#[cfg(not(feature = "alloc"))]
impl<'a> Seen<'a> {
    fn new(entries: &Decoder<'a>) -> Self {
        Self { entries: entries.clone(), count: 0 }
    }

    fn add(&mut self, key: u64) -> Option<()> {
        let mut entries = self.entries.clone();
        for _ in 0..self.count {
            if entries.u64().ok()? == key {
                return None;
            }
            skip(&mut entries)?;
        }
        self.count += 1;
        Some(())
    }
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
