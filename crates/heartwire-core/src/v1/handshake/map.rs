//! The maps in the bodies: how one is written, and how one is read.

#[cfg(any(feature = "alloc", test))]
use alloc::vec::Vec;
use core::time::Duration;

use super::cbor::{Reader, Writer};
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
        let mut map = Map { entries: 0, out: Writer::behind(HEADER_LEN, out) };
        map.nest(|map| {
            self.fill(map);
            if let Some(seed) = seed {
                grease(map, Self::KIND, seed);
            }
        });
        let len = map.out.len();
        let header = codec::header(Self::KIND, len - HEADER_LEN).unwrap_or_default();
        map.out.put(0, &header);
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

/// A map that is being written.
pub(in crate::v1) struct Map<'a> {
    entries: u8,
    out: Writer<'a>,
}

impl<'a> Map<'a> {
    /// Adds a key. Its value has to follow.
    pub(in crate::v1) fn key(&mut self, key: u16) -> &mut Writer<'a> {
        self.entries += 1;
        self.out.number(key.into());
        &mut self.out
    }

    pub(super) fn number(&mut self, key: u16, number: Option<impl Into<u64>>) {
        if let Some(number) = number {
            self.key(key).number(number.into());
        }
    }

    pub(super) fn millis(&mut self, key: u16, millis: Option<Millis>) {
        self.number(key, millis.map(Millis::get));
    }

    pub(super) fn text(&mut self, key: u16, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key).text(text);
        }
    }

    pub(super) fn pair(&mut self, key: u16, first: u64, second: u64) {
        let out = self.key(key);
        out.array(2);
        out.number(first);
        out.number(second);
    }

    /// Adds a map as the value of a key.
    pub(super) fn map(&mut self, key: u16, fill: impl FnOnce(&mut Self)) {
        self.key(key);
        self.nest(fill);
    }

    /// A map begins here. Its first byte has the number of entries, and is written last.
    fn nest(&mut self, fill: impl FnOnce(&mut Self)) {
        let (at, outer) = (self.out.len(), core::mem::take(&mut self.entries));
        self.out.map(0);
        fill(self);
        let entries = core::mem::replace(&mut self.entries, outer);
        debug_assert!(entries < 24, "more entries would take more bytes");
        self.out.put(at, &[0xa0 | entries]);
    }
}

/// Calls `take` for each entry of a body, with its key and a reader at its value. `None` if the
/// body is not exactly one map of definite length, or has a key twice.
pub(super) fn entries<'a>(
    body: &'a [u8],
    take: impl FnMut(u64, &mut Reader<'a>) -> Option<()>,
) -> Option<()> {
    let mut reader = Reader::new(body);
    nested(&mut reader, take)?;
    reader.is_at_the_end().then_some(())
}

/// The same for a map within another one.
pub(super) fn nested<'a>(
    reader: &mut Reader<'a>,
    mut take: impl FnMut(u64, &mut Reader<'a>) -> Option<()>,
) -> Option<()> {
    let count = reader.map()?;
    let mut seen = Seen::new(reader);
    for _ in 0..count {
        // A map that announces more entries than there are bytes ends here.
        let key = reader.u64()?;
        seen.add(key)?;
        take(key, reader)?;
    }
    Some(())
}

/// The keys of a map, as far as it was read.
#[cfg(feature = "alloc")]
struct Seen(Vec<u64>);

#[cfg(feature = "alloc")]
impl Seen {
    const fn new(_: &Reader<'_>) -> Self {
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

/// The same without an allocator: the entries are read again for each key. Only a server that was
/// chosen sends such a map then, and not one that connects.
#[cfg(not(feature = "alloc"))]
struct Seen<'a> {
    entries: Reader<'a>,
    count: usize,
}

#[cfg(not(feature = "alloc"))]
impl<'a> Seen<'a> {
    fn new(entries: &Reader<'a>) -> Self {
        Self { entries: entries.clone(), count: 0 }
    }

    fn add(&mut self, key: u64) -> Option<()> {
        let mut entries = self.entries.clone();
        for _ in 0..self.count {
            if entries.u64()? == key {
                return None;
            }
            entries.skip()?;
        }
        self.count += 1;
        Some(())
    }
}

pub(super) fn millis(d: &mut Reader<'_>) -> Option<Duration> {
    d.u32().map(|millis| Duration::from_millis(u64::from(millis)))
}

pub(super) fn duration(d: &mut Reader<'_>) -> Option<Millis> {
    d.u32().and_then(Millis::new)
}

pub(super) fn cut(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
