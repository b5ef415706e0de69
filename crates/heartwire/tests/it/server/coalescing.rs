//! Beats stay in the kernel, and nothing else changes.
#![cfg(any(target_os = "linux", target_os = "android"))]

use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

use heartwire::server::{ServerConfig, SessionId};
use heartwire::{Policy, Reason, Violation};
use heartwire_testkit::{DATA, Peer, ServerRig, data, head, idle, limit, ms, pass, wait_until};

use super::config;

/// Enough beats for a session's whole life.
const ALL: u16 = 1_000;

/// A peer whose first beat has come, so that its socket has its mark.
#[track_caller]
fn connect(rig: &mut ServerRig) -> (Peer, SessionId) {
    let (mut peer, id) = rig.connect();
    peer.beat();
    wait_for_beats(rig, id, 1);
    (peer, id)
}

#[track_caller]
fn wait_for_beats(rig: &ServerRig, id: SessionId, beats: u32) {
    wait_until("the beats are seen", || rig.info(id).beats == beats);
}

fn coalesce(beats: u16) -> ServerConfig {
    config().coalesce(beats)
}

#[test]
fn a_beat_below_the_mark_wakes_nobody_and_costs_no_timer() {
    let mut rig = ServerRig::start(coalesce(ALL));
    let mut peers: Vec<_> = (0..8).map(|_| connect(&mut rig)).collect();
    let before = rig.stats();
    for _ in 0..100 {
        peers.iter_mut().for_each(|(peer, _)| peer.beat());
    }
    assert_eq!(rig.stats().timers, before.timers);
    // Asking costs turns too, so they are not counted here: whoever is woken by beats reads them.
    for info in rig.handle().list() {
        assert_eq!(info.beats, 1, "{info:?}");
    }
    // They were not lost: whatever wakes the shard brings them along.
    for (peer, id) in &mut peers {
        let long = vec![0; 8 * usize::from(ALL)];
        peer.data(&long);
        rig.expect_data(*id, &long);
        wait_for_beats(&rig, *id, 101);
    }
    rig.finish();
}

#[test]
fn data_with_a_body_wakes_at_once_by_default() {
    let mut rig = ServerRig::echo(config());
    let (mut peer, id) = connect(&mut rig);
    for _ in 0..10 {
        peer.data(b"!");
        rig.expect_data(id, b"!");
        peer.expect_data(b"!");
    }
    rig.finish();
}

/// The simulator holds the arithmetic; this holds that the kernel tells what it rests on.
#[test]
fn a_verdict_is_never_early_though_the_last_beats_woke_nobody() {
    const LIMIT: u64 = 2_000;
    let mut rig = ServerRig::start(coalesce(ALL).policy(limit(LIMIT)));
    let mut peers: Vec<_> = (0..20).map(|_| connect(&mut rig)).collect();
    let mut last_beat = HashMap::new();
    // They beat past their first deadlines, at all phases of the kernel's clock.
    for round in 0..90_u64 {
        for (index, (peer, id)) in (0_u64..).zip(&mut peers) {
            pass(Duration::from_micros(900 + 7 * (round + index)));
            last_beat.insert(*id, Instant::now());
            peer.beat();
        }
    }
    for _ in 0..2 * peers.len() {
        if let heartwire::server::Event::Offline { id, reason, .. } = rig.next() {
            let silence = last_beat[&id].elapsed();
            let verdict = heartwire_testkit::verdict_of(reason);
            assert!(silence >= ms(LIMIT), "early: {verdict}, {silence:?} after the last beat");
            assert!(verdict.silence <= silence, "a byte seems older than it is: {verdict}");
        }
    }
}

#[test]
fn a_breach_is_found_at_once_in_the_first_frame_and_at_the_deadline_after_it() {
    let mut rig = ServerRig::start(coalesce(ALL).policy(limit(3_000)));
    let (mut first, first_id) = rig.connect();
    let (mut late, late_id) = connect(&mut rig);
    for (peer, id) in [(&mut first, first_id), (&mut late, late_id)] {
        peer.send(&head(DATA, -1));
        let violation = Violation::NegativeLength { length: -1 };
        assert_eq!(rig.offline(id), Reason::Protocol(violation));
        peer.expect_end();
    }
    rig.finish();
}

#[test]
fn the_rest_of_a_frame_that_has_begun_wakes_at_once() {
    let mut rig = ServerRig::start(coalesce(4));
    let (mut peer, id) = connect(&mut rig);
    for _ in 0..3 {
        let frame = data(b"?");
        // The mark is 33: four beats and all of the head wake the shard, the body is one byte.
        peer.send(&[&[0; 32], &frame[..8]].concat());
        peer.send(&frame[8..]);
        rig.expect_data(id, b"?");
    }
    wait_for_beats(&rig, id, 13);
    rig.finish();
}

#[test]
fn an_end_is_noticed_below_the_mark() {
    let mut rig = ServerRig::start(coalesce(ALL));
    let (mut peer, id) = connect(&mut rig);
    peer.beat();
    drop(peer);
    let offline = rig.expect_offline(id);
    assert_eq!((offline.reason, offline.beats), (Reason::ClosedByPeer, 2));
    let (mut peer, id) = connect(&mut rig);
    peer.beat();
    peer.reset();
    assert_eq!(rig.offline(id), Reason::Reset);
    rig.finish();
}

#[test]
fn nothing_is_held_back_that_is_to_be_answered_or_that_no_deadline_would_look_for() {
    let rig = ServerRig::start(coalesce(ALL).policy(idle()));
    assert_eq!(rig.server().receive_mark(), 1);
    rig.finish();
    let policy = Policy::builder().limit(ms(60_000)).echo(true).build().unwrap();
    let mut rig = ServerRig::start(coalesce(ALL).policy(policy));
    assert_eq!(rig.server().receive_mark(), 1);
    let (mut peer, _) = rig.connect();
    for _ in 0..3 {
        peer.beat();
        peer.expect_heart();
    }
    // All in one read, half a beat behind them.
    peer.send(&[vec![0; 80], vec![0; 4]].concat());
    (0..10).for_each(|_| peer.expect_heart());
    peer.send(&[0; 4]);
    peer.expect_heart();
    rig.finish();
}
