//! The contents of v1 beats. The test is the server.

use crate::client::V1;
use heartwire_core::Cause;
use heartwire_core::frame::Kind;
use heartwire_core::internal::codec;
use heartwire_core::internal::v1::{BEAT_LEN, Beat};
use heartwire_core::v1::Health;

use super::*;

const BEAT: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_millis(2_500);
const MESSAGE: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];

/// One that was welcomed, and whose first beat was written.
fn welcomed(change: impl FnOnce(ClientConfig) -> ClientConfig) -> Rig {
    let policy = Policy::builder().interval(BEAT).timeout(SILENCE).build().unwrap();
    let mut rig = Rig::of(&change(ClientConfig::new("").policy(policy)));
    let offer = Offer::new(&policy);
    rig.toy.send(&Welcome::new(1, 0, Terms::new(offer).agree(&offer).unwrap()).encode());
    rig.wait();
    rig.wait();
    rig.application.names();
    rig.toy.take_written();
    rig
}

/// Beats are all that was written since the last call.
fn beats(rig: &Rig) -> Vec<Beat> {
    let written = rig.toy.take_written();
    let frames = written.chunks_exact(HEADER_LEN + BEAT_LEN);
    assert_eq!(
        frames.remainder(),
        [0; 0],
        "the server reads each byte at once, so that none needs padding"
    );
    frames.map(|frame| Beat::decode(frame[HEADER_LEN..].try_into().unwrap())).collect()
}

/// The next one that is like that, with time passing.
fn next_beat(rig: &mut Rig, is_it: impl Fn(&Beat) -> bool) -> Beat {
    for _ in 0..100 {
        if let Some(beat) = beats(rig).into_iter().find(|beat| is_it(beat)) {
            return beat;
        }
        rig.until_timer();
    }
    panic!("it does not come")
}

fn send(rig: &Rig, change: impl FnOnce(&mut Beat)) {
    let mut beat = Beat { nonce: 1, promise_ms: 100, ..Beat::decode(&[0; BEAT_LEN]) };
    change(&mut beat);
    rig.toy.send(&[&codec::header(Kind::Heart, BEAT_LEN).unwrap()[..], &beat.encode()].concat());
}

/// The server beats, and so does the client, whose application takes nothing: with this done each
/// time. Returns the longest silence that the client tells of.
fn longest_silence(mut done: impl FnMut(&mut Rig)) -> Duration {
    let mut rig = welcomed(|config| config);
    let _room = rig.application.leave_room(0);
    rig.toy.send(&MESSAGE);
    let mut longest = 0;
    for nonce in 1..100 {
        send(&rig, |beat| beat.nonce = nonce);
        done(&mut rig);
        assert!(matches!(rig.until_timer(), Step::Wait(_)), "what waits is life");
        longest = beats(&rig).iter().map(|beat| beat.silence_ms).max().unwrap_or(0).max(longest);
    }
    ms(longest.into())
}

#[test]
fn a_client_with_a_slow_application_says_that_it_hears_the_server() {
    assert!(longest_silence(|_| {}) <= BEAT);
}

/// Such beats come before any is due.
#[test]
fn so_do_beats_that_bring_news() {
    let mut promises = [ms(1000), ms(1100)].into_iter().cycle();
    let silence = longest_silence(|rig| {
        rig.application.client.promise(promises.next());
        rig.wait();
    });
    assert!(silence <= BEAT * 11, "{silence:?}");
}

/// Each pause puts off the client's own verdict, and with it the look at what waits unread.
#[test]
fn so_do_those_after_a_pause() {
    let silence = longest_silence(|rig| rig.toy.pass(ms(500)));
    assert!(silence <= BEAT + ms(500), "{silence:?}");
}

#[test]
fn an_application_that_does_not_check_in_is_degraded_until_it_does() {
    // Not when a beat is due anyway.
    let within = BEAT * 20 + BEAT / 2;
    let mut rig = welcomed(|config| config.v1(V1::default().watchdog(within)));
    rig.app.controls.feed_watchdog(rig.toy.now());
    let health = |rig: &mut Rig| {
        let fed_at = rig.toy.now();
        for _ in 0..100 {
            send(rig, |_| {});
            assert!(matches!(rig.until_timer(), Step::Wait(_)));
            let is_degraded = beats(rig).iter().any(|beat| beat.health == Health::Degraded);
            if is_degraded {
                return rig.toy.now().saturating_since(fed_at);
            }
        }
        panic!("it never says so")
    };
    assert_eq!(health(&mut rig), within);
    let wait = rig.wait();
    assert!(wait.until > Some(rig.toy.now()), "its timer does not spin: {wait:?}");
    rig.app.controls.feed_watchdog(rig.toy.now());
    rig.wait();
    let told: Vec<Health> = beats(&rig).iter().map(|beat| beat.health).collect();
    assert_eq!(told, [Health::Ok], "at once, and once");
    assert_eq!(health(&mut rig), within, "and again");
}

/// A server sends away a client that beats more than twice as often as agreed for long.
#[test]
fn an_application_that_changes_its_mind_all_the_time_does_not_make_its_client_beat_too_often() {
    for what in ["a promise", "its health"] {
        let is_promise = what == "a promise";
        let mut rig =
            welcomed(
                |config| if is_promise { config } else { config.v1(V1::default().watchdog(ms(1))) },
            );
        let mut written = 0;
        for change in 0..1_000_u64 {
            if is_promise {
                rig.application.client.promise((change % 2 == 0).then(|| ms(1000 + change % 7)));
            } else {
                rig.app.controls.feed_watchdog(rig.toy.now());
            }
            rig.wait();
            rig.toy.pass(ms(3));
            // A check-in is too late for the one before it.
            rig.wait();
            if change % 33 == 0 {
                send(&rig, |_| {});
            }
            written += beats(&rig).len();
        }
        // 3 s: a beat for each 75 to 100 ms, a change for each 100 ms, and 16 changes that may come
        // at once.
        assert!((40..=40 + 30 + 16).contains(&written), "{what}: {written} beats");
        if is_promise {
            rig.application.client.promise(Some(ms(5_000)));
            next_beat(&mut rig, |beat| beat.promise_ms == 5_000);
        }
    }
}

#[test]
fn a_server_that_beats_far_too_often_is_told_so() {
    let mut rig = welcomed(|config| config);
    (1..400).for_each(|nonce| send(&rig, |beat| beat.nonce = nonce));
    rig.wait();
    let bye = rig.toy.take_written();
    assert_eq!(Bye::decode(&bye[HEADER_LEN..]).unwrap().code, ByeCode::TooFast);
    assert_eq!(rig.end().reason, Reason::Protocol(Violation::TooFast));
}

/// After how long a client calls a server deaf that says so and gives no verdict, if its
/// application promises this in turn.
fn called_deaf_after(rig: &mut Rig, promises: &[Duration]) -> Duration {
    let unheard_since = rig.toy.now();
    let mut promises = promises.iter().cycle();
    for nonce in 1..1_000 {
        rig.toy.pass(BEAT);
        let unheard = rig.toy.now().saturating_since(unheard_since);
        let silence_ms = unheard.as_millis().try_into().unwrap();
        send(rig, |beat| (beat.nonce, beat.silence_ms) = (nonce, silence_ms));
        rig.application.client.promise(promises.next().copied());
        if let Step::Over(end) = rig.driver.step(&mut rig.app) {
            assert!(
                matches!(&end.reason, Reason::Dead(verdict) if verdict.cause == Cause::Unheard),
                "{end:?}"
            );
            return unheard;
        }
    }
    panic!("no verdict")
}

#[test]
fn a_promise_that_waits_for_the_socket_puts_no_verdict_off() {
    let mut rig = welcomed(|config| config);
    rig.toy.state().room = 0;
    assert_eq!(called_deaf_after(&mut rig, &[ms(1_000), ms(200)]), SILENCE * 2);
}

#[test]
fn one_that_was_written_does() {
    let mut rig = welcomed(|config| config);
    // The server waits for two beats then.
    assert_eq!(called_deaf_after(&mut rig, &[ms(5_000)]), ms(10_000) + SILENCE);
}

/// What it said last waits for the application, and not in the socket.
#[test]
fn a_server_that_hears_its_client_behind_data_is_not_called_deaf() {
    let mut rig = welcomed(|config| config);
    let deaf_for = (1..).map(|beats| BEAT * beats).take_while(|&silence| silence < SILENCE * 2);
    for (nonce, silence) in (1..).zip(deaf_for) {
        rig.toy.pass(BEAT);
        let silence_ms = silence.as_millis().try_into().unwrap();
        send(&rig, |beat| (beat.nonce, beat.silence_ms) = (nonce, silence_ms));
        rig.wait();
    }
    rig.toy.pass(BEAT);
    let _room = rig.application.leave_room(1);
    rig.toy.send(&MESSAGE);
    send(&rig, |beat| beat.nonce = 1_000);
    assert!(rig.wait().room, "it is read, and waits");
    let ended_by = |step| match step {
        Step::Over(End { reason: Reason::Dead(verdict), .. }) => Some(verdict.cause),
        Step::Over(end) => panic!("{end:?}"),
        Step::Wait(_) => None,
    };
    let cause = (0..100).find_map(|_| ended_by(rig.until_timer()));
    assert_eq!(cause, Some(Cause::Silence), "it died then, and is declared dead in time");
}

#[test]
fn unheard_grows_with_time() {
    let mut rig = welcomed(|config| config);
    let last = next_beat(&mut rig, |_| true);
    send(&rig, |beat| (beat.nonce, beat.echo) = (1_000, last.nonce));
    rig.wait();
    let unheard = |rig: &Rig| rig.app.controls.link_state(rig.toy.now()).unwrap().unheard;
    let before = unheard(&rig);
    rig.toy.pass(ms(800));
    assert_eq!(unheard(&rig), before + ms(800));
}

/// Bytes that arrived during a pause count from their arrival, not from when they were read.
#[test]
fn a_pause_of_its_own_is_in_no_round_trip() {
    let mut rig = welcomed(|config| config);
    for (nonce, pause) in [(1_000, ms(1_000)), (2_000, ms(2_000))] {
        let last = next_beat(&mut rig, |_| true);
        // The way there and back takes nothing.
        send(&rig, |beat| (beat.nonce, beat.echo, beat.held_us) = (nonce, last.nonce, 0));
        rig.toy.pass(pause);
        rig.wait();
        let rtt = rig.app.controls.link_state(rig.toy.now()).unwrap().rtt.unwrap();
        assert!(rtt <= ms(20), "a pause of {pause:?} made it {rtt:?}");
        let held_us = next_beat(&mut rig, |beat| beat.echo == nonce).held_us;
        let held = Duration::from_micros(held_us.into());
        // The kernel dates in jiffies.
        assert!(held + ms(20) >= pause, "{held:?} of {pause:?}");
    }
}

#[test]
fn a_server_that_says_how_it_is_is_told_of_when_that_changes() {
    let mut rig = welcomed(|config| config);
    for told in [&["health"][..], &[]] {
        send(&rig, |beat| beat.health = Health::Draining);
        rig.wait();
        assert_eq!(rig.application.names(), told);
    }
    send(&rig, |beat| beat.too_fast = true);
    rig.wait();
    assert_eq!(rig.application.names(), ["health", "too_fast"]);
}
