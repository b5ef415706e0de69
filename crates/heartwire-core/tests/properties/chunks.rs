//! Bytes come in any pieces and with any content: the frames are the same, and nothing panics.

use heartwire_core::frame;
use heartwire_core::internal::codec::{self, Decoded, Frame};
use heartwire_core::{Connection, Event, FrameLimits, Instant, Policy, Settings, Violation};
use proptest::prelude::*;

const START: Instant = Instant::from_nanos(0);
const MAX_FRAME: u32 = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Packet {
    Beat,
    Data(Vec<u8>),
}

impl Packet {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Beat => frame::BEAT.to_vec(),
            Self::Data(body) => {
                let Some(header) = codec::data_header(body.len()) else { panic!("too long") };
                [&header, body.as_slice()].concat()
            }
        }
    }
}

fn connection() -> Connection {
    let Ok(policy) = Policy::builder().build() else { panic!("every knob is off") };
    Connection::new(
        Settings::new(policy).limits(FrameLimits::default().max_frame(MAX_FRAME)),
        START,
    )
}

/// Feeds a connection in pieces of these lengths, the last one again and again.
fn feed(bytes: &[u8], lens: &[usize]) -> (Vec<Packet>, Option<Violation>) {
    let mut connection = connection();
    let mut packets = Vec::new();
    let mut violation = None;
    let (mut taken, mut arrived) = (0, 0);
    let mut lens = lens.iter().copied().chain(core::iter::repeat(lens.last().map_or(1, |&l| l)));
    while arrived < bytes.len() {
        arrived = bytes.len().min(arrived + lens.next().map_or(1, |len| len.max(1)));
        let Some(mut rest) = bytes.get(taken..arrived) else { panic!("took what never came") };
        connection.handle_heard(START);
        loop {
            let event = connection.handle_received(START, &mut rest);
            assert!(violation.is_none() || event == Ok(None), "{event:?} after {violation:?}");
            match event {
                Ok(Some(Event::Beat)) => packets.push(Packet::Beat),
                Ok(Some(Event::Data(body))) => packets.push(Packet::Data(body.to_vec())),
                Ok(Some(event)) => panic!("{event:?} on v0"),
                Ok(None) => break,
                Err(error) => violation = Some(error),
            }
        }
        taken = arrived - rest.len();
    }
    (packets, violation)
}

/// Reads a stream as its definition says, without looking for speed.
fn model(mut bytes: &[u8]) -> (Vec<Packet>, Option<Violation>) {
    let mut packets = Vec::new();
    while let [a, b, c, d, e, f, g, h, rest @ ..] = bytes {
        let header = [*a, *b, *c, *d, *e, *f, *g, *h];
        let length = i32::from_le_bytes([*e, *f, *g, *h]);
        let body_len = u32::try_from(length);
        let violation = match (i32::from_le_bytes([*a, *b, *c, *d]), body_len) {
            (0 | 1, Err(_)) => Violation::NegativeLength { length },
            (0, Ok(0)) => {
                packets.push(Packet::Beat);
                bytes = rest;
                continue;
            }
            (0, Ok(length)) => Violation::BeatWithBody { length },
            (1, Ok(length)) if length > MAX_FRAME => Violation::TooLong { length, max: MAX_FRAME },
            (1, Ok(length)) => {
                let Some((body, after)) =
                    rest.split_at_checked(usize::try_from(length).unwrap_or(0))
                else {
                    break;
                };
                packets.push(Packet::Data(body.to_vec()));
                bytes = after;
                continue;
            }
            _ => Violation::UnknownType { header },
        };
        return (packets, Some(violation));
    }
    (packets, None)
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        Just(Packet::Beat),
        prop::collection::vec(any::<u8>(), 0..=100).prop_map(Packet::Data),
    ]
}

/// Headers in which each integer is likely to be near one that means something.
fn header() -> impl Strategy<Value = Vec<u8>> {
    let integer = || {
        prop_oneof![
            4 => -1..3_i32,
            1 => 99..102_i32,
            1 => prop::sample::select(vec![i32::MIN, i32::MAX]),
            1 => any::<i32>(),
        ]
    };
    (integer(), integer())
        .prop_map(|(kind, length)| [kind.to_le_bytes(), length.to_le_bytes()].concat())
}

/// Whole packets, then anything: often a bad header, sometimes nothing.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![
        header(),
        prop::collection::vec(any::<u8>(), 0..40),
        packet().prop_map(|packet| packet.encode()),
    ];
    let packets = prop::collection::vec(packet(), 0..6);
    (packets, prop::collection::vec(end, 0..3)).prop_map(|(packets, ends)| {
        packets.iter().map(Packet::encode).chain(ends).collect::<Vec<_>>().concat()
    })
}

proptest! {
    #[test]
    fn any_pieces_of_a_stream_give_the_frames_of_the_whole(
        bytes in stream(),
        lens in prop::collection::vec(prop_oneof![1..4_usize, 1..60_usize], 1..20),
    ) {
        let expected = model(&bytes);
        prop_assert_eq!(feed(&bytes, &[bytes.len()]), expected.clone(), "whole");
        prop_assert_eq!(feed(&bytes, &lens), expected.clone(), "in pieces");
        prop_assert_eq!(feed(&bytes, &[1]), expected, "byte by byte");
    }

    #[test]
    fn encoded_frames_are_decoded(packets in prop::collection::vec(packet(), 0..10)) {
        let bytes: Vec<u8> = packets.iter().flat_map(Packet::encode).collect();
        prop_assert_eq!(feed(&bytes, &[bytes.len()]), (packets, None));
    }

    #[test]
    fn a_decoder_takes_a_frame_and_nothing_else(packet in packet(), behind: Vec<u8>) {
        let encoded = packet.encode();
        let bytes = [encoded.clone(), behind].concat();
        let frame = match &packet {
            Packet::Beat => Frame::Beat,
            Packet::Data(body) => Frame::Data(body),
        };
        let whole = Decoded::Whole { frame, len: encoded.len() };
        prop_assert_eq!(codec::decode(&bytes, MAX_FRAME), Ok(whole));
        for len in 0..encoded.len() {
            let partial = codec::decode(&bytes[..len], MAX_FRAME);
            let body_len = u32::try_from(encoded.len() - frame::HEADER_LEN).ok();
            let body_len = body_len.filter(|_| len >= frame::HEADER_LEN);
            prop_assert_eq!(partial, Ok(Decoded::Partial { body_len }));
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_or_take_more_than_there_is(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..64),
            (header(), any::<Vec<u8>>()).prop_map(|(header, rest)| [header, rest].concat()),
        ],
        max_frame: u32,
    ) {
        match codec::decode(&bytes, max_frame) {
            Ok(Decoded::Whole { len, .. }) => prop_assert!((8..=bytes.len()).contains(&len)),
            Ok(Decoded::Partial { body_len }) => {
                prop_assert_eq!(body_len.is_some(), bytes.len() >= 8);
                prop_assert!(body_len.is_none_or(|body_len| body_len <= max_frame));
            }
            Err(_) => prop_assert!(bytes.len() >= 8),
        }
    }
}
