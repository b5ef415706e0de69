use heartwire_core::frame::Kind;

use super::rig::{Calls, Rig, Told, beat, beat_with, data, frame};
use crate::abi::{Protocol, Status, Step, ViolationCode};

#[test]
fn frames_are_put_together_whatever_pieces_they_come_in() {
    let bytes = [data(b"one"), beat(1), data(b""), data(&[7; 300])].concat();
    let whole =
        [Told::Data(b"one".to_vec()), Told::Beat, Told::Data(vec![]), Told::Data(vec![7; 300])];
    for size in [1, 2, 7, 8, 9, 50, 400] {
        let mut rig = Rig::welcomed(1, |config| config.rx_len = 528);
        let mut events = vec![];
        for piece in bytes.chunks(size) {
            rig.feed_all(piece);
            events.extend(rig.events());
        }
        assert_eq!(events, whole, "{size}");
    }
}

#[test]
fn a_pad_that_is_longer_than_all_memory_passes() {
    let mut rig = Rig::welcomed(1, |config| config.rx_len = 528);
    let bytes = [frame(Kind::Pad, &[0xff; 65_536]), data(b"behind")].concat();
    let mut events = vec![];
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let taken = rig.feed(&rest[..rest.len().min(1_000)]);
        rest = &rest[taken..];
        events.extend(rig.events());
    }
    assert_eq!(events, [Told::Data(b"behind".to_vec())]);
}

#[test]
fn a_message_as_long_as_was_announced_has_room_and_a_longer_one_is_a_breach() {
    let mut rig = Rig::welcomed(1, |config| config.rx_len = 528);
    rig.feed_all(&data(&[1; 520]));
    assert_eq!(rig.events(), [Told::Data(vec![1; 520])]);
    rig.feed_all(&data(&[1; 521])[..8]);
    assert_eq!(rig.events(), [Told::Broken(ViolationCode::TOO_LONG)]);
}

#[test]
fn a_welcome_without_room_is_a_breach() {
    let mut rig = Rig::new(Protocol::V1, |config| config.rx_len = 528);
    rig.connected();
    let bytes = frame(Kind::Welcome, &[0; 600]);
    let taken = rig.feed(&bytes);
    assert_eq!(taken, 528);
    assert_eq!(rig.events(), [Told::Broken(ViolationCode::TOO_LONG)]);
    assert_eq!(rig.poll(), Step::Close);
}

#[test]
fn a_frame_that_does_not_become_whole_ends_the_connection() {
    let mut rig = Rig::welcomed(1, |config| {
        (config.frame_timeout_ms, config.timeout_ms) = (5_000, 60_000);
    });
    let began = rig.now;
    rig.feed_all(&data(b"1234")[..9]);
    assert_eq!(rig.events(), []);
    rig.run_to(began + 4_000);
    rig.feed_all(&data(b"1234")[9..10]);
    assert_eq!(rig.events(), []);
    assert_eq!(rig.run_to(began + 5_000), Step::Sleep);
    assert_eq!(rig.run_to(began + 5_001), Step::Close);
    assert_eq!(rig.events(), [Told::Broken(ViolationCode::SLOW_FRAME)]);
}

#[test]
fn promises_of_the_server_are_told() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.feed_all(
        &[beat_with(1, 1_000, 0), beat_with(2, 5_000, 0), beat_with(3, 5_000, 0)].concat(),
    );
    assert_eq!(rig.events(), [Told::Beat, Told::Promise(5_000), Told::Beat]);
    let link = rig.link().unwrap();
    assert_eq!((link.interval_ms, link.timeout_ms), (1_000, 10_000));
}

#[test]
fn bytes_after_the_end_are_dropped() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.feed_all(&[0xff; 30]);
    assert_eq!(rig.events(), [Told::Broken(ViolationCode::UNKNOWN_TYPE)]);
    rig.settle();
    assert_eq!(rig.feed(&[0xff; 3_000]), 3_000);
    assert_eq!(rig.events(), []);
    assert_eq!(rig.send(b"hi"), Status::ERR_STATE);
}

#[test]
fn data_that_came_before_the_end_is_handed_over_first() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.feed_all(&[data(b"one"), data(b"two")].concat());
    assert_eq!(rig.run_to(rig.now + 10_000), Step::Close);
    let told = rig.events();
    assert_eq!(told[..2], [Told::Data(b"one".to_vec()), Told::Data(b"two".to_vec())]);
    assert!(matches!(told[2..], [Told::Dead(_)]));

    let mut rig = Rig::welcomed(1, |_| {});
    rig.feed_all(&[data(b"one"), data(b"two")].concat());
    rig.disconnect();
    let told = rig.events();
    assert_eq!(told[..2], [Told::Data(b"one".to_vec()), Told::Data(b"two".to_vec())]);
    assert_eq!(told[2..], [Told::Closed]);
}
