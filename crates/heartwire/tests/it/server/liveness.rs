//! When a client is called dead, and when it is not: that the shard, its poller and the kernel do
//! what the core decides. Everything about *when* is in the simulator.

use core::time::Duration;
use std::time::Instant;

use heartwire::server::{Control, Event};
use heartwire::{Cause, Reason, TICK};
use heartwire_testkit::{Beating, End, Gate, Got, Peer, ServerRig, limit, ms, policy};

use super::config;

#[test]
fn a_client_that_never_speaks_is_called_dead_within_its_bound_whatever_it_is_sent() {
    let mut rig = ServerRig::start(config().policy(policy(40, 200)));
    let connecting = Instant::now();
    let (mut peer, id) = rig.connect();
    assert_eq!(rig.expect_verdict(id, 200, connecting).cause, Cause::Silence);
    // It got beats, and then a reset.
    assert_eq!(peer.expect_end(), End::Reset);
    assert_eq!(rig.stats().dead, 1);
    rig.finish();
}

/// Several limits: the deadline has to be set anew each time.
#[test]
fn a_client_that_falls_silent_is_called_dead_within_its_bound_of_its_last_byte() {
    let mut rig = ServerRig::start(config().policy(limit(2_000)));
    let (peer, id) = rig.connect();
    let beating = peer.beat_every(ms(40));
    rig.expect_quiet(ms(4_500));
    let mut peer = beating.stop();
    let silent_since = Instant::now();
    peer.beat();
    rig.expect_verdict(id, 2_000, silent_since);
    rig.finish();
}

/// Its answers are so short that they wait in the server's kernel until the next one comes.
#[test]
fn a_client_that_only_answers_stays_while_it_is_sent_data() {
    let mut rig = ServerRig::start(config().policy(policy(500, 2_000)));
    let (mut peer, id) = rig.connect();
    let answering = std::thread::spawn(move || {
        // Two limits at least: beats of the server are half a second apart.
        for _ in 0..9 {
            while matches!(peer.next(), Got::Data(_)) {}
            peer.beat();
        }
        peer
    });
    while !answering.is_finished() {
        rig.handle().send(id, b"news").unwrap();
        rig.expect_quiet(ms(50));
    }
    // With news unread, perhaps.
    drop(answering.join().unwrap());
    let reason = rig.offline(id);
    assert!(matches!(reason, Reason::ClosedByPeer | Reason::Reset), "{reason}");
    rig.finish();
}

/// A handler that waits at `gate` when it is told to.
fn hold(gate: &Gate) -> impl FnMut(&Event<&[u8]>, &mut Control<'_>) + Clone + Send + 'static {
    let gate = gate.clone();
    move |event, _| {
        if let Event::Data { data: b"hold", .. } = event {
            gate.pass();
        }
    }
}

/// The shard is busy over a client's deadline, but not for so long that it is a stall, and the
/// client's beat comes meanwhile.
#[test]
fn bytes_that_are_in_the_socket_outrank_a_deadline() {
    const LIMIT: u64 = 2_000;
    let gate = Gate::default();
    let mut rig = ServerRig::acting(config().policy(limit(LIMIT)), hold(&gate));
    let (mut other, other_id) = rig.connect();
    let (mut holder, holder_id) = rig.connect();
    holder.data(b"hold");
    rig.expect_data(holder_id, b"hold");
    rig.expect_quiet(ms(LIMIT / 2));
    other.beat();
    rig.expect_quiet(ms(LIMIT / 2 + 80));
    let silent_since = Instant::now();
    other.beat();
    holder.beat();
    gate.let_one_pass();
    let mut ends = Vec::new();
    while ends.len() < 2 {
        match rig.next() {
            Event::Verdict { verdict, .. } => {
                assert!(silent_since.elapsed() >= ms(LIMIT), "early: {verdict}");
            }
            Event::Offline { id, .. } => ends.push(id),
            event => panic!("{event:?}"),
        }
    }
    assert!(ends.contains(&holder_id) && ends.contains(&other_id));
    rig.finish();
}

#[test]
fn a_shard_that_stood_still_says_so_and_calls_no_beating_client_dead() {
    const LIMIT: u64 = 2_000;
    let gate = Gate::default();
    let mut rig = ServerRig::acting(config().policy(limit(LIMIT)), hold(&gate));
    let (mut holder, holder_id) = rig.connect();
    let beating: Vec<_> = (0..20).map(|_| rig.connect().0.beat_every(ms(40))).collect();
    let (_silent, silent_id) = rig.connect();
    holder.data(b"hold");
    rig.expect_data(holder_id, b"hold");
    let holder = holder.beat_every(ms(40));
    // More than two limits, in which the shard does not run.
    rig.expect_quiet(ms(4_500));
    let resumed = Instant::now();
    gate.let_one_pass();
    // Only the one that was silent before and after is dead, a full limit after the stall.
    let verdict = rig.verdict(silent_id);
    assert!(resumed.elapsed() >= ms(LIMIT), "no second chance after the stall: {verdict}");
    assert!(verdict.stalled >= ms(4_400), "{verdict}");
    assert!(rig.stalls.iter().any(|&gap| gap >= ms(2_000)), "{:?}", rig.stalls);
    expect_alive(rig, beating.into_iter().chain([holder]).collect());
}

/// Two holds in one turn of the shard, the second one while it looks at deadlines: the time at
/// which it began to look is then no longer the time at which it judges.
#[test]
fn what_holds_the_shard_up_between_two_judgements_is_not_held_against_the_second_client() {
    const LIMIT: u64 = 2_500;
    let gate = Gate::default();
    let mut rig = ServerRig::acting(config().policy(limit(LIMIT)), hold(&gate));
    let started = Instant::now();
    let wait_until = |rig: &mut ServerRig, millis: u64| {
        rig.expect_quiet(ms(millis).saturating_sub(started.elapsed()));
    };
    let (mut first, first_id) = rig.connect();
    wait_until(&mut rig, 50);
    let second = rig.connect().0.beat_every(ms(30));
    let (mut holder, holder_id) = rig.connect();
    wait_until(&mut rig, 1_000);
    holder.data(b"hold");
    rig.expect_data(holder_id, b"hold");
    let holder = holder.beat_every(ms(30));
    // The deadlines as they were set at first pass, and the first client's bytes come.
    wait_until(&mut rig, LIMIT - 50);
    first.data(b"hold");
    let first = first.beat_every(ms(30));
    wait_until(&mut rig, LIMIT + 150);
    gate.let_one_pass();
    // These bytes are read because the first client's deadline has passed. The second one's turn
    // comes when they have been handled, which takes more than its limit.
    rig.expect_data(first_id, b"hold");
    rig.expect_quiet(ms(LIMIT + 200));
    gate.let_one_pass();
    expect_alive(rig, vec![first, second, holder]);
}

/// A client reads at last what the server had queued for it, while a handler holds the shard up:
/// that it is looked at for that does not make the stall go unnoticed.
#[test]
fn a_stall_is_noticed_although_a_blocked_socket_took_bytes_in_the_same_turn() {
    const LIMIT: u64 = 1_500;
    let gate = Gate::default();
    let config = config().policy(limit(LIMIT)).outbound_max(16 << 20);
    let mut rig = ServerRig::acting(config, hold(&gate));
    let (mut first, first_id) = rig.connect();
    let (mut second, second_id) = rig.connect();
    let mut slow = Peer::connect_narrow(rig.addr());
    let slow_id = rig.expect_online(&slow);
    (0..200).for_each(|_| rig.handle().send(slow_id, &[0; 60_000]).unwrap());
    rig.turn();
    let queued = rig.info(slow_id).queued;
    assert!(queued > 0, "the sockets took everything");
    first.data(b"hold");
    rig.expect_data(first_id, b"hold");
    // The next turn finds both: first what will hold it up, then the socket that takes bytes again.
    second.data(b"hold");
    slow.read(200 * 60_008 - queued);
    gate.let_one_pass();
    rig.expect_data(second_id, b"hold");
    rig.expect_quiet(ms(LIMIT + 500));
    let resumed = Instant::now();
    gate.let_one_pass();
    let mut ended = 0;
    while ended < 3 {
        match rig.next() {
            Event::Verdict { verdict, .. } => {
                assert!(resumed.elapsed() >= ms(LIMIT), "no second chance: {verdict}");
            }
            Event::Offline { .. } => ended += 1,
            event => panic!("{event:?}"),
        }
    }
    rig.finish();
}

/// These, and no others, are there still, until they leave.
#[track_caller]
fn expect_alive(mut rig: ServerRig, beating: Vec<Beating>) {
    let alive = Duration::from_secs(1) + TICK;
    rig.expect_quiet(alive);
    assert_eq!(rig.handle().count(), beating.len());
    for peer in beating {
        drop(peer.stop());
        let event = rig.next();
        assert!(matches!(event, Event::Offline { reason: Reason::ClosedByPeer, .. }), "{event:?}");
    }
    rig.finish();
}
