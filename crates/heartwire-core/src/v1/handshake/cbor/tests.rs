use std::vec::Vec;

use minicbor::Decoder;
use minicbor::data::Type;
use proptest::prelude::*;

use super::*;

/// Bytes of which many are the heads of items.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let head =
        (0_u8..8, prop_oneof![0_u8..4, 20_u8..32]).prop_map(|(major, info)| major << 5 | info);
    let byte = prop_oneof![3 => head, 1 => any::<u8>(), 1 => Just(0_u8)];
    prop::collection::vec(byte, 0..24)
}

/// What one call takes off the front: how many bytes, and the value.
fn ours<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Option<T>,
) -> Option<(usize, T)> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    Some((bytes.len() - reader.0.len(), value))
}

fn theirs<'a, T>(
    bytes: &'a [u8],
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Option<(usize, T)> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder).ok()?;
    Some((decoder.position(), value))
}

/// The item at the front without anything of indefinite length, and simple values in one form.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest is skipped alike")]
fn skip(d: &mut Decoder<'_>) -> Result<(), minicbor::decode::Error> {
    let no = || minicbor::decode::Error::message("not for us");
    match d.datatype()? {
        Type::Array => (0..d.array()?.ok_or_else(no)?).try_for_each(|_| skip(d)),
        Type::Map => (0..d.map()?.ok_or_else(no)?).try_for_each(|_| skip(d).and_then(|()| skip(d))),
        Type::Tag => d.tag().and_then(|_| skip(d)),
        Type::Simple => {
            let at = d.position();
            let value = d.simple()?;
            if d.position() == at + 1 || value >= 32 { Ok(()) } else { Err(no()) }
        }
        Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef | Type::Break => {
            Err(no())
        }
        _ => d.skip(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_same_is_read_as_by_another_program(bytes in bytes()) {
        let bytes = bytes.as_slice();
        prop_assert_eq!(ours(bytes, Reader::u64), theirs(bytes, Decoder::u64));
        prop_assert_eq!(ours(bytes, Reader::u32), theirs(bytes, Decoder::u32));
        prop_assert_eq!(ours(bytes, Reader::u8), theirs(bytes, Decoder::u8));
        prop_assert_eq!(ours(bytes, Reader::bool), theirs(bytes, Decoder::bool));
        prop_assert_eq!(ours(bytes, Reader::bytes), theirs(bytes, Decoder::bytes));
        let text = ours(bytes, |reader| reader.text(usize::MAX));
        prop_assert_eq!(text, theirs(bytes, Decoder::str));
        let definite = |read: Option<(usize, Option<u64>)>| Some((read?.0, read?.1?));
        prop_assert_eq!(ours(bytes, Reader::map), definite(theirs(bytes, Decoder::map)));
        let pair = definite(theirs(bytes, Decoder::array)).filter(|&(_, items)| items == 2);
        let own_pair = ours(bytes, |reader| reader.array_of(2).map(|()| 2));
        prop_assert_eq!(own_pair, pair);
        prop_assert_eq!(ours(bytes, Reader::skip), theirs(bytes, skip));
    }

    #[test]
    fn the_same_is_written_as_by_another_program(
        shift in 0..64_u32, number: u64, bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let (number, text) = (number >> shift, "é".repeat(bytes.len() / 2));
        let mut theirs = Vec::new();
        let mut encoder = minicbor::Encoder::new(Cursor(&mut theirs));
        encoder.u64(number).unwrap().bytes(&bytes).unwrap().str(&text).unwrap();
        encoder.array(number).unwrap().map(number).unwrap();
        let mut out = [0; 2_048];
        let mut writer = Writer::behind(3, &mut out);
        writer.number(number);
        writer.bytes(&bytes);
        writer.text(&text);
        writer.array(number);
        writer.map(number);
        let len = writer.len();
        prop_assert_eq!(&out[3..len], theirs.as_slice());
    }
}

/// Memory that grows, for a program that has no allocator of its own here.
struct Cursor<'a>(&'a mut Vec<u8>);

impl minicbor::encode::Write for Cursor<'_> {
    type Error = core::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
