use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn frame(kind: Kind, body_len: usize) -> Vec<u8> {
    let mut frame = codec::header(kind, body_len).unwrap().to_vec();
    frame.resize(HEADER_LEN + body_len, 0);
    frame
}

/// What waits, by its frames.
fn frames(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = bytes.split_at(frame_len(bytes));
        lengths.push(frame.len());
        bytes = rest;
    }
    lengths
}

#[test]
fn with_megabytes_waiting_the_next_frame_after_the_one_in_progress_is_the_beat() {
    let mut outbound = Outbound::default();
    for _ in 0..100 {
        outbound.push(&frame(Kind::Data, 60_000));
    }
    outbound.handle_written(60_008 * 7 + 5);
    outbound.push_first(&frame(Kind::Heart, 32));
    let waiting = outbound.waiting();
    assert_eq!(waiting.len(), 60_008 * 93 - 5 + 40);
    let behind = waiting.get(60_003..).unwrap();
    assert_eq!(frames(behind).get(..2), Some(&[40, 60_008][..]));
}

#[test]
fn beats_keep_their_order() {
    let mut outbound = Outbound::default();
    outbound.push(&frame(Kind::Data, 100));
    for len in [1, 2, 3] {
        outbound.push_first(&frame(Kind::Heart, len));
    }
    assert_eq!(frames(outbound.waiting()), [9, 10, 11, 108]);
    // The first of them has gone, and half of the second.
    outbound.handle_written(9 + 5);
    outbound.push_first(&frame(Kind::Heart, 4));
    assert_eq!(frames(outbound.waiting().get(5..).unwrap()), [11, 12, 108]);
}

#[test]
fn between_two_frames_a_beat_is_next() {
    let mut outbound = Outbound::default();
    outbound.push(&frame(Kind::Data, 10));
    outbound.push(&frame(Kind::Data, 20));
    outbound.handle_written(18);
    outbound.push_first(&frame(Kind::Heart, 0));
    assert_eq!(frames(outbound.waiting()), [8, 28]);
    outbound.handle_written(8 + 28);
    assert!(outbound.waiting().is_empty());
}

#[test]
fn a_long_queue_is_not_moved_for_each_little_that_is_taken_of_it() {
    let mut outbound = Outbound::default();
    outbound.push(&frame(Kind::Data, 1_000_000));
    while outbound.bytes.capacity() - outbound.bytes.len() >= 108 {
        outbound.push(&frame(Kind::Data, 100));
    }
    let mut moved = 0;
    for _ in 0..10_000 {
        outbound.handle_written(108);
        let place = outbound.waiting().as_ptr();
        outbound.push(&frame(Kind::Data, 100));
        moved += u32::from(outbound.waiting().as_ptr() != place);
    }
    assert!((1..=10).contains(&moved), "moved {moved} times");
}

proptest! {
    /// However it is written, whole frames come out, data in their order and beats in theirs, and
    /// no beat waits behind more than what has begun and other beats.
    #[test]
    fn whole_frames_come_out_whatever_is_put_in(
        steps in vec((0_u8..3, 0_usize..200), 1..80),
    ) {
        let mut outbound = Outbound::default();
        let mut written = Vec::new();
        let (mut data, mut beats, mut most) = (0_u32, 0_u32, 0);
        let numbered = |kind, number: u32, len: usize| {
            let mut frame = frame(kind, len + 4);
            frame[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&number.to_le_bytes());
            frame
        };
        for (step, len) in steps {
            match step {
                0 => {
                    let frame = numbered(Kind::Data, data, len);
                    let (header, body) = frame.split_at(HEADER_LEN);
                    outbound.push(header);
                    outbound.push(body);
                    data += 1;
                }
                1 => {
                    outbound.push_first(&numbered(Kind::Heart, beats, 0));
                    beats += 1;
                }
                _ => {
                    let len = len.min(outbound.waiting().len());
                    written.extend_from_slice(&outbound.waiting()[..len]);
                    outbound.handle_written(len);
                }
            }
            most = most.max(outbound.waiting().len());
            // A vector starts with room for a few.
            prop_assert!(outbound.capacity() <= (2 * most).max(16));
        }
        written.extend_from_slice(outbound.waiting());
        let (mut next_data, mut next_beat) = (0, 0);
        let mut rest = written.as_slice();
        while !rest.is_empty() {
            let (frame, after) = rest.split_at(frame_len(rest));
            let number = u32::from_le_bytes(frame[HEADER_LEN..HEADER_LEN + 4].try_into().unwrap());
            let next = if frame[0] == 0 { &mut next_beat } else { &mut next_data };
            prop_assert_eq!(number, *next);
            *next += 1;
            rest = after;
        }
        prop_assert_eq!((next_data, next_beat), (data, beats));
    }
}
