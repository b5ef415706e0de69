//! What this crate reads of a header itself: how long its frame is, and whether it is a PAD.

use heartwire_core::frame::{HEADER_LEN, Kind};
use heartwire_core::internal::codec;

/// Bytes of the frame that these bytes begin with, header included; `None` if its header is not
/// whole, or none.
pub(super) fn len_of(bytes: &[u8]) -> Option<usize> {
    let header = codec::read_header(*bytes.first_chunk()?).ok()?;
    usize::try_from(header.body_len).ok()?.checked_add(HEADER_LEN)
}

/// The same if it is a PAD.
pub(super) fn pad_len(bytes: &[u8]) -> Option<usize> {
    let header = codec::read_header(*bytes.first_chunk()?).ok()?;
    len_of(bytes).filter(|_| header.kind == Kind::Pad)
}

/// The header of a PAD.
pub(super) fn pad_header(body_len: usize) -> Option<[u8; HEADER_LEN]> {
    codec::header(Kind::Pad, body_len)
}
