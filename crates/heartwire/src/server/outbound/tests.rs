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

/// The frame with a number in its body.
fn numbered(kind: Kind, number: u32, more: usize) -> Vec<u8> {
    let mut frame = frame(kind, 4 + more);
    frame[HEADER_LEN..HEADER_LEN + 4].copy_from_slice(&number.to_le_bytes());
    frame
}

fn number(frame: &[u8]) -> u32 {
    u32::from_le_bytes(frame[HEADER_LEN..HEADER_LEN + 4].try_into().unwrap())
}

/// Writes at most `most` bytes, as a socket takes them.
fn write(outbound: &mut Outbound, most: usize) -> Vec<u8> {
    let mut written = Vec::new();
    while written.len() < most && !outbound.is_written() {
        let waiting = outbound.waiting();
        let len = waiting.len().min(most - written.len());
        written.extend_from_slice(&waiting[..len]);
        outbound.handle_written(len);
    }
    written
}

/// The frames in these bytes.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let body_len = u32::from_le_bytes(bytes[4..HEADER_LEN].try_into().unwrap());
        let (frame, rest) = bytes.split_at(HEADER_LEN + usize::try_from(body_len).unwrap());
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn lens(bytes: &[u8]) -> Vec<usize> {
    frames(bytes).iter().map(|frame| frame.len()).collect()
}

#[test]
fn with_megabytes_waiting_the_next_frame_after_the_one_in_progress_is_the_beat() {
    let mut outbound = Outbound::default();
    for _ in 0..100 {
        outbound.push(&frame(Kind::Data, 60_000));
    }
    write(&mut outbound, 60_008 * 7 + 5);
    outbound.push_first(&frame(Kind::Heart, 32));
    assert_eq!(outbound.waiting_len(), 60_008 * 93 - 5 + 40);
    let written = write(&mut outbound, usize::MAX);
    assert_eq!(lens(&written[60_003..])[..2], [40, 60_008]);
}

#[test]
fn beats_keep_their_order() {
    let mut outbound = Outbound::default();
    outbound.push(&frame(Kind::Data, 100));
    for len in [1, 2, 3] {
        outbound.push_first(&frame(Kind::Heart, len));
    }
    // The first of them, and half of the second.
    let mut written = write(&mut outbound, 9 + 5);
    outbound.push_first(&frame(Kind::Heart, 4));
    written.extend(write(&mut outbound, usize::MAX));
    assert_eq!(lens(&written), [9, 10, 11, 12, 108]);
}

#[test]
fn between_two_frames_a_beat_is_next() {
    let mut outbound = Outbound::default();
    outbound.push(&frame(Kind::Data, 10));
    outbound.push(&frame(Kind::Data, 20));
    write(&mut outbound, 18);
    outbound.push_first(&frame(Kind::Heart, 0));
    assert_eq!(lens(&write(&mut outbound, usize::MAX)), [8, 28]);
    assert!(outbound.waiting().is_empty());
}

/// A flush is one write where there is data only, or beats only.
#[test]
fn frames_of_one_kind_are_written_at_once() {
    let mut outbound = Outbound::default();
    outbound.push(&frame(Kind::Data, 10));
    outbound.push(&frame(Kind::Data, 20));
    assert_eq!(outbound.waiting().len(), 18 + 28);
    outbound.handle_written(5);
    assert_eq!(outbound.waiting().len(), 13 + 28);
    let mut outbound = Outbound::default();
    outbound.push_first(&frame(Kind::Welcome, 100));
    outbound.push_first(&frame(Kind::Heart, 32));
    assert_eq!(outbound.waiting().len(), 108 + 40);
}

#[test]
fn nothing_is_kept_of_what_was_released() {
    let mut outbound = Outbound::default();
    outbound.push_first(&frame(Kind::Heart, 32));
    outbound.push(&frame(Kind::Data, 1_000));
    outbound.push(&frame(Kind::Data, 2_000));
    write(&mut outbound, 40 + 1_008 + 5);
    assert_eq!(outbound.written_whole(), 1_008);
    outbound.release(1_008);
    assert_eq!((outbound.written_whole(), outbound.waiting_len()), (0, 2_003));
    write(&mut outbound, usize::MAX);
    assert!(outbound.is_written() && !outbound.is_empty());
    outbound.release(outbound.written_whole());
    assert!(outbound.is_empty());
    assert_eq!(outbound.capacity(), 0);
}

#[test]
fn the_log_is_written_again_from_where_the_other_connection_got_to() {
    let mut outbound = Outbound::default();
    for len in [10, 20, 30] {
        outbound.push(&frame(Kind::Data, len));
    }
    write(&mut outbound, 18 + 28 + 7);
    outbound.push_first(&frame(Kind::Heart, 32));
    outbound.rewind(18);
    assert_eq!(outbound.frame_lens().collect::<Vec<_>>(), [18, 28, 38]);
    outbound.push_first(&frame(Kind::Welcome, 100));
    assert_eq!(lens(&write(&mut outbound, usize::MAX)), [108, 28, 38]);
    // The first frame was received, and is not acknowledged yet.
    outbound.rewind(0);
    assert_eq!(lens(&write(&mut outbound, usize::MAX)), [18, 28, 38]);
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
        let (mut data, mut beats, mut most_log, mut most_lane) = (0_u32, 0_u32, 0, 0);
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
                    written.extend(write(&mut outbound, len));
                    outbound.release(outbound.written_whole());
                }
            }
            // Each grows to twice of what it needs.
            most_log = most_log.max(outbound.log.len());
            most_lane = most_lane.max(outbound.lane.len());
            prop_assert!(outbound.capacity() <= 2 * (most_log + most_lane));
        }
        written.extend(write(&mut outbound, usize::MAX));
        let (mut next_data, mut next_beat) = (0, 0);
        for frame in frames(&written) {
            let next = if frame[0] == 0 { &mut next_beat } else { &mut next_data };
            prop_assert_eq!(number(frame), *next);
            *next += 1;
        }
        prop_assert_eq!((next_data, next_beat), (data, beats));
    }

    /// On any number of connections, of which each is cut after any byte, the other end gets every
    /// frame of the log once and in order, if it says which it has got.
    #[test]
    fn every_frame_arrives_once_over_any_number_of_connections(
        steps in vec((0_u8..5, 0_usize..200), 1..120),
    ) {
        let mut outbound = Outbound::default();
        let (mut data, mut received, mut released) = (0_u32, 0_u32, 0_u32);
        let mut partial = Vec::new();
        let receive = |partial: &mut Vec<u8>, received: &mut u32, bytes: Vec<u8>| {
            partial.extend(bytes);
            while partial.len() >= HEADER_LEN {
                let body_len = u32::from_le_bytes(partial[4..HEADER_LEN].try_into().unwrap());
                let len = HEADER_LEN + usize::try_from(body_len).unwrap();
                if partial.len() < len {
                    break;
                }
                let frame: Vec<u8> = partial.drain(..len).collect();
                if frame[0] != 0 {
                    assert_eq!(number(&frame), *received);
                    *received += 1;
                }
            }
        };
        let lens_of = |outbound: &Outbound, frames: u32| -> usize {
            outbound.frame_lens().take(usize::try_from(frames).unwrap()).sum()
        };
        for (step, len) in steps {
            match step {
                0 => {
                    outbound.push(&numbered(Kind::Data, data, len));
                    data += 1;
                }
                1 => outbound.push_first(&numbered(Kind::Heart, 0, 0)),
                2 => receive(&mut partial, &mut received, write(&mut outbound, len)),
                3 => {
                    outbound.release(lens_of(&outbound, received - released));
                    released = received;
                }
                _ => {
                    partial.clear();
                    outbound.rewind(lens_of(&outbound, received - released));
                }
            }
            let kept = usize::try_from(data - released).unwrap();
            prop_assert_eq!(outbound.frame_lens().count(), kept);
        }
        receive(&mut partial, &mut received, write(&mut outbound, usize::MAX));
        prop_assert_eq!((received, partial.len()), (data, 0));
    }
}
