//! When the client calls its server dead, and when it must not.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use heartwire::{Cause, Policy, Reason, Verdict};

use super::rig::{BEAT, Frame, Rig, beat, data_frame, limit, ms, pass};

#[track_caller]
pub(crate) fn verdict_of(reason: Reason) -> Verdict {
    match reason {
        Reason::Dead(verdict) => verdict,
        other => panic!("expected a verdict: {other}"),
    }
}

#[test]
fn a_silent_server_is_dead_after_the_limit_and_not_before() {
    for silence in [ms(2_000), ms(2_345)] {
        let (mut rig, _server, mut peer) = Rig::online(|config| config.policy(limit(silence)));
        let last_byte_at = Instant::now();
        peer.write(&BEAT);
        let offline = rig.expect_offline();
        assert!(last_byte_at.elapsed() >= silence);
        let verdict = verdict_of(offline.reason);
        assert_eq!(verdict.cause, Cause::Silence);
        assert_eq!(verdict.silence, silence + verdict.stalled + verdict.late.min(heartwire::TICK));
        assert_eq!(verdict.bound.unwrap().earliest, silence);
        assert_eq!(offline.beats, 1);
    }
}

#[test]
fn a_server_that_never_says_anything_is_dead_after_the_limit() {
    let started = Instant::now();
    let (mut rig, _server, _peer) = Rig::online(|config| config.policy(limit(ms(150))));
    verdict_of(rig.expect_offline().reason);
    assert!(started.elapsed() >= ms(150));
    rig.expect_waiting(1);
}

#[test]
fn a_server_that_wakes_after_its_verdict_finds_the_connection_reset() {
    // So nothing of it stays in the kernel, which would go on sending for a quarter of an hour.
    let (mut rig, _server, mut peer) = Rig::online(|config| config.policy(limit(ms(100))));
    peer.expect_beat();
    verdict_of(rig.expect_offline().reason);
    let error = peer.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn any_byte_is_life_whole_frame_or_not() {
    let silence = ms(2_000);
    let (mut rig, _server, mut peer) = Rig::online(|config| config.policy(limit(silence)));
    let frame = data_frame(b"drop by drop");
    let mut last_byte_at = Instant::now();
    for byte in &frame {
        last_byte_at = Instant::now();
        peer.write(&[*byte]);
        pass(silence / 10);
    }
    assert_eq!(rig.expect_data(), b"drop by drop");
    verdict_of(rig.expect_offline().reason);
    assert!(last_byte_at.elapsed() >= silence);
}

#[test]
fn what_the_client_sends_is_no_life_of_the_server() {
    let silence = ms(2_000);
    let policy = Policy::builder().beat(ms(20)).limit(silence).build().unwrap();
    let (mut rig, _server, mut peer) = Rig::online(|config| config.policy(policy));
    for _ in 0..4 {
        rig.send(b"anybody there?");
        while peer.read_frame() == Frame::Beat {}
    }
    let verdict = verdict_of(rig.expect_offline().reason);
    assert!(verdict.silence >= silence);
}

#[test]
fn a_write_never_delays_a_verdict() {
    let silence = ms(300);
    let policy = Policy::builder().beat(ms(20)).limit(silence).build().unwrap();
    let (mut rig, _server, peer) =
        Rig::online(|config| config.policy(policy).outbound_max(64 * 1024 * 1024));
    // More than the kernel takes: the socket is full, and stays so.
    for _ in 0..32 {
        rig.client().try_send(vec![7; 1024 * 1024]).unwrap();
    }
    let offline = rig.expect_offline();
    let verdict = verdict_of(offline.reason);
    assert!(verdict.silence >= silence);
    assert!(verdict.late < ms(1_000), "{verdict}");
    assert!(offline.unsent > 0);
    drop(peer);
}

#[test]
fn a_full_socket_gets_no_more_beats() {
    let (rig, _server, mut peer) =
        Rig::online(|config| config.policy(beat(ms(20))).outbound_max(64 * 1024 * 1024));
    peer.expect_beat();
    let body = vec![7; 32 * 1024 * 1024];
    rig.client().try_send(body.clone()).unwrap();
    // A hundred beats would fall due.
    pass(ms(2_000));
    let started = Instant::now();
    loop {
        match peer.read_frame() {
            Frame::Beat => {}
            Frame::Data(data) => break assert!(data == body),
            Frame::End => panic!("closed"),
        }
    }
    // What follows are the beats of the time from now on, and none from before.
    rig.send(b"next");
    let mut beats = 0;
    while peer.read_frame() == Frame::Beat {
        beats += 1;
    }
    let took = started.elapsed();
    assert!(beats < 50 + took.as_millis() / 20, "{beats} beats in {took:?}: some were waiting");
}
