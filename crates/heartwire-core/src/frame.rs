//! Frames of wire v0: an 8-byte head, two little-endian `i32` (type, length), then the body.
//!
//! Decoding borrows from the bytes it is given, allocates nothing and takes constant time, so a
//! caller may try again with more bytes as often as it likes.

use crate::violation::Violation;

/// Length of a head in bytes.
pub const HEAD_LEN: usize = 8;

/// The longest body that a head can announce: its length is a signed 32-bit integer.
pub const BODY_LEN_MAX: u32 = i32::MAX.unsigned_abs();

/// A whole HEART, as it lies on the wire.
pub const BEAT: [u8; HEAD_LEN] = [0; HEAD_LEN];

const TYPE_HEART: i32 = 0;
const TYPE_DATA: i32 = 1;

/// One whole frame; its body is borrowed from the bytes it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "wire v0 has these two frames and gets no others")]
pub enum Frame<'a> {
    /// HEART: a beat. It has no body.
    Beat,
    /// OTHER: a body for the application, possibly empty.
    Data(&'a [u8]),
}

/// The outcome of decoding the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a frame is whole or it is not")]
pub enum Decoded<'a> {
    /// The bytes begin with this frame, which takes up the first `len` of them.
    Whole {
        /// The frame.
        frame: Frame<'a>,
        /// Bytes of head and body.
        len: usize,
    },
    /// The bytes end before the frame does; `body_len` is known once the head is whole.
    Partial {
        /// What the head announces, in bytes, if the head is there.
        body_len: Option<u32>,
    },
}

/// Decodes the frame that `bytes` begin with; its body may have at most `body_len_max` bytes.
///
/// # Errors
///
/// Any [`Violation`] that a head alone can show, as soon as the head is whole and before any of
/// the body has come.
pub fn decode(bytes: &[u8], body_len_max: u32) -> Result<Decoded<'_>, Violation> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() else {
        return Ok(Decoded::Partial { body_len: None });
    };
    let body_len = match read_head(*head, body_len_max)? {
        Head::Beat => return Ok(Decoded::Whole { frame: Frame::Beat, len: HEAD_LEN }),
        Head::Data { body_len } => body_len,
    };
    let len = usize::try_from(body_len).unwrap_or(usize::MAX);
    match rest.get(..len) {
        Some(body) => Ok(Decoded::Whole { frame: Frame::Data(body), len: HEAD_LEN + len }),
        None => Ok(Decoded::Partial { body_len: Some(body_len) }),
    }
}

enum Head {
    Beat,
    Data { body_len: u32 },
}

fn read_head(head: [u8; HEAD_LEN], body_len_max: u32) -> Result<Head, Violation> {
    let [t0, t1, t2, t3, l0, l1, l2, l3] = head;
    let kind = i32::from_le_bytes([t0, t1, t2, t3]);
    let length = i32::from_le_bytes([l0, l1, l2, l3]);
    // The type comes first: with an unknown type the length means nothing.
    if kind != TYPE_HEART && kind != TYPE_DATA {
        return Err(Violation::UnknownType { head });
    }
    let Ok(body_len) = u32::try_from(length) else {
        return Err(Violation::NegativeLength { length });
    };
    if kind == TYPE_HEART {
        return if body_len == 0 {
            Ok(Head::Beat)
        } else {
            Err(Violation::BeatWithBody { length: body_len })
        };
    }
    if body_len > body_len_max {
        return Err(Violation::TooLong { length: body_len, max: body_len_max });
    }
    Ok(Head::Data { body_len })
}

/// The head of a data frame whose body has `body_len` bytes; `None` above [`BODY_LEN_MAX`].
#[must_use]
pub fn data_head(body_len: usize) -> Option<[u8; HEAD_LEN]> {
    let [t0, t1, t2, t3] = TYPE_DATA.to_le_bytes();
    let [l0, l1, l2, l3] = i32::try_from(body_len).ok()?.to_le_bytes();
    Some([t0, t1, t2, t3, l0, l1, l2, l3])
}

#[cfg(test)]
mod tests;
