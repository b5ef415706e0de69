use std::sync::Arc;

use heartwire_core::order::{Next, Outbound};
use heartwire_core::resume::Ledger;
use heartwire_core::v1::{Offer, Terms, Welcome};
use heartwire_core::{Boxed, Connection, Policy, Protocol, Settings};
use tokio::sync::Semaphore;

use super::*;
use crate::toy::Toy;

const MAX_ROOM: usize = 1000;

/// An outbox, and the socket and the room of its messages.
struct Rig {
    toy: Toy,
    transport: Transport<Toy>,
    room: Arc<Semaphore>,
    outbox: Outbox,
}

impl Rig {
    /// One that keeps what was written.
    fn keeping() -> Self {
        let toy = Toy::new();
        let transport = Transport::new(toy.clone());
        let mut outbox = Outbox::default();
        outbox.keep_written(true);
        Self { toy, transport, room: Arc::new(Semaphore::new(MAX_ROOM)), outbox }
    }

    /// Messages with these bytes wait.
    fn push(&mut self, bytes: impl IntoIterator<Item = u8>) {
        for byte in bytes {
            let room = Arc::clone(&self.room).try_acquire_many_owned(9).ok();
            assert!(room.is_some());
            let header = Connection::new(Settings::new(Policy::default()), self.toy.now());
            let header = header.data_header(1).unwrap();
            self.outbox.push_message(header, Message { body: vec![byte], room });
        }
    }

    /// The bytes that the kernel takes, if it has room for so many.
    fn write(&mut self, room: usize) -> Vec<u8> {
        self.toy.state().room = room;
        self.outbox.write(&mut self.transport).unwrap();
        self.toy.take_written()
    }

    fn used_room(&self) -> usize {
        MAX_ROOM - self.room.available_permits()
    }
}

/// The frames of messages with these bytes.
fn messages(bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
    bytes.into_iter().flat_map(|byte| [1, 0, 0, 0, 1, 0, 0, 0, byte]).collect()
}

#[test]
fn written_messages_are_kept_until_they_are_acknowledged_and_give_their_room_back() {
    let mut rig = Rig::keeping();
    rig.push(0..4);
    assert_eq!(rig.used_room(), 36);
    assert_eq!(rig.write(20), messages(0..3)[..20]);
    assert_eq!(rig.outbox.log_lens().collect::<Vec<_>>(), [9, 9]);
    assert_eq!(rig.used_room(), 18, "the third has begun, and waits");
    rig.write(100);
    rig.outbox.acknowledge(1);
    assert_eq!(rig.outbox.unacknowledged(), Tally { frames: 3, bytes: 3 });
    assert_eq!(rig.outbox.log_len(), 27);
    rig.outbox.acknowledge(99);
    assert_eq!(rig.outbox.log_len(), 0);
    assert_eq!(rig.outbox.unacknowledged(), Tally::default());
    assert_eq!(rig.used_room(), 0);
}

#[test]
fn messages_are_not_kept_where_the_session_cannot_be_resumed() {
    let mut rig = Rig::keeping();
    rig.outbox.keep_written(false);
    rig.push(0..4);
    rig.write(100);
    assert_eq!(rig.outbox.unacknowledged(), Tally::default());
    assert_eq!(rig.used_room(), 0);
}

#[test]
fn a_replay_goes_in_front_of_what_waits_in_order() {
    let mut rig = Rig::keeping();
    rig.push(0..6);
    rig.write(4 * 9 + 5);
    rig.outbox.acknowledge(1);
    rig.outbox.push_beat_first(Transmit::default());
    rig.outbox.handle_link_end();
    // The next link begins with a frame of its own.
    rig.outbox.hold();
    rig.outbox.push_control(b"hello".to_vec());
    assert_eq!(rig.write(100), b"hello");
    rig.outbox.release();
    // The first one that is not acknowledged was received.
    assert_eq!(rig.outbox.log_len(), 27);
    assert_eq!(rig.outbox.replay(1), Tally { frames: 2, bytes: 2 });
    assert_eq!(rig.outbox.log_len(), 9);
    assert_eq!(rig.write(9 + 4), messages(2..4)[..13]);
    rig.outbox.handle_link_end();
    assert_eq!(rig.outbox.log_len(), 27, "as before");
    rig.outbox.replay(2);
    assert_eq!(rig.write(100), messages(3..6));
    assert_eq!(rig.outbox.log_lens().count(), 5);
    assert_eq!(rig.used_room(), 0);
}

#[test]
fn a_replay_does_not_cut_a_frame_in_two() {
    let mut rig = Rig::keeping();
    rig.push([1]);
    rig.write(100);
    rig.outbox.handle_link_end();
    rig.outbox.push_control(b"hello".to_vec());
    rig.write(2);
    rig.outbox.replay(0);
    assert_eq!(rig.write(100), [b"llo", &messages([1])[..]].concat());
}

#[test]
fn a_session_that_ends_keeps_only_messages_that_were_never_written() {
    let mut rig = Rig::keeping();
    rig.push(0..5);
    rig.write(3 * 9 + 5);
    rig.outbox.handle_link_end();
    rig.outbox.replay(0);
    rig.write(9 + 4);
    let (kept, lost) = rig.outbox.handle_end();
    assert_eq!(lost, Tally::default(), "what was begun had been written before");
    assert_eq!(kept.iter().map(|message| message.body[0]).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(rig.outbox.unacknowledged(), Tally::default());
    assert_eq!(rig.used_room(), 18);
    drop(kept);
    assert_eq!(rig.used_room(), 0);

    rig.push([7]);
    assert_eq!(rig.write(1).len(), 1);
    let (kept, lost) = rig.outbox.handle_end();
    assert_eq!((kept.len(), lost), (0, Tally { frames: 1, bytes: 1 }));
    rig.push([8]);
    rig.write(100);
    assert_eq!(rig.outbox.log_len(), 0, "the next session may not be resumable");
}

/// A client's connection in a session that can be resumed, with no beat due.
fn connection(rig: &Rig) -> Connection {
    let now = rig.toy.now();
    let offer = Offer::new(&Policy::default());
    let mut connection =
        Connection::new(Settings::new(Policy::default()).protocol(Protocol::V1), now);
    let welcome = Welcome::new(1, 0, Terms::new(offer).agree(&offer).unwrap()).encode();
    connection.handle_received(now, &mut &welcome[..]).unwrap();
    let mut ledger = Ledger::new(1000, 40);
    ledger.take_many(1, 10);
    connection.attach(Boxed::new(ledger));
    let _beat = connection.poll(now, Outbound::Waiting);
    connection
}

/// An ACK is never behind a beat that says more, and a beat never behind an ACK that does.
#[test]
fn beats_and_acks_replace_each_other_and_stay_in_order() {
    let mut rig = Rig::keeping();
    let mut connection = connection(&rig);
    let mut taken = 1;
    let mut next = |rig: &mut Rig, is_beat: bool| {
        let ledger = connection.ledger_mut().unwrap();
        ledger.take_many(1, 10);
        taken += 1;
        if is_beat {
            connection.beat_now();
        }
        let Next::Write(transmit) = connection.poll(rig.toy.now(), Outbound::Waiting) else {
            panic!("nothing is due")
        };
        assert_eq!(transmit.is_ack(), !is_beat);
        rig.outbox.push_beat_first(transmit);
        taken
    };
    // How many frames each frame that is written acknowledges, and whether it is a beat.
    let written = |rig: &mut Rig| {
        let written = rig.write(1000);
        let mut frames = Vec::new();
        let mut rest = &written[..];
        while !rest.is_empty() {
            let end = 8 + usize::from(rest[4]);
            if rest[0] != 1 {
                frames.push((rest[0] == 0, rest[end - 16]));
            }
            rest = &rest[end..];
        }
        frames
    };
    rig.push([1]);
    next(&mut rig, false);
    next(&mut rig, false);
    assert_eq!(written(&mut rig), [(false, 3)], "one ACK waits at most");
    rig.push([1]);
    next(&mut rig, true);
    next(&mut rig, false);
    next(&mut rig, false);
    assert_eq!(written(&mut rig), [(true, 4), (false, 6)]);
    rig.push([1]);
    next(&mut rig, true);
    next(&mut rig, false);
    next(&mut rig, true);
    assert_eq!(written(&mut rig), [(true, 9)], "it says what the ACK did");
    rig.push([1]);
    next(&mut rig, false);
    rig.write(3);
    next(&mut rig, true);
    next(&mut rig, false);
    next(&mut rig, true);
    assert_eq!(rig.write(1000)[21 + 8 + 32], 13, "behind the one that has begun");
}
