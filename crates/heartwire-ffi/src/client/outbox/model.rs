//! The outbox against a list of frames.

use std::collections::VecDeque;

use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use proptest::prelude::*;

use super::*;

const RESERVE: u8 = 24;

#[derive(Clone, Debug)]
enum Do {
    Send(usize),
    Beat,
    Pad(usize),
    Write(usize),
    /// As when the server breaks the protocol: a BYE instead of what waits.
    BreakOff(usize),
}

fn what() -> impl Strategy<Value = Do> {
    prop_oneof![
        3 => (0_usize..70).prop_map(Do::Send),
        3 => Just(Do::Beat),
        2 => (0_usize..200).prop_map(Do::Pad),
        6 => prop_oneof![Just(1), 1_usize..12, Just(usize::MAX)].prop_map(Do::Write),
        1 => (0_usize..40).prop_map(Do::BreakOff),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Frame {
    kind: Kind,
    bytes: Vec<u8>,
}

fn frame(kind: Kind, body_len: usize, fill: u8) -> Frame {
    let mut bytes = codec::header(kind, body_len).unwrap().to_vec();
    bytes.resize(8 + body_len, fill);
    Frame { kind, bytes }
}

#[derive(Default)]
struct Model {
    waits: VecDeque<Frame>,
    /// Bytes of the first of them that were written.
    written: usize,
    opens: bool,
}

impl Model {
    fn push_first(&mut self, beat: Frame) {
        let at = usize::from(self.written > 0 || self.opens);
        match self.waits.get_mut(at) {
            Some(other) if other.kind == Kind::Heart => *other = beat,
            Some(_) | None => self.waits.insert(at, beat),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let all: Vec<u8> = self.waits.iter().flat_map(|frame| frame.bytes.clone()).collect();
        all[self.written..].to_vec()
    }

    /// Returns the last beat that was written whole.
    fn advance(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut beat = None;
        self.written += len;
        while let Some(first) = self.waits.front().filter(|first| first.bytes.len() <= self.written)
        {
            self.written -= first.bytes.len();
            self.opens = false;
            if first.kind == Kind::Heart {
                beat = Some(first.bytes.clone());
            }
            self.waits.pop_front();
        }
        beat
    }
}

proptest! {
    #[test]
    fn frames_are_written_whole_and_in_order(
        size in 64_usize..160,
        hello in prop_oneof![Just(None), (0_usize..56).prop_map(Some)],
        plan in prop::collection::vec(what(), 0..60),
    ) {
        let mut memory = vec![0xee; size];
        let mut outbox = Outbox::new(&mut memory, RESERVE);
        let mut model = Model::default();
        let mut uses_reserve = false;
        if let Some(body_len) = hello {
            let hello = frame(Kind::Hello, body_len, 2);
            let has_room = outbox.push_opening(|room| {
                room[..hello.bytes.len()].copy_from_slice(&hello.bytes);
                Some(hello.bytes.len())
            });
            prop_assert!(has_room);
            model.waits.push_back(hello);
            (model.opens, uses_reserve) = (true, true);
        }
        for (number, step) in plan.into_iter().enumerate() {
            let fill = u8::try_from(number).unwrap() + 3;
            match step {
                Do::Send(len) => {
                    let message = frame(Kind::Data, len, fill);
                    let (header, body) = message.bytes.split_at(8);
                    let fits = message.bytes.len() <= outbox.message_room();
                    let queued = outbox.push_message(header, body);
                    prop_assert_eq!(queued.is_ok(), fits);
                    if queued.is_ok() {
                        model.waits.push_back(message);
                    } else if outbox.is_empty() {
                        prop_assert_eq!(queued, Err(NoRoom::Ever));
                    }
                }
                Do::Beat => {
                    let beat = frame(Kind::Heart, usize::from(RESERVE) - 8, fill);
                    // Behind the frame in front it has room, unless that is a beat too, or a PAD.
                    let writes_message = model.written == 0 || model.waits[0].kind == Kind::Data;
                    prop_assert!(outbox.takes_beat() || !writes_message || uses_reserve);
                    if outbox.takes_beat() {
                        outbox.push_first(&Transmit::copy_of(&beat.bytes));
                        model.push_first(beat);
                    }
                }
                Do::Pad(zeros) => {
                    if outbox.unpadded().is_some() {
                        outbox.push_pad(codec::header(Kind::Pad, zeros).unwrap(), zeros);
                        if outbox.unpadded().is_none() {
                            model.waits.push_back(frame(Kind::Pad, zeros, 0));
                        }
                    }
                }
                Do::Write(most) => {
                    let len = most.min(outbox.output().len());
                    let beat = outbox.advance(len);
                    let beat = beat.as_ref().map(|beat| beat.as_ref().to_vec());
                    prop_assert_eq!(beat, model.advance(len));
                }
                Do::BreakOff(body_len) => {
                    outbox.drop_unbegun();
                    model.waits.truncate(usize::from(model.written > 0 || model.opens));
                    let bye = frame(Kind::Bye, body_len, fill);
                    let has_room = outbox.push_control(|room| {
                        room.get_mut(..bye.bytes.len())?.copy_from_slice(&bye.bytes);
                        Some(bye.bytes.len())
                    });
                    if has_room {
                        model.waits.push_back(bye);
                        uses_reserve = true;
                    }
                }
            }
            uses_reserve &= !outbox.is_empty();
            let (output, waits) = (outbox.output(), model.bytes());
            prop_assert!(waits.starts_with(output), "{:?} {:?}", waits, output);
            prop_assert_eq!(output.is_empty(), waits.is_empty());
            prop_assert_eq!(outbox.is_empty(), waits.is_empty());
        }
    }
}
