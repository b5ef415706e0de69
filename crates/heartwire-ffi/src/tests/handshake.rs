use heartwire_core::frame::Kind;
use heartwire_core::v1::{Bye, ByeCode, RetryHint};

use super::rig::{Calls, Rig, Told, data};
use crate::abi::{Protocol, Status, Step, ViolationCode};

#[test]
fn a_client_says_hello_and_its_first_frame_after_the_welcome_is_a_beat() {
    let mut rig =
        Rig::new(Protocol::V1, |config| (config.token, config.token_len) = (b"t".as_ptr(), 1));
    assert_eq!(rig.poll(), Step::Idle);
    assert_eq!(rig.connected(), Status::OK);
    assert_eq!(rig.poll(), Step::Write);
    rig.write_all();
    assert_eq!(rig.poll(), Step::Sleep);
    rig.with_hello(|hello| {
        assert_eq!((hello.name, hello.token), (Some("pump-7"), Some(&b"t"[..])));
        assert_eq!(hello.max_frame, Some(592));
        assert_eq!(hello.instance.map(core::num::NonZero::get), Some(7));
        assert_eq!(hello.last, None);
    });
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.written.clear();
    rig.feed_all(&welcome);
    assert_eq!(rig.events(), [Told::Welcome { session: 99, resumed: false, lost: false }]);
    assert_eq!(rig.send(b"hi"), Status::OK);
    rig.write_all();
    assert_eq!(rig.kinds(), [Kind::Heart, Kind::Data]);
}

#[test]
fn a_server_of_v0_may_beat_before_its_welcome() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    rig.connected();
    rig.write_all();
    let welcome = rig.welcome(1, |welcome| welcome);
    rig.feed_all(&[0; 8]);
    assert_eq!(rig.events(), []);
    rig.feed_all(&welcome);
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn nothing_can_be_sent_before_the_welcome() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    assert_eq!(rig.send(b"hi"), Status::ERR_STATE);
    rig.connected();
    assert_eq!(rig.send(b"hi"), Status::ERR_STATE);
    assert_eq!(rig.send_room(), 0);
    assert_eq!(rig.promise(500), Err(Status::ERR_STATE));
    assert_eq!(rig.link().map(drop), Err(Status::ERR_STATE));
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let mut rig = Rig::new(Protocol::V1, |config| config.handshake_timeout_ms = 2_000);
    let began = rig.now;
    rig.connected();
    assert_eq!(rig.run_to(began + 2_000), Step::Sleep);
    assert_eq!(rig.run_to(began + 2_001), Step::Close);
    assert_eq!(rig.events(), [Told::Broken(ViolationCode::NO_FIRST_FRAME)]);
    assert_eq!(rig.poll(), Step::Close);
    assert_eq!(rig.kinds(), [Kind::Hello]);
}

#[test]
fn a_welcome_that_was_not_offered_is_refused_without_a_bye() {
    let mut rig = Rig::new(Protocol::V1, |config| config.min_interval_ms = 1_000);
    rig.connected();
    rig.write_all();
    let welcome = rig.welcome(70_000, |welcome| welcome);
    rig.written.clear();
    rig.feed_all(&welcome);
    assert_eq!(rig.events(), [Told::Broken(ViolationCode::BAD_WELCOME)]);
    assert_eq!(rig.poll(), Step::Close);
    assert_eq!(rig.output(), []);
}

#[test]
fn a_server_that_rejects_the_client_says_why() {
    let mut rig = Rig::new(Protocol::V1, |_| {});
    rig.connected();
    rig.write_all();
    let bye = Bye::new(ByeCode::Unauthorized, RetryHint::Never).detail("no").encode();
    rig.feed_all(&bye);
    assert_eq!(rig.events(), [Told::Bye { code: 4, detail: b"no".to_vec() }]);
    assert_eq!(rig.poll(), Step::Close);
    rig.disconnect();
    assert_eq!(rig.events(), []);
    assert_eq!(rig.retry_ms(), u64::MAX);
    // A program that knows better may try all the same.
    assert_eq!(rig.connected(), Status::OK);
}

#[test]
fn a_client_of_v0_beats_at_once_and_one_that_answers_does_not() {
    let mut rig = Rig::new(Protocol::V0, |_| {});
    rig.connected();
    assert_eq!(rig.settle(), Step::Sleep);
    assert_eq!(rig.frames(), [(Kind::Heart, vec![])]);

    let mut rig = Rig::new(Protocol::V0, |config| (config.interval_ms, config.echo) = (0, 1));
    rig.connected();
    assert_eq!(rig.settle(), Step::Sleep);
    assert_eq!(rig.frames(), []);
    rig.feed_all(&[0; 16]);
    assert_eq!(rig.events(), [Told::Beat, Told::Beat]);
    assert_eq!(rig.settle(), Step::Sleep);
    assert_eq!(rig.kinds(), [Kind::Heart, Kind::Heart]);
}

#[test]
fn raw_bytes_go_both_ways_as_they_are() {
    let mut rig = Rig::new(Protocol::Raw, |_| {});
    rig.connected();
    assert_eq!(rig.settle(), Step::Sleep);
    assert_eq!(rig.send(b"get"), Status::OK);
    rig.settle();
    assert_eq!(rig.written, b"get");
    let bytes = data(b"x");
    rig.feed_all(&bytes);
    assert_eq!(rig.events(), [Told::Data(bytes)]);
}
