use super::*;
use crate::boxed::Boxed;
use crate::connection::Dialogue;
use crate::connection::dialogue::Arrived;
use crate::connection::handshake::{Awaiting, Resume};
use crate::connection::stage::Reading;
use crate::policy::{Policy, Side};
use crate::resume::Ledger;
use crate::time::Instant;
use crate::v1::{Health, Offer, Terms};

const MAX_BODY: u32 = 100;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It may come, up to this long.
    UpTo(u32),
    /// It may come, from this long to that long.
    Between(u32, u32),
    /// It may come, exactly this long.
    Exactly(u32),
    /// Not now, or not from this end.
    Unexpected,
    /// This protocol has no such frame.
    Unknown,
}
use Expected::{Between, Exactly, Unexpected, Unknown, UpTo};

/// Every type of frame in every state: HEART, DATA, HELLO, WELCOME, BYE, PAD, ACK, END.
fn table() -> [(Stage, [Expected; 8]); 9] {
    let now = Instant::from_nanos(0);
    let reading = Reading::Between;
    let offer = Offer::new(&Policy::default());
    let contract = Terms::new(offer).agree(&offer).unwrap();
    let dialogue =
        Dialogue::new(Side::Client, (1, contract.into()), Health::Ok, Arrived::at(now), now);
    let v1 = |counted: Expected, ack: Expected, end: Expected| {
        let pad = UpTo(64 * 1024);
        [Between(32, 128), counted, Unexpected, Unexpected, UpTo(512), pad, ack, end]
    };
    let plain = v1(UpTo(MAX_BODY), Unexpected, Unexpected);
    let resumable = v1(UpTo(MAX_BODY), Exactly(16), Exactly(0));
    let after_end = v1(Unexpected, Exactly(16), Unexpected);
    let mut ledger = Boxed::new(Ledger::new(1000, 1000));
    let rest = Stage::V1Rest(Some(ledger.clone()));
    ledger.handle_frame(8, true).unwrap();
    let mut ended = dialogue.clone();
    ended.ledger = Some(ledger);
    [
        (
            Stage::V0 { reading, answers_owed: 0 },
            [Exactly(0), UpTo(MAX_BODY), Unknown, Unknown, Unknown, Unknown, Unknown, Unknown],
        ),
        (
            Stage::Opening { reading, v0: true },
            [
                Exactly(0),
                UpTo(MAX_BODY),
                UpTo(2048),
                Unexpected,
                Unexpected,
                Unexpected,
                Unexpected,
                Unexpected,
            ],
        ),
        (
            Stage::Opening { reading, v0: false },
            [
                Unexpected,
                Unexpected,
                UpTo(2048),
                Unexpected,
                Unexpected,
                Unexpected,
                Unexpected,
                Unexpected,
            ],
        ),
        (Stage::Deciding { since: now.into(), max_frame: 0 }, [Unexpected; 8]),
        (
            Stage::Awaiting(Boxed::new(Awaiting::new(offer, Resume::default(), now))),
            [
                Exactly(0),
                Unexpected,
                Unexpected,
                UpTo(2048),
                UpTo(512),
                Unexpected,
                Unexpected,
                Unexpected,
            ],
        ),
        (Stage::V1(Boxed::new(dialogue)), plain),
        (Stage::V1Rest(None), plain),
        (rest, resumable),
        (Stage::V1(Boxed::new(ended)), after_end),
    ]
}

#[test]
fn every_type_of_frame_in_every_state() {
    for (stage, expected_kinds) in table() {
        for (kind, expected) in Kind::ALL.into_iter().zip(expected_kinds) {
            let ask = |len: u32| {
                let header = codec::header(kind, usize::try_from(len).unwrap()).unwrap();
                stage.admit(header, MAX_BODY)
            };
            let admitted = |len| Ok(Header { kind, body_len: len });
            let what = std::format!("{stage:?} {kind:?}");
            match expected {
                UpTo(max) => {
                    assert_eq!(ask(0), admitted(0), "{what}");
                    assert_eq!(ask(max), admitted(max), "{what}");
                    let too_long = Violation::TooLong { length: max + 1, max };
                    assert_eq!(ask(max + 1), Err(too_long), "{what}");
                }
                Between(min, max) => {
                    for len in [min, max] {
                        assert_eq!(ask(len), admitted(len), "{what}");
                    }
                    for length in [0, min - 1, max + 1] {
                        assert_eq!(ask(length), Err(Violation::BeatLength { length }), "{what}");
                    }
                }
                Exactly(len) => {
                    assert_eq!(ask(len), admitted(len), "{what}");
                    for other in [len + 1, len.wrapping_sub(1).min(MAX_BODY)] {
                        assert!(ask(other).is_err(), "{what} {other}");
                    }
                }
                Unexpected => assert_eq!(ask(0), Err(Violation::Unexpected { kind }), "{what}"),
                Unknown => {
                    assert!(matches!(ask(0), Err(Violation::UnknownType { .. })), "{what}");
                }
            }
        }
    }
}

#[test]
fn types_that_no_version_has_and_negative_lengths_are_refused_in_every_state() {
    for (stage, _) in table() {
        for number in [8, 127, 1 << 24, -1, i32::MIN, i32::MAX] {
            let mut header = [0; 8];
            header[..4].copy_from_slice(&number.to_le_bytes());
            let refused = stage.admit(header, MAX_BODY);
            assert!(matches!(refused, Err(Violation::UnknownType { .. })), "{stage:?} {number}");
        }
        for length in [-1, i32::MIN] {
            let mut header = [0; 8];
            header[4..].copy_from_slice(&length.to_le_bytes());
            let refused = stage.admit(header, MAX_BODY);
            assert_eq!(refused, Err(Violation::NegativeLength { length }), "{stage:?}");
        }
    }
}
