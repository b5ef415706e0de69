//! When the client beats.

use std::time::Instant;

use heartwire::{Policy, Wire};

use super::rig::{BEAT, Frame, GIVE_UP, Rig, beat, idle, limit, ms, pass};

#[test]
fn the_first_beat_comes_at_once_and_the_next_ones_each_interval() {
    let interval = ms(100);
    let started = Instant::now();
    let (_rig, _server, mut peer) = Rig::online(|config| config.policy(beat(interval)));
    peer.expect_beat();
    for n in 1..=5 {
        let at = peer.expect_beat();
        assert!(at - started >= interval * n, "beat {n} came {:?} after the start", at - started);
    }
}

#[test]
fn the_first_beat_does_not_wait_for_the_interval() {
    // Which is longer than a test waits.
    let (_rig, _server, mut peer) = Rig::online(|config| config.policy(beat(2 * GIVE_UP)));
    peer.expect_beat();
}

#[test]
fn without_an_interval_there_is_only_the_first_beat() {
    let (rig, _server, mut peer) = Rig::online(|config| config.policy(limit(ms(60_000))));
    peer.expect_beat();
    pass(ms(100));
    rig.send(b"next");
    peer.expect_data(b"next");
}

fn judging() -> Policy {
    Policy::builder().beat(ms(200)).limit(ms(60_000)).build().unwrap()
}

/// A client sends `data` to a server that says nothing, each time that `next` returns, until a few beats
/// have come nevertheless.
fn beats_while_data_flows(policy: Policy, data: &[u8], next: impl Fn()) {
    let (rig, _server, mut peer) = Rig::online(|config| config.policy(policy));
    peer.expect_beat();
    let asked = std::thread::spawn(move || {
        let mut beats = 0;
        while beats < 3 {
            match peer.read_frame() {
                Frame::Beat => beats += 1,
                Frame::Data(_) => pass(ms(1)),
                Frame::End => panic!("an end"),
            }
        }
    });
    let started = Instant::now();
    while !asked.is_finished() {
        assert!(started.elapsed() < GIVE_UP, "no beats come");
        // It is refused when the server has heard enough, and left.
        let _ = rig.client().send_timeout(data.to_vec(), GIVE_UP);
        next();
    }
    asked.join().unwrap();
}

#[test]
fn a_server_that_is_silent_is_asked_while_data_flows() {
    beats_while_data_flows(judging(), b"data", || pass(ms(20)));
}

/// The tutorial's server counts nothing but beats.
#[test]
fn a_server_that_alone_judges_gets_beats_while_data_flows() {
    beats_while_data_flows(beat(ms(200)), b"data", || pass(ms(20)));
}

#[test]
fn a_question_does_not_wait_until_no_data_wait() {
    beats_while_data_flows(judging(), &[1; 60_000], || {});
}

#[test]
fn each_beat_of_the_server_is_answered_once() {
    let policy = Policy::builder().echo(true).build().unwrap();
    let (mut rig, _server, mut peer) = Rig::online(|config| config.policy(policy));
    // It does not begin, because the server may echo too.
    for _ in 0..3 {
        peer.write(&BEAT);
        peer.expect_beat();
    }
    peer.write(&[BEAT, BEAT].concat());
    peer.expect_beat();
    peer.expect_beat();
    // And nothing else: the next frame is the one that is sent next.
    rig.send(b"end");
    peer.expect_data(b"end");
    drop(peer);
    assert_eq!(rig.expect_offline().beats, 5);
}

#[test]
fn without_echo_no_beat_is_answered() {
    let (mut rig, _server, mut peer) = Rig::online(|config| config.policy(idle()));
    peer.expect_beat();
    peer.write(&BEAT);
    peer.write(&super::rig::data_frame(b"seen?"));
    assert_eq!(rig.expect_data(), b"seen?");
    rig.send(b"seen");
    peer.expect_data(b"seen");
}

#[test]
fn a_wire_without_heads_has_no_beats() {
    let (rig, _server, mut peer) =
        Rig::online(|config| config.wire(Wire::Raw).policy(beat(ms(20))));
    pass(ms(100));
    rig.send(b"raw");
    assert_eq!(peer.read(3), b"raw");
}

#[test]
fn beats_do_not_depend_on_the_application() {
    let (rig, _server, mut peer) = Rig::online(|config| config.policy(beat(ms(20))));
    // Nobody takes events or sends anything, and then nobody even could.
    for _ in 0..5 {
        peer.expect_beat();
    }
    drop(rig.client().clone());
    for _ in 0..5 {
        peer.expect_beat();
    }
}
