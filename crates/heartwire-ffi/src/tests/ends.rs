use heartwire_core::frame::Kind;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};

use super::rig::{Calls, Rig, Told, data};
use crate::abi::{Protocol, Status, Step, ViolationCode};

#[test]
fn a_client_that_leaves_says_bye_behind_what_waits() {
    let mut rig = Rig::welcomed(1, |_| {});
    assert_eq!(rig.send(b"last"), Status::OK);
    assert_eq!(rig.close(), Status::OK);
    assert_eq!(rig.close(), Status::ERR_STATE);
    assert_eq!(rig.send(b"more"), Status::ERR_STATE);
    assert_eq!(rig.poll(), Step::Write);
    rig.feed_all(&data(b"still comes"));
    assert_eq!(rig.events(), [Told::Data(b"still comes".to_vec())]);
    rig.write_all();
    assert_eq!(rig.poll(), Step::Close);
    assert_eq!(rig.kinds(), [Kind::Heart, Kind::Data, Kind::Bye]);
    rig.disconnect();
    assert_eq!(rig.events(), [Told::Closed]);
    assert_eq!(rig.poll(), Step::Idle);
}

#[test]
fn a_client_that_leaves_does_not_wait_for_a_server_that_reads_nothing() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.send(&[1; 100]);
    rig.close();
    rig.now += 2_999;
    assert_eq!(rig.poll(), Step::Write);
    rig.write(1);
    rig.now += 2_999;
    assert_eq!(rig.poll(), Step::Write);
    assert_eq!(rig.deadline(), rig.now + 1);
    rig.now += 1;
    assert_eq!(rig.poll(), Step::Close);
}

#[test]
fn clients_without_a_bye_leave_too() {
    for protocol in [Protocol::V0, Protocol::Raw] {
        let mut rig = Rig::new(protocol, |_| {});
        assert_eq!(rig.close(), Status::ERR_STATE);
        rig.connected();
        rig.send(b"last");
        assert_eq!(rig.close(), Status::OK);
        rig.write_all();
        assert_eq!(rig.poll(), Step::Close);
    }
}

#[test]
fn a_bye_has_room_behind_messages_that_take_all_of_theirs() {
    let mut rig = Rig::welcomed(1, |config| config.tx_len = 400);
    // The first beat waits, and the message takes all that it may.
    let room = rig.send_room();
    assert_eq!(rig.send(&vec![1; room]), Status::OK);
    assert_eq!(rig.send_room(), 0);
    assert_eq!(rig.close(), Status::OK);
    rig.write_all();
    assert_eq!(rig.kinds(), [Kind::Heart, Kind::Data, Kind::Bye]);
}

#[test]
fn a_bye_waits_for_a_pad_that_is_longer_than_the_memory() {
    let mut rig = Rig::welcomed(2_000, |config| config.tx_len = 400);
    rig.settle();
    rig.written.clear();
    assert_eq!(rig.send(b"last"), Status::OK);
    assert_eq!(rig.poll(), Step::Write);
    assert_eq!(rig.close(), Status::ERR_ROOM);
    rig.write_all();
    assert_eq!(rig.close(), Status::OK);
    rig.write_all();
    assert_eq!(rig.kinds(), [Kind::Data, Kind::Pad, Kind::Bye]);
}

#[test]
fn a_server_that_breaks_the_protocol_is_told_why() {
    let mut rig = Rig::welcomed(1, |_| {});
    rig.write_all();
    rig.written.clear();
    rig.send(b"not sent any more");
    rig.feed_all(&data(b"x")[..8]);
    rig.feed_all(b"y");
    rig.feed_all(&[0xff; 8]);
    assert_eq!(
        rig.events(),
        [Told::Data(b"y".to_vec()), Told::Broken(ViolationCode::UNKNOWN_TYPE)]
    );
    assert_eq!(rig.poll(), Step::Write);
    rig.write_all();
    assert_eq!(rig.poll(), Step::Close);
    assert_eq!(rig.kinds(), [Kind::Bye]);
}

#[test]
fn the_end_is_told_once_and_survives_the_disconnection() {
    let mut rig = Rig::welcomed(1, |_| {});
    assert_eq!(rig.run_to(rig.now + 5_000), Step::Close);
    rig.disconnect();
    assert!(matches!(rig.events()[..], [Told::Dead(_)]));
    assert_eq!(rig.events(), []);
    assert_eq!(rig.connected(), Status::OK);
    assert_eq!(rig.events(), []);
}

#[test]
fn a_bye_that_was_read_with_the_end_of_the_stream_counts_more_than_that() {
    let mut rig = Rig::welcomed(1, |_| {});
    let within = RetryHint::Within {
        earliest: core::time::Duration::from_secs(5),
        latest: core::time::Duration::from_secs(6),
    };
    rig.feed_all(&Bye::new(ByeCode::Draining, within).encode());
    assert_eq!(rig.events(), [Told::Bye { code: 1, detail: vec![] }]);
    rig.disconnect();
    assert_eq!(rig.events(), []);
    assert!((5_000..=6_000).contains(&rig.retry_ms()));
}

#[test]
fn a_failed_attempt_tells_nothing() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    rig.disconnect();
    assert_eq!(rig.events(), []);
    assert_eq!(rig.poll(), Step::Idle);
    assert_eq!(rig.deadline(), u64::MAX);
}

#[test]
fn a_welcome_that_is_taken_after_the_end_begins_nothing() {
    let mut rig = Rig::new(Protocol::V1, |config| config.handshake_timeout_ms = 1_000);
    rig.connected();
    rig.write_all();
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.feed_all(&welcome);
    rig.disconnect();
    assert_eq!(rig.events().len(), 2);
    rig.written.clear();
    rig.connected();
    assert_eq!(rig.run_to(rig.now + 2_000), Step::Close);
    assert_eq!(rig.kinds(), [Kind::Hello]);
}
