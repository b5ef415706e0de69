//! Coalescing: beats wait in the kernel below its low-water mark, and verdicts stay exact.

use heartwire_core::v1::{Hello, Offer};
use heartwire_core::{Cause, Policy, Violation};
use heartwire_testkit::{
    DATA, Got, HEART, beat_of, data, frame, header, hello, idle, ms, policy, timeout,
};

use super::{v0, v1};
use crate::Reason;
use crate::server::rig::Rig;
use crate::server::{Event, SessionId};
use crate::toy::Toy;

/// Enough beats for a session's whole life.
const ALL: u16 = 1_000;

#[test]
fn data_with_a_body_wakes_at_once_by_default_and_no_beat_does() {
    let mut rig = Rig::start(v0().coalesce(1));
    let (client, id) = rig.online();
    client.beat();
    rig.run();
    let turns = rig.turns(0);
    client.beat();
    rig.expect_nothing();
    assert_eq!(rig.turns(0), turns);
    client.data(b"!");
    rig.run();
    rig.expect_data(id, b"!");
    client.data(b"!");
    rig.run();
    rig.expect_data(id, b"!");
}

#[test]
fn a_breach_is_found_at_once_in_the_first_frame_and_at_the_deadline_after_it() {
    let mut rig = Rig::start(v0().coalesce(ALL).policy(timeout(3_000)));
    let ((first, first_id), (late, late_id)) = (rig.online(), rig.online());
    late.beat();
    rig.run();
    let breach = Reason::Protocol(Violation::NegativeLength { length: -1 });
    [&first, &late].iter().for_each(|client| client.send(&header(DATA, -1)));
    rig.run();
    assert_eq!(rig.offline(first_id).0, breach);
    rig.pass(ms(2_999));
    rig.expect_nothing();
    rig.pass(ms(5));
    assert_eq!(rig.offline(late_id).0, breach);
}

#[test]
fn the_rest_of_a_frame_that_has_begun_wakes_at_once() {
    let mut rig = Rig::start(v0().coalesce(4));
    let (client, id) = rig.online();
    client.beat();
    rig.run();
    for _ in 0..3 {
        assert_eq!(client.state().receive_mark, 33);
        // Four beats and all of the header wake the shard, the body is one byte.
        client.send(&[&[0; 32], &data(b"?")[..8]].concat());
        rig.run();
        client.send(b"?");
        rig.run();
        rig.expect_data(id, b"?");
    }
}

#[test]
fn coalescing_holds_nothing_back_with_echo_or_without_a_timeout() {
    let mut rig = Rig::start(v0().coalesce(ALL).policy(idle()));
    let (client, _) = rig.online();
    client.beat();
    rig.run();
    assert_eq!(client.state().receive_mark, 1);
    let echo = Policy::builder().timeout(ms(60_000)).echo(true).build().unwrap();
    let mut rig = Rig::start(v0().coalesce(ALL).policy(echo));
    let (client, _) = rig.online();
    // Half a beat behind them.
    for (beats, answers) in [(vec![0; 8], 1), (vec![0; 84], 10), (vec![0; 4], 1)] {
        client.send(&beats);
        rig.run();
        assert_eq!(client.got(), vec![Got::Heart; answers]);
    }
}

/// Before it beats, the server asks the kernel when it last heard the client, and reads nothing;
/// and it sets the session's timer for its next beat, once.
#[test]
fn a_beat_of_the_server_tells_its_silence_without_a_read_and_sets_one_timer() {
    let mut rig = Rig::start(v1().coalesce(ALL).policy(policy(200, 60_000)));
    let (client, _) = rig.welcomed(&hello());
    assert_eq!(client.state().receive_mark, 40 * usize::from(ALL) + 1);
    client.got();
    let (timers, mut came_early) = (rig.handle.stats().timers, false);
    for nonce in 1..=5 {
        rig.pass(ms(50));
        client.beat_with(|beat| beat.nonce = nonce);
        // Its next one comes 150 to 200 ms after the one before.
        let (mut passed, mut got) = (0, Vec::new());
        while got.is_empty() {
            assert!(passed < 155, "no beat");
            rig.pass(ms(1));
            (passed, got) = (passed + 1, client.got());
        }
        let [Got::Beat(beat)] = &got[..] else { panic!("{got:?}") };
        // Only the first one was read.
        let unread = 40 * usize::try_from(nonce - 1).unwrap();
        assert_eq!((beat.echo, client.state().inbound.len()), (1, unread));
        // The server's timer may be late by a jiffy of its own, and the kernel dates in jiffies.
        assert!(passed >= 100, "after {passed} ms");
        came_early |= passed < 145;
        assert!(beat.silence() <= ms(passed), "{beat:?}");
        assert!(beat.silence() + ms(15) >= ms(passed), "{beat:?} after {passed} ms");
    }
    assert_eq!(rig.handle.stats().timers - timers, 5);
    assert!(came_early, "its timer is set for the time that was drawn");
}

#[test]
fn a_beat_of_the_server_gives_back_the_newest_beat_that_was_read() {
    let mut rig = Rig::start(v1().coalesce(2).policy(policy(200, 60_000)));
    let (client, _) = rig.welcomed(&hello());
    let mut echoes = Vec::new();
    for nonce in 1..=6 {
        client.beat_with(|beat| beat.nonce = nonce);
        rig.pass(ms(200));
        let got = client.got();
        let Some(Got::Beat(beat)) = got.last() else { panic!("{got:?}") };
        echoes.push(beat.echo);
    }
    assert_eq!(echoes, [1, 1, 1, 4, 4, 4]);
}

/// How long ago a frame came is not known if another came with it, after a while without a read.
#[test]
fn a_beat_of_the_server_gives_back_the_second_one_if_the_first_came_with_data() {
    let mut rig = Rig::start(v1().coalesce(ALL).policy(policy(200, 60_000)));
    let (client, _) = rig.welcomed(&hello());
    rig.pass(ms(100));
    client.send(&[frame(HEART, &beat_of(1).encode()), data(b"!")].concat());
    let mut echoes = Vec::new();
    for nonce in 2..=4 {
        rig.pass(ms(200));
        let got = client.got();
        let Some(Got::Beat(beat)) = got.last() else { panic!("{got:?}") };
        echoes.push(beat.echo);
        client.beat_with(|beat| beat.nonce = nonce);
    }
    assert_eq!(echoes, [0, 2, 2]);
}

#[test]
fn a_client_whose_beats_were_not_read_is_declared_dead_when_it_falls_silent() {
    let mut rig = Rig::start(v1().coalesce(ALL).policy(policy(200, 1_000)));
    let (client, id) = rig.welcomed(&hello());
    for nonce in 1..=15 {
        client.beat_with(|beat| beat.nonce = nonce);
        rig.pass(ms(200));
    }
    rig.expect_nothing();
    // The last one came 200 ms ago.
    rig.pass(ms(799));
    rig.expect_nothing();
    rig.pass(ms(20));
    let Event::Verdict { verdict, .. } = rig.next() else { panic!("no verdict") };
    assert_eq!(verdict.cause, Cause::Silence);
    let (_, beats) = rig.offline(id);
    assert_eq!(beats, 15, "it was read before the verdict");
    let gap = rig.handle.histograms().gap;
    assert!(gap.count() >= 14 && gap.quantile(1000) <= Some(ms(250)), "{gap:?}");
}

/// Its beats arrive, and say that the server's do not: the server must find it after both timeouts,
/// of a second each. The server looks each `step` milliseconds, and the client sends a beat when
/// `sends` says so, by how many milliseconds it has not heard the server.
#[track_caller]
fn expect_found_unheard(mut rig: Rig, client: &Toy, step: u64, sends: impl Fn(u32) -> bool) {
    let since = rig.toy.now();
    while rig.inbox().events.is_empty() {
        rig.pass(ms(step));
        let silence = rig.toy.now().saturating_since(since);
        assert!(silence <= ms(2_100), "no verdict");
        let silence_ms = u32::try_from(silence.as_millis()).unwrap();
        if sends(silence_ms) {
            client.beat_with(|beat| {
                (beat.nonce, beat.promise_ms, beat.silence_ms) = (1, 200, silence_ms);
            });
        }
    }
    let Event::Verdict { verdict, .. } = rig.next() else { panic!("no verdict") };
    assert_eq!((verdict.cause, verdict.silence >= ms(2_000)), (Cause::Unheard, true));
}

/// A server and a client that both have a timeout of a second.
fn both_judge() -> (Rig, Toy, SessionId) {
    let mut rig = Rig::start(v1().coalesce(ALL).policy(policy(200, 1_000)));
    let (client, id) = rig.welcomed(&Hello::new(Offer::new(&policy(200, 1_000))).encode());
    (rig, client, id)
}

#[test]
fn a_client_that_does_not_hear_the_server_is_found_in_time_though_its_beats_wake_no_shard() {
    let (rig, client, _) = both_judge();
    expect_found_unheard(rig, &client, 40, |silence_ms| silence_ms % 200 == 0);
}

/// A socket that takes nothing more gets no beats, so the shard looks at its client only when that
/// may have fallen silent.
#[test]
fn a_client_that_does_not_hear_the_server_is_found_in_time_though_its_socket_is_full() {
    let (rig, client, id) = both_judge();
    client.state().room = 0;
    rig.handle.send(id, b"more than it takes").unwrap();
    expect_found_unheard(rig, &client, 50, |silence_ms| silence_ms % 550 == 150);
}
