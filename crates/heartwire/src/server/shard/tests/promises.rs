//! Promises: intervals that change during a connection; and clients' health.

use core::time::Duration;

use heartwire_core::v1::{ByeCode, Health, Offer};
use heartwire_core::{Cause, Violation};
use heartwire_testkit::{Got, HEART, beat_of, data, frame, hello, ms, policy, timeout};

use super::v1;
use crate::Reason;
use crate::server::rig::Rig;
use crate::server::{Event, SessionId};
use crate::toy::Toy;

#[track_caller]
fn promised(rig: &mut Rig, client: &Toy, promise_ms: u32) -> (Duration, Duration) {
    client.beat_with(|beat| beat.promise_ms = promise_ms);
    rig.run();
    let event = rig.next();
    let Event::Promise { interval: beat, timeout: Some(timeout), .. } = event else {
        panic!("{event:?}")
    };
    (beat, timeout)
}

#[track_caller]
fn expect_health(rig: &mut Rig, of: SessionId, as_told: Health) {
    assert_eq!(rig.next(), Event::Health { id: of, health: as_told });
}

/// The server sends no beats of its own, so that nothing else has it look at this session.
#[test]
fn a_longer_promise_moves_the_verdict_back_and_a_shorter_one_forward() {
    let mut rig = Rig::start(v1().policy(timeout(2_000)));
    let (client, id) = rig.welcomed(&hello());
    assert_eq!(promised(&mut rig, &client, 10_000), (ms(10_000), ms(20_000)));
    rig.pass(ms(19_999));
    // As often as it has to at least.
    assert_eq!(promised(&mut rig, &client, 200), (ms(667), ms(2_000)));
    rig.pass(ms(1_999));
    rig.expect_nothing();
    rig.pass(ms(101));
    assert_eq!(rig.verdict(id).bound.unwrap().earliest, ms(2_000));
}

/// A promise that shortens the timeout of a server can make a client deaf at once. While data that
/// came with it are handed over, its connection does not tell of that.
#[test]
fn a_promise_in_front_of_data_can_make_a_client_deaf_at_once() {
    let mut rig = Rig::start(v1().policy(policy(20_000, 60_000)));
    let (client, id) = rig.welcomed(&hello());
    assert_eq!(promised(&mut rig, &client, 60_000), (ms(60_000), ms(120_000)));
    let deaf = |silence_ms, promise_ms| {
        let mut beat = beat_of(1);
        (beat.silence_ms, beat.promise_ms) = (silence_ms, promise_ms);
        frame(HEART, &beat.encode())
    };
    rig.pass(ms(60_000));
    client.send(&deaf(60_000, 60_000));
    // The server's own next beat is 15 s away.
    rig.pass(ms(65_000));
    client.send(&[deaf(125_000, 100), data(b"behind it")].concat());
    rig.run();
    assert!(matches!(rig.next(), Event::Promise { .. }));
    rig.expect_data(id, b"behind it");
    rig.pass(crate::TICK);
    assert_eq!(rig.verdict(id).cause, Cause::Unheard);
}

#[test]
fn a_promise_beyond_the_max_timeout_is_a_breach_and_one_below_the_min_interval_is_not() {
    let ours = policy(100, 400);
    let offer = Offer::new(&ours).max_timeout(ms(10_000));
    let mut rig = Rig::start(v1().policy(ours).offer(offer));
    let (client, id) = rig.welcomed(&hello());
    client.beat_with(|beat| beat.promise_ms = 1);
    assert_eq!(promised(&mut rig, &client, 5_000), (ms(5_000), ms(10_000)));
    client.beat_with(|beat| beat.promise_ms = 5_001);
    rig.run();
    let breach = Violation::PromiseTooLong { promise: ms(5_001), max: ms(5_000) };
    assert_eq!(rig.offline(id).0, Reason::Protocol(breach));
    let got = client.got_but_beats();
    let [Got::Bye(ByeCode::Protocol, _, detail)] = &got[..] else { panic!("{got:?}") };
    assert!(detail.contains("5s"), "{detail}");
}

#[test]
fn a_client_that_says_how_it_is_is_told_of_when_that_changes() {
    let mut rig = Rig::start(v1());
    let (client, id) = rig.welcomed(&hello());
    for health in [Health::Draining, Health::Degraded, Health::Ok] {
        for _ in 0..2 {
            client.beat_with(|beat| beat.health = health);
            rig.run();
        }
        expect_health(&mut rig, id, health);
        rig.expect_nothing();
    }
}
