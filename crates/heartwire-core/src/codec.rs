//! Encodes and decodes headers, and the frames of protocol v0.
//!
//! Decoding borrows from the bytes it is given, allocates nothing and takes constant time, so a
//! caller may try again with more bytes as often as it likes.

use crate::frame::{HEADER_LEN, Kind};
use crate::violation::Violation;

#[cfg(doc)]
use crate::frame::MAX_FRAME;

/// A header: type and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a header has these two fields")]
pub struct Header {
    /// The type.
    pub kind: Kind,
    /// Bytes of body that follow.
    pub body_len: u32,
}

/// Decodes a header of any version.
///
/// # Errors
///
/// [`Violation::UnknownType`] or [`Violation::NegativeLength`]. The caller checks the length, whose
/// limit depends on type and version.
pub fn read_header(header: [u8; HEADER_LEN]) -> Result<Header, Violation> {
    let [t0, t1, t2, t3, l0, l1, l2, l3] = header;
    let number = i32::from_le_bytes([t0, t1, t2, t3]);
    let length = i32::from_le_bytes([l0, l1, l2, l3]);
    // The type comes first: with an unknown type the length means nothing.
    let kind = Kind::ALL.into_iter().find(|kind| kind.number() == number);
    let kind = kind.ok_or(Violation::UnknownType { header })?;
    match u32::try_from(length) {
        Ok(body_len) => Ok(Header { kind, body_len }),
        Err(_) => Err(Violation::NegativeLength { length }),
    }
}

/// The header of a frame whose body has `body_len` bytes; `None` above [`MAX_FRAME`].
#[must_use]
pub fn header(kind: Kind, body_len: usize) -> Option<[u8; HEADER_LEN]> {
    let [t0, t1, t2, t3] = kind.number().to_le_bytes();
    let [l0, l1, l2, l3] = i32::try_from(body_len).ok()?.to_le_bytes();
    Some([t0, t1, t2, t3, l0, l1, l2, l3])
}

/// Copies `parts` one after another to the start of `bytes`, and leaves out what has no room.
/// Returns how many bytes they are. (By slices: of the instructions that a server's beat took, a
/// quarter were for copying it byte by byte.)
#[inline]
pub(crate) fn join(mut bytes: &mut [u8], parts: &[&[u8]]) -> usize {
    let mut len = 0;
    for part in parts {
        let Some((to, rest)) = bytes.split_at_mut_checked(part.len()) else { break };
        to.copy_from_slice(part);
        bytes = rest;
        len += part.len();
    }
    len
}

/// One whole frame; its body is borrowed from the bytes it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "protocol v0 has these two frames and gets no others")]
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
        /// Bytes of header and body.
        len: usize,
    },
    /// The bytes end before the frame does; `body_len` is known once the header is whole.
    Partial {
        /// What the header announces, in bytes, if the header is there.
        body_len: Option<u32>,
    },
}

/// Decodes the frame that `bytes` begin with; its body may have at most `max_frame` bytes.
///
/// # Errors
///
/// Any [`Violation`] that a header alone can show, as soon as the header is whole and before any of
/// the body has come.
pub fn decode(bytes: &[u8], max_frame: u32) -> Result<Decoded<'_>, Violation> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(Decoded::Partial { body_len: None });
    };
    let body_len = match v0_header(*header, max_frame)? {
        Header { kind: Kind::Heart, .. } => {
            return Ok(Decoded::Whole { frame: Frame::Beat, len: HEADER_LEN });
        }
        Header { body_len, .. } => body_len,
    };
    let len = usize::try_from(body_len).unwrap_or(usize::MAX);
    match rest.get(..len) {
        Some(body) => Ok(Decoded::Whole { frame: Frame::Data(body), len: HEADER_LEN + len }),
        None => Ok(Decoded::Partial { body_len: Some(body_len) }),
    }
}

/// Decodes a header of protocol v0.
pub(crate) fn v0_header(header: [u8; HEADER_LEN], max_frame: u32) -> Result<Header, Violation> {
    let [t0, t1, t2, t3, ..] = header;
    if i32::from_le_bytes([t0, t1, t2, t3]) > Kind::Data.number() {
        return Err(Violation::UnknownType { header });
    }
    let read = read_header(header)?;
    check_v0(read, max_frame)?;
    Ok(read)
}

/// Checks a length by the rules of protocol v0.
pub(crate) fn check_v0(header: Header, max_frame: u32) -> Result<(), Violation> {
    match header.kind {
        Kind::Heart if header.body_len > 0 => {
            Err(Violation::BeatWithBody { length: header.body_len })
        }
        Kind::Heart => Ok(()),
        Kind::Data
        | Kind::Hello
        | Kind::Welcome
        | Kind::Bye
        | Kind::Pad
        | Kind::Ack
        | Kind::End => check_len(header.body_len, max_frame),
    }
}

pub(crate) fn check_len(length: u32, max: u32) -> Result<(), Violation> {
    if length > max { Err(Violation::TooLong { length, max }) } else { Ok(()) }
}

/// The header of a data frame whose body has `body_len` bytes; `None` above [`MAX_FRAME`].
#[must_use]
pub fn data_header(body_len: usize) -> Option<[u8; HEADER_LEN]> {
    header(Kind::Data, body_len)
}

#[cfg(test)]
mod tests;
