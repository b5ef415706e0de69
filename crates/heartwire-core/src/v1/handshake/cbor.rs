//! As much of CBOR (RFC 8949) as the bodies need, in little code: nothing of indefinite length.

use core::str;

const NUMBER: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// What is written, to memory that may be too short: of what has no room only the length is
/// counted.
pub(in crate::v1) struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Leaves `len` bytes free at the start.
    pub(super) const fn behind(len: usize, out: &'a mut [u8]) -> Self {
        Self { out, len }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Writes where something was written, or left out.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        let room = self.out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
        if let Some(room) = room {
            room.copy_from_slice(bytes);
        }
    }

    pub(in crate::v1) fn raw(&mut self, bytes: &[u8]) {
        self.put(self.len, bytes);
        self.len += bytes.len();
    }

    /// The head of an item, in as few bytes as it takes.
    fn head(&mut self, major: u8, argument: u64) {
        let bytes = argument.to_be_bytes();
        let (info, len) = match argument {
            0..24 => (bytes[7], 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            0x1_0000_0000.. => (27, 8),
        };
        self.raw(&[major << 5 | info]);
        self.raw(bytes.get(8 - len..).unwrap_or_default());
    }

    pub(in crate::v1) fn number(&mut self, number: u64) {
        self.head(NUMBER, number);
    }

    pub(in crate::v1) fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, u64::try_from(bytes.len()).unwrap_or_default());
        self.raw(bytes);
    }

    pub(in crate::v1) fn text(&mut self, text: &str) {
        self.head(TEXT, u64::try_from(text.len()).unwrap_or_default());
        self.raw(text.as_bytes());
    }

    /// An array, of which so many items follow.
    pub(in crate::v1) fn array(&mut self, len: u64) {
        self.head(ARRAY, len);
    }

    /// A map, of which so many keys follow, each with its value.
    pub(in crate::v1) fn map(&mut self, len: u64) {
        self.head(MAP, len);
    }
}

/// What is still to be read. Each call takes an item off its front, or returns `None` if there is
/// another one, or none that is well-formed.
#[derive(Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_at_the_end(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// The head of an item: its major type and its argument.
    fn head(&mut self) -> Option<(u8, u64)> {
        let &[first] = self.take(1)?.first_chunk()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let len = match info {
            0..24 => return Some((major, info.into())),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        let bytes = self.take(len)?;
        let argument = bytes.iter().fold(0, |argument, &byte| argument << 8 | u64::from(byte));
        // Section 3.3: the simple values below 32 have one byte, and no other form.
        let has_other_form = major == SIMPLE && len == 1 && argument < 32;
        (!has_other_form).then_some((major, argument))
    }

    fn argument(&mut self, of: u8) -> Option<u64> {
        self.head().and_then(|(major, argument)| (major == of).then_some(argument))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.argument(NUMBER)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.u64()?).ok()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        u8::try_from(self.u64()?).ok()
    }

    pub(super) fn bool(&mut self) -> Option<bool> {
        match self.take(1)? {
            [0xf4] => Some(false),
            [0xf5] => Some(true),
            _ => None,
        }
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.argument(BYTES)?;
        self.take(len)
    }

    pub(super) fn text(&mut self, max_len: usize) -> Option<&'a str> {
        let len = self.argument(TEXT)?;
        let text = str::from_utf8(self.take(len)?).ok()?;
        (text.len() <= max_len).then_some(text)
    }

    /// The head of an array with so many items.
    pub(super) fn array_of(&mut self, len: u64) -> Option<()> {
        (self.argument(ARRAY)? == len).then_some(())
    }

    /// The number of entries in a map.
    pub(super) fn map(&mut self) -> Option<u64> {
        self.argument(MAP)
    }

    /// Skips an item of any type, with all that is in it. Everything has a definite length, so a
    /// counter is enough, however deep it is nested.
    pub(super) fn skip(&mut self) -> Option<()> {
        let mut items = 1_u64;
        while let Some(rest) = items.checked_sub(1) {
            let (major, argument) = self.head()?;
            let within = match major {
                BYTES => self.take(argument).map(|_| 0)?,
                TEXT => str::from_utf8(self.take(argument)?).map(|_| 0).ok()?,
                ARRAY => argument,
                MAP => argument.checked_mul(2)?,
                TAG => 1,
                // A number, a negative one, or a simple value.
                _ => 0,
            };
            items = rest.checked_add(within)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
