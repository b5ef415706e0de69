//! Beats stay in the kernel, and nothing else changes.
#![cfg(any(target_os = "linux", target_os = "android"))]

use core::time::Duration;
use std::collections::HashMap;
use std::time::Instant;

use heartwire::server::{Event, ServerConfig, SessionId, Stats};
use heartwire::{Policy, Reason, Violation};

use crate::peer::{OTHER, PATIENCE, Peer, data, head, ms, pass};
use crate::rig::{Rig, config, limit};

/// Enough beats for a session's whole life.
const ALL: u16 = 1_000;

/// A peer whose first beat has come, so that its socket has its mark.
#[track_caller]
fn connect(rig: &mut Rig) -> (Peer, SessionId) {
    let (mut peer, id) = rig.connect();
    peer.beat();
    wait_for_beats(rig, id, 1);
    (peer, id)
}

#[track_caller]
fn wait_for_beats(rig: &Rig, id: SessionId, beats: u32) {
    let started = Instant::now();
    let seen = || rig.handle().list().iter().find(|info| info.id == id).map(|info| info.beats);
    while seen() != Some(beats) {
        assert!(started.elapsed() < PATIENCE, "only {:?} beats of {beats} were seen", seen());
    }
}

/// What was counted once all that the only shard had begun is over. A turn is counted when it has ended,
/// and one that was under way may not have seen what happened before: the one after it has.
#[track_caller]
fn settled(rig: &Rig) -> Stats {
    rig.turn();
    rig.stats()
}

fn coalesce(beats: u16) -> ServerConfig {
    config().coalesce(beats)
}

#[test]
fn a_beat_below_the_mark_wakes_nobody_and_costs_no_timer() {
    let mut rig = Rig::start(coalesce(ALL));
    let mut peers: Vec<_> = (0..8).map(|_| connect(&mut rig)).collect();
    let before = settled(&rig);
    for _ in 0..100 {
        for (peer, _) in &mut peers {
            peer.beat();
        }
    }
    let after = settled(&rig);
    assert_eq!(after.timers, before.timers);
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
fn by_default_every_second_beat_costs_a_turn_and_none_a_timer() {
    let mut rig = Rig::start(config());
    let (mut peer, id) = connect(&mut rig);
    let before = settled(&rig);
    for beats in (3..=101).step_by(2) {
        peer.beat();
        peer.beat();
        // Looking costs turns too, so they cannot be counted here.
        wait_for_beats(&rig, id, beats);
    }
    assert_eq!(rig.stats().timers, before.timers);
    rig.finish();
}

#[test]
fn data_with_a_body_wakes_at_once_by_default() {
    let mut rig = Rig::echo(config());
    let (mut peer, id) = connect(&mut rig);
    for _ in 0..10 {
        peer.data(b"!");
        rig.expect_data(id, b"!");
        peer.expect_data(b"!");
    }
    rig.finish();
}

#[test]
fn a_verdict_is_never_early_though_the_last_beats_woke_nobody() {
    const LIMIT: u64 = 2_000;
    let mut rig = Rig::start(coalesce(ALL).policy(limit(LIMIT)));
    let mut peers: Vec<_> = (0..40).map(|_| connect(&mut rig)).collect();
    let mut last_beat = HashMap::new();
    // They beat past their first deadlines, at all phases of the kernel's clock.
    for round in 0..60_u64 {
        for (index, (peer, id)) in (0_u64..).zip(&mut peers) {
            pass(Duration::from_micros(900 + 7 * (round + index)));
            last_beat.insert(*id, Instant::now());
            peer.beat();
        }
    }
    let mut verdicts = 0;
    while verdicts < peers.len() {
        if let Event::Verdict { id, verdict, .. } = rig.next() {
            let silence = last_beat[&id].elapsed();
            assert!(silence >= ms(LIMIT), "early: {verdict}, {silence:?} after the last beat");
            assert!(verdict.silence <= silence, "a byte seems older than it is: {verdict}");
            assert_eq!(
                verdict.silence,
                ms(LIMIT) + verdict.stalled + verdict.late.min(heartwire::TICK)
            );
            assert!(verdict.late < ms(1_000), "late: {verdict}");
            verdicts += 1;
        }
    }
}

#[test]
fn a_breach_found_late_is_still_a_breach() {
    let mut rig = Rig::start(config().policy(limit(3_000)));
    let (mut peer, id) = connect(&mut rig);
    let sent_at = Instant::now();
    peer.send(&head(OTHER, -1));
    let reason = rig.expect_offline(id).reason;
    assert_eq!(reason, Reason::Protocol(Violation::NegativeLength { length: -1 }));
    // That is 3 s after the last bytes that it read.
    assert!(sent_at.elapsed() >= ms(500), "it should have waited for the deadline");
    peer.expect_end();
    rig.finish();
}

#[test]
fn a_breach_in_the_first_frame_is_found_at_once() {
    let mut rig = Rig::start(coalesce(ALL));
    let (mut peer, id) = rig.connect();
    peer.send(&head(OTHER, -1));
    let reason = rig.expect_offline(id).reason;
    assert_eq!(reason, Reason::Protocol(Violation::NegativeLength { length: -1 }));
    rig.finish();
}

#[test]
fn the_rest_of_a_frame_that_has_begun_wakes_at_once() {
    let mut rig = Rig::start(coalesce(4));
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
    let mut rig = Rig::start(coalesce(ALL));
    let (mut peer, id) = connect(&mut rig);
    peer.beat();
    drop(peer);
    let offline = rig.expect_offline(id);
    assert_eq!((offline.reason, offline.beats), (Reason::ClosedByPeer, 2));
    let (mut peer, id) = connect(&mut rig);
    peer.beat();
    peer.reset();
    assert_eq!(rig.expect_offline(id).reason, Reason::Reset);
    rig.finish();
}

#[test]
fn beats_that_are_to_be_answered_are_not_held_back() {
    let policy = Policy::builder().limit(ms(60_000)).echo(true).build().unwrap();
    let mut rig = Rig::start(coalesce(ALL).policy(policy));
    assert_eq!(rig.server().receive_mark(), 1);
    let (mut peer, _) = rig.connect();
    for _ in 0..3 {
        peer.beat();
        peer.expect_beat();
    }
    rig.finish();
}

#[test]
fn nothing_is_held_back_where_no_deadline_would_look_for_it() {
    let rig = Rig::start(coalesce(ALL).policy(Policy::builder().build().unwrap()));
    assert_eq!(rig.server().receive_mark(), 1);
    rig.finish();
}
