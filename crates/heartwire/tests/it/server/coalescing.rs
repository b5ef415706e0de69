//! Beats stay in the kernel, and nothing else changes.
#![cfg(any(target_os = "linux", target_os = "android"))]

use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

use heartwire::Reason;
use heartwire::server::{ServerConfig, SessionId};
use heartwire_testkit::{Peer, ServerRig, ms, pass, timeout, wait_until};

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
fn a_beat_below_the_mark_wakes_no_shard_and_costs_no_timer() {
    let mut rig = ServerRig::start(coalesce(ALL));
    let mut peers: Vec<_> = (0..8).map(|_| connect(&mut rig)).collect();
    let before = rig.stats();
    for _ in 0..100 {
        peers.iter_mut().for_each(|(peer, _)| peer.beat());
    }
    assert_eq!(rig.stats().timers, before.timers);
    // Asking costs turns too, so they are not counted here: a server that beats wake reads them.
    for info in rig.handle().blocking_list() {
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

/// The simulator holds the arithmetic; this holds that the kernel tells what it rests on.
#[test]
fn a_verdict_is_never_early_though_the_last_beats_woke_no_shard() {
    const TIMEOUT: u64 = 2_000;
    let mut rig = ServerRig::start(coalesce(ALL).policy(timeout(TIMEOUT)));
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
            assert!(silence >= ms(TIMEOUT), "early: {verdict}, {silence:?} after the last beat");
            assert!(verdict.silence <= silence, "a byte seems older than it is: {verdict}");
        }
    }
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
