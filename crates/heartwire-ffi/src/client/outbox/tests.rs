use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;

use super::*;

const RESERVE: u8 = 24;

fn beat(number: u8) -> Transmit {
    let mut bytes = codec::header(Kind::Heart, 8).unwrap().to_vec();
    bytes.extend([number; 8]);
    Transmit::copy_of(&bytes)
}

fn ack(number: u8) -> Transmit {
    let mut bytes = codec::header(Kind::Ack, 4).unwrap().to_vec();
    bytes.extend([number; 4]);
    Transmit::copy_of(&bytes)
}

fn push(outbox: &mut Outbox<'_>, body: &[u8]) -> Result<(), NoRoom> {
    outbox.push_message(&codec::data_header(body.len()).unwrap(), body)
}

/// Writes all, `step` bytes at a time. Returns the frames: their types, and their first byte.
fn write_all(outbox: &mut Outbox<'_>, step: usize) -> Vec<(i32, usize, u8)> {
    let mut written = Vec::new();
    while !outbox.output().is_empty() {
        let output = outbox.output();
        let len = step.min(output.len());
        written.extend_from_slice(&output[..len]);
        outbox.advance(len);
    }
    assert!(outbox.is_empty());
    frames(&written)
}

fn frames(mut bytes: &[u8]) -> Vec<(i32, usize, u8)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let kind = i32::from_le_bytes(*header[..4].first_chunk().unwrap());
        let len = usize::try_from(i32::from_le_bytes(*header[4..].first_chunk().unwrap())).unwrap();
        frames.push((kind, len, rest.first().copied().filter(|_| len > 0).unwrap_or_default()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    frames
}

#[test]
fn a_beat_goes_in_front_of_data_but_not_into_a_frame() {
    for begun in 0..20 {
        let mut memory = [0xee; 100];
        let mut outbox = Outbox::new(&mut memory, RESERVE);
        push(&mut outbox, &[1; 12]).unwrap();
        push(&mut outbox, &[2; 4]).unwrap();
        let mut written = outbox.output()[..begun].to_vec();
        assert_eq!(outbox.advance(begun), None);
        outbox.push_first(&beat(9));
        written.extend_from_slice(outbox.output());
        let done = outbox.advance(written.len() - begun);
        assert_eq!(done, Some(beat(9)));
        let data = [(1, 12, 1), (1, 4, 2)];
        let expected = match begun {
            0 => vec![(0, 8, 9), data[0], data[1]],
            1.. => vec![data[0], (0, 8, 9), data[1]],
        };
        assert_eq!(frames(&written), expected, "{begun}");
    }
}

#[test]
fn a_newer_beat_replaces_one_that_waits_but_not_one_that_is_being_written() {
    let mut memory = [0; 100];
    let mut outbox = Outbox::new(&mut memory, RESERVE);
    push(&mut outbox, &[1]).unwrap();
    outbox.push_first(&beat(1));
    outbox.push_first(&beat(2));
    assert_eq!(outbox.advance(3), None);
    outbox.push_first(&beat(3));
    outbox.push_first(&beat(4));
    assert_eq!(outbox.advance(13), Some(beat(2)));
    assert_eq!(write_all(&mut outbox, 1), [(0, 8, 4), (1, 1, 1)]);
}

#[test]
fn an_ack_goes_into_a_beat_that_waits_and_a_beat_replaces_an_ack() {
    let mut memory = [0; 100];
    let mut outbox = Outbox::new(&mut memory, RESERVE);
    outbox.push_first(&ack(7));
    outbox.push_first(&ack(8));
    assert_eq!(outbox.output().len(), 12);
    outbox.push_first(&beat(1));
    assert_eq!(outbox.output().len(), 16);
    outbox.push_first(&ack(9));
    assert_eq!(outbox.output()[8..], [1, 1, 1, 1, 9, 9, 9, 9]);
}

#[test]
fn messages_leave_room_for_a_beat() {
    let mut memory = [0; 64];
    let mut outbox = Outbox::new(&mut memory, RESERVE);
    assert_eq!(push(&mut outbox, &[0; 33]), Err(NoRoom::Ever));
    assert_eq!(outbox.message_room(), 40);
    push(&mut outbox, &[1; 20]).unwrap();
    assert_eq!(push(&mut outbox, &[2; 20]), Err(NoRoom::Now));
    assert!(outbox.takes_beat());
    outbox.push_first(&beat(1));
    // What a beat leaves of its room is kept for a longer one.
    assert_eq!(outbox.message_room(), 12);
    push(&mut outbox, &[3; 4]).unwrap();
    assert!(outbox.takes_beat());
    assert_eq!(write_all(&mut outbox, 7), [(0, 8, 1), (1, 20, 1), (1, 4, 3)]);
}

#[test]
fn a_pad_longer_than_the_memory_is_written_whole() {
    for step in [1, 7, 64, 1000] {
        let mut memory = [0xee; 64];
        let mut outbox = Outbox::new(&mut memory, RESERVE);
        push(&mut outbox, b"hi").unwrap();
        assert_eq!(outbox.unpadded(), Some(10));
        let header = codec::header(Kind::Pad, 300).unwrap();
        outbox.push_pad(header, 300);
        assert_eq!(outbox.unpadded(), None);
        assert_eq!(outbox.message_room(), 0);
        assert!(outbox.takes_beat());
        outbox.advance(1);
        outbox.push_first(&beat(1));
        let mut written = vec![1];
        while !outbox.output().is_empty() {
            let len = step.min(outbox.output().len());
            written.extend_from_slice(&outbox.output()[..len]);
            outbox.advance(len);
        }
        assert!(outbox.is_empty());
        assert_eq!(frames(&written), [(1, 2, b'h'), (0, 8, 1), (5, 300, 0)]);
        assert_eq!(outbox.message_room(), 40);
    }
}

#[test]
fn a_beat_waits_while_the_zeros_of_a_pad_are_written() {
    let mut memory = [0; 64];
    let mut outbox = Outbox::new(&mut memory, RESERVE);
    let header = codec::header(Kind::Pad, 300).unwrap();
    outbox.push_pad(header, 300);
    outbox.advance(1);
    assert!(!outbox.takes_beat());
    assert!(!outbox.push_control(|_| Some(0)));
    while !outbox.output().is_empty() {
        assert!(!outbox.takes_beat());
        outbox.advance(outbox.output().len());
    }
    assert!(outbox.takes_beat());
}

#[test]
fn news_ask_for_a_pad_until_there_is_one() {
    let mut memory = [0; 100];
    let mut outbox = Outbox::new(&mut memory, RESERVE);
    outbox.push_first(&beat(1));
    assert_eq!(outbox.unpadded(), None);
    push(&mut outbox, &[1; 3]).unwrap();
    outbox.push_first(&beat(2));
    assert_eq!(outbox.unpadded(), Some(11));
}

#[test]
fn a_frame_that_has_begun_stays_when_the_rest_is_dropped() {
    let mut memory = [0; 100];
    let mut outbox = Outbox::new(&mut memory, RESERVE);
    push(&mut outbox, &[1; 3]).unwrap();
    push(&mut outbox, &[2; 3]).unwrap();
    outbox.push_first(&beat(1));
    let mut written = outbox.output()[..2].to_vec();
    outbox.advance(2);
    outbox.drop_unbegun();
    written.extend_from_slice(outbox.output());
    assert_eq!(frames(&written), [(0, 8, 1)]);
}

#[test]
fn raw_bytes_have_no_frames() {
    let mut memory = [0; 16];
    let mut outbox = Outbox::new(&mut memory, 0);
    outbox.push_message(&[], &[7; 10]).unwrap();
    outbox.advance(4);
    assert_eq!(outbox.push_message(&[], &[8; 11]), Err(NoRoom::Now));
    outbox.push_message(&[], &[8; 10]).unwrap();
    assert_eq!(outbox.output(), [7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]);
    outbox.advance(16);
    assert!(outbox.is_empty());
}
