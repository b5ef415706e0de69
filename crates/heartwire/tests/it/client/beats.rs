//! When the client beats. The core's tests and the simulator hold the rest.

use std::time::Instant;

use heartwire::Policy;
use heartwire_testkit::{BEAT, ClientRig, Got, PATIENCE, beat, ms, policy};

#[test]
fn the_first_beat_comes_at_once_and_the_next_ones_each_interval() {
    let started = Instant::now();
    let (_rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(beat(100)));
    for n in 0..=5 {
        peer.expect_heart();
        let at = started.elapsed();
        assert!(at >= ms(100) * n, "beat {n} came {at:?} after the start");
    }
}

/// Nor behind what was accepted before it.
#[test]
fn a_question_does_not_wait_until_no_data_wait() {
    let judging = policy(200, 60_000);
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(judging));
    peer.expect_heart();
    let asked = std::thread::spawn(move || {
        let mut beats = 0;
        while beats < 3 {
            match peer.next() {
                Got::Heart => beats += 1,
                Got::Data(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    let started = Instant::now();
    while !asked.is_finished() {
        assert!(started.elapsed() < PATIENCE, "no beats come");
        // It is refused when the server has heard enough, and left.
        let _ = rig.send_within(PATIENCE, vec![1; 60_000]);
    }
    asked.join().unwrap();
}

#[test]
fn each_beat_of_the_server_is_answered_once() {
    let policy = Policy::builder().echo(true).build().unwrap();
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(policy));
    // It does not begin, because the server may echo too.
    for _ in 0..3 {
        peer.send(&BEAT);
        peer.expect_heart();
    }
    peer.send(&[BEAT, BEAT].concat());
    peer.expect_heart();
    peer.expect_heart();
    // And nothing else: the next frame is the one that is sent next.
    rig.send(b"end");
    peer.expect_data(b"end");
    drop(peer);
    assert_eq!(rig.expect_offline().beats, 5);
}
