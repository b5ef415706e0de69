use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::frame::{BEAT, MAX_FRAME};

const MAX: u32 = 64;

fn header(kind: i32, length: i32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&kind.to_le_bytes());
    header[4..].copy_from_slice(&length.to_le_bytes());
    header
}

fn data(body: &[u8]) -> Vec<u8> {
    [&data_header(body.len()).unwrap(), body].concat()
}

#[test]
fn a_beat_is_a_header_of_zeros() {
    assert_eq!(BEAT, header(0, 0));
    assert_eq!(decode(&BEAT, MAX), Ok(Decoded::Whole { frame: Frame::Beat, len: 8 }));
}

#[test]
fn a_frame_ends_where_its_header_says() {
    let bytes = [data(b"ping"), BEAT.to_vec()].concat();
    let first = Decoded::Whole { frame: Frame::Data(b"ping"), len: 12 };
    assert_eq!(decode(&bytes, MAX), Ok(first));
    assert_eq!(decode(&bytes[12..], MAX), Ok(Decoded::Whole { frame: Frame::Beat, len: 8 }));
}

#[test]
fn a_body_may_be_empty() {
    let frame = Frame::Data(b"");
    assert_eq!(decode(&header(1, 0), MAX), Ok(Decoded::Whole { frame, len: 8 }));
}

#[test]
fn integers_are_little_endian() {
    assert_eq!(data_header(0x0102_0304), Some([1, 0, 0, 0, 4, 3, 2, 1]));
}

#[test]
fn no_prefix_of_a_frame_is_whole() {
    let bytes = data(b"hello");
    for len in 0..bytes.len() {
        let body_len = (len >= HEADER_LEN).then_some(5);
        assert_eq!(decode(&bytes[..len], MAX), Ok(Decoded::Partial { body_len }), "{len} bytes");
    }
}

#[test]
fn the_longest_body_allowed_passes_and_one_byte_more_is_refused_from_the_header_alone() {
    assert_eq!(decode(&header(1, 64), MAX), Ok(Decoded::Partial { body_len: Some(64) }));
    assert_eq!(decode(&header(1, 65), MAX), Err(Violation::TooLong { length: 65, max: 64 }));
    assert_eq!(
        decode(&header(1, i32::MAX), MAX_FRAME),
        Ok(Decoded::Partial { body_len: Some(MAX_FRAME) })
    );
    assert_eq!(
        decode(&header(1, i32::MAX), MAX_FRAME - 1),
        Err(Violation::TooLong { length: MAX_FRAME, max: MAX_FRAME - 1 })
    );
}

#[test]
fn a_negative_length_is_refused() {
    for kind in [0, 1] {
        for length in [-1, -8, i32::MIN] {
            assert_eq!(
                decode(&header(kind, length), MAX),
                Err(Violation::NegativeLength { length })
            );
        }
    }
}

#[test]
fn a_beat_with_a_body_is_refused() {
    assert_eq!(decode(&header(0, 1), MAX), Err(Violation::BeatWithBody { length: 1 }));
    assert_eq!(
        decode(&header(0, i32::MAX), MAX),
        Err(Violation::BeatWithBody { length: MAX_FRAME })
    );
}

#[test]
fn an_unknown_type_is_refused_whatever_its_length() {
    for kind in [2, 3, -1, i32::MIN, i32::MAX] {
        for length in [0, 1, -1, i32::MAX] {
            let header = header(kind, length);
            assert_eq!(decode(&header, MAX), Err(Violation::UnknownType { header }));
        }
    }
}

#[test]
fn seven_bytes_are_never_refused() {
    assert_eq!(decode(&[0xff; 7], MAX), Ok(Decoded::Partial { body_len: None }));
}

#[test]
fn a_body_that_no_header_can_announce_has_no_header() {
    let longest = usize::try_from(MAX_FRAME).unwrap();
    assert_eq!(data_header(longest), Some([1, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]));
    assert_eq!(data_header(longest + 1), None);
    assert_eq!(data_header(usize::MAX), None);
}

#[test]
fn a_refusal_says_which_program_was_pointed_here() {
    for (bytes, text) in [
        (*b"GET / HT", "unknown frame type 542393671 (this looks like HTTP)"),
        (*b"POST / H", "unknown frame type 1414745936 (this looks like HTTP)"),
        (*b"OPTIONS ", "unknown frame type 1230262351 (this looks like HTTP)"),
        (*b"SSH-2.0-", "unknown frame type 759714643 (this looks like SSH)"),
        (*b"PROXY TC", "unknown frame type 1481593424 (this looks like a PROXY protocol header)"),
        (
            *b"\r\n\r\n\0\r\nQ",
            "unknown frame type 168626701 (this looks like a PROXY protocol header)",
        ),
        (
            [0x16, 3, 1, 2, 0, 1, 0, 1],
            "unknown frame type 33620758 (this looks like a TLS handshake)",
        ),
        (
            [0, 0, 0, 1, 0, 0, 0, 5],
            "unknown frame type 16777216 (this looks like a frame with big-endian integers)",
        ),
        (header(2, 0), "unknown frame type 2"),
        (header(-1, 0), "unknown frame type -1"),
    ] {
        assert_eq!(decode(&bytes, MAX).unwrap_err().to_string(), text);
    }
}

#[test]
fn parts_are_joined_as_long_as_there_is_room() {
    let mut bytes = [9; 6];
    assert_eq!(join(&mut bytes, &[&[1, 2], &[], &[3]]), 3);
    assert_eq!(bytes, [1, 2, 3, 9, 9, 9]);
    assert_eq!(join(&mut bytes, &[&[4, 5], &[6; 5], &[7]]), 2);
    assert_eq!(bytes, [4, 5, 3, 9, 9, 9]);
}
