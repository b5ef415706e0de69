//! When a client is called dead, and when it is not.

use core::time::Duration;
use std::time::Instant;

use heartwire::server::{Control, Event};
use heartwire::{Cause, Policy, Reason};

use crate::peer::{Beating, HEART, OTHER, Peer, data, head, ms};
use crate::rig::{Gate, Rig, beat_and_limit, config, echo, limit};

#[test]
fn a_client_that_never_speaks_is_called_dead_within_its_bound() {
    let mut rig = Rig::start(config().policy(limit(200)));
    let connecting = Instant::now();
    let (mut peer, id) = rig.connect();
    let verdict = rig.expect_verdict_in_bound(id, ms(200), connecting);
    assert_eq!(verdict.cause, Cause::Silence);
    peer.expect_end();
    assert_eq!(rig.stats().dead, 1);
    rig.finish();
}

#[test]
fn a_client_that_falls_silent_is_called_dead_within_its_bound_of_its_last_byte() {
    let mut rig = Rig::start(config().policy(limit(2_000)));
    let (peer, id) = rig.connect();
    let beating = peer.beat_every(ms(40));
    // Several limits: the deadline has to be set anew each time.
    rig.expect_quiet(ms(6_500));
    let mut peer = beating.stop();
    let silent_since = Instant::now();
    peer.beat();
    rig.expect_verdict_in_bound(id, ms(2_000), silent_since);
    rig.finish();
}

#[test]
fn each_of_many_clients_has_its_own_deadline() {
    let mut rig = Rig::start(config().shards(2).policy(limit(2_000)));
    let addr = rig.addr();
    let mut since = std::collections::HashMap::new();
    let peers: Vec<Peer> = (0..100)
        .map(|_| {
            let mut peer = Peer::connect(addr);
            since.insert(peer.addr(), Instant::now());
            peer.beat();
            peer
        })
        .collect();
    let mut dead = 0;
    while dead < 100 {
        match rig.next() {
            Event::Online { .. } => {}
            Event::Verdict { peer, verdict, .. } => {
                let silence = since[&peer].elapsed();
                assert!(silence >= ms(2_000) && verdict.silence <= silence, "{verdict}");
                assert_eq!(
                    verdict.silence,
                    ms(2_000) + verdict.stalled + verdict.late.min(heartwire::TICK)
                );
                assert!(verdict.late < ms(1000), "{verdict}");
            }
            Event::Offline { reason: Reason::Dead(_), .. } => dead += 1,
            other => panic!("{other:?}"),
        }
    }
    drop(peers);
    rig.finish();
}

#[test]
fn any_byte_is_life_whole_frame_or_not() {
    let mut rig = Rig::start(config().policy(limit(2_000)));
    // Seven bytes of a head, and a head with seven bytes of a body.
    for bytes in [head(HEART, 0)[..7].to_vec(), data(&[1; 100])[..15].to_vec()] {
        let (mut peer, id) = rig.connect();
        let mut silent_since = Instant::now();
        for byte in bytes.rchunks(bytes.len() / 7).rev() {
            // Longer than the limit, all together.
            rig.expect_quiet(ms(400));
            silent_since = Instant::now();
            peer.send(byte);
        }
        rig.expect_verdict_in_bound(id, ms(2_000), silent_since);
    }
    rig.finish();
}

#[test]
fn own_beats_do_not_keep_a_dead_client_alive() {
    let mut rig = Rig::start(config().policy(beat_and_limit(40, 200)));
    let connecting = Instant::now();
    let (mut peer, id) = rig.connect();
    rig.expect_verdict_in_bound(id, ms(200), connecting);
    let (beats, _) = peer.read_to_end();
    assert!(!beats.is_empty() && beats.iter().all(|&byte| byte == 0), "{beats:?}");
    assert_eq!(beats.len() % 8, 0);
    rig.finish();
}

#[test]
fn a_client_that_answers_each_beat_stays() {
    let mut rig = Rig::start(config().policy(beat_and_limit(50, 2_000)));
    let (mut peer, id) = rig.connect();
    // At least 5 s, more than two limits, without an event; then it answers no more.
    for _ in 0..100 {
        peer.expect_beat();
        peer.beat();
    }
    peer.expect_beat();
    let silent_since = Instant::now();
    peer.beat();
    rig.expect_verdict_in_bound(id, ms(2_000), silent_since);
    rig.finish();
}

/// Its answers are so short that they wait in the server's kernel until the next one comes.
#[test]
fn a_client_that_only_answers_stays_while_it_is_sent_data() {
    let mut rig = Rig::start(config().policy(beat_and_limit(500, 2_000)));
    let (mut peer, id) = rig.connect();
    let answering = std::thread::spawn(move || {
        // Two limits at least: beats of the server are half a second apart.
        for _ in 0..9 {
            while peer.receive().0 == OTHER {}
            peer.beat();
        }
        peer
    });
    while !answering.is_finished() {
        rig.handle().send(id, b"news").unwrap();
        rig.expect_quiet(ms(50));
    }
    drop(answering.join().unwrap());
    assert_eq!(rig.expect_offline(id).reason, Reason::ClosedByPeer);
    rig.finish();
}

#[test]
fn an_echoing_server_answers_each_beat_and_sends_none_of_its_own() {
    let policy = Policy::builder().limit(ms(2_000)).echo(true).build().unwrap();
    let mut rig = Rig::start(config().policy(policy));
    let (mut peer, id) = rig.connect();
    for _ in 0..20 {
        peer.beat();
        peer.expect_beat();
    }
    // All in one read, half a beat behind them.
    peer.send(&[head(HEART, 0).repeat(10), vec![0; 4]].concat());
    (0..10).for_each(|_| peer.expect_beat());
    let silent_since = Instant::now();
    peer.send(&[0; 4]);
    peer.expect_beat();
    rig.expect_verdict_in_bound(id, ms(2_000), silent_since);
    peer.expect_end();
    rig.finish();
}

#[test]
fn data_suppresses_the_servers_beats() {
    const BEAT: Duration = ms(150);
    let mut rig = Rig::acting(config().policy(beat_and_limit(150, 60_000)), echo);
    let (mut peer, id) = rig.connect();
    let mut last_data = Instant::now();
    for _ in 0..40 {
        let asked = Instant::now();
        peer.data(b"x");
        rig.expect_data(id, b"x");
        loop {
            match peer.receive() {
                (OTHER, _) => break,
                // The server may have got round to a beat if this test was too slow with its data.
                _ => assert!(last_data.elapsed() >= BEAT, "a beat though data was just sent"),
            }
        }
        last_data = asked;
        rig.expect_quiet(ms(20));
    }
    peer.expect_beat();
    assert!(last_data.elapsed() >= BEAT, "a beat came early");
    rig.finish();
}

#[test]
fn bytes_that_are_in_the_socket_outrank_a_deadline() {
    const LIMIT: u64 = 2_000;
    let gate = Gate::default();
    let mut rig = Rig::acting(config().policy(limit(LIMIT)), hold(&gate));
    for _ in 0..2 {
        let (mut other, other_id) = rig.connect();
        let (mut holder, holder_id) = rig.connect();
        // The shard is busy over the other's deadline, but not for so long that it is a stall, and
        // the other's beats come meanwhile.
        holder.data(b"hold");
        rig.expect_data(holder_id, b"hold");
        rig.expect_quiet(ms(LIMIT / 2));
        other.beat();
        rig.expect_quiet(ms(LIMIT / 2 + 80));
        let silent_since = Instant::now();
        other.beat();
        holder.beat();
        gate.open();
        let mut ends = Vec::new();
        while ends.len() < 2 {
            match rig.next() {
                Event::Verdict { verdict, .. } => {
                    assert!(silent_since.elapsed() >= ms(LIMIT), "early: {verdict}");
                    assert!(verdict.silence >= ms(LIMIT), "early: {verdict}");
                }
                Event::Offline { id, .. } => ends.push(id),
                event => panic!("{event:?}"),
            }
        }
        ends.sort();
        let mut both = [holder_id, other_id];
        both.sort();
        assert_eq!(ends, both);
    }
    rig.finish();
}

#[test]
fn a_shard_that_stood_still_says_so_and_calls_no_beating_client_dead() {
    const LIMIT: u64 = 2_000;
    let gate = Gate::default();
    let mut rig = Rig::acting(config().policy(limit(LIMIT)), hold(&gate));
    let (mut holder, holder_id) = rig.connect();
    let beating: Vec<_> = (0..20).map(|_| rig.connect().0.beat_every(ms(40))).collect();
    let (_silent, silent_id) = rig.connect();
    holder.data(b"hold");
    rig.expect_data(holder_id, b"hold");
    let holder = holder.beat_every(ms(40));
    // More than two limits, in which the shard does not run.
    rig.expect_quiet(ms(4_500));
    let resumed = Instant::now();
    gate.open();
    // Only the one that was silent before and after is dead, a full limit after the stall.
    let verdict = rig.expect_verdict(silent_id);
    assert!(resumed.elapsed() >= ms(LIMIT), "no second chance after the stall: {verdict}");
    assert!(verdict.stalled >= ms(4_400), "{verdict}");
    assert_eq!(verdict.silence, verdict.stalled + ms(LIMIT) + verdict.late.min(heartwire::TICK));
    assert!(rig.stalls.iter().any(|&gap| gap >= ms(2_000)), "{:?}", rig.stalls);
    // A busy machine may add one at any time.
    let counted = rig.stats().stalls;
    rig.expect_quiet(ms(LIMIT + 400));
    let told = u64::try_from(rig.stalls.len()).unwrap();
    assert!(counted <= told && told <= rig.stats().stalls, "{counted} {told}");
    assert_eq!(rig.handle().count(), 21);
    drop(beating.into_iter().chain([holder]).map(Beating::stop).collect::<Vec<_>>());
    for _ in 0..21 {
        let event = rig.next();
        assert!(matches!(event, Event::Offline { reason: Reason::ClosedByPeer, .. }), "{event:?}");
    }
    rig.finish();
}

/// Two holds in one turn of the shard, the second one while it looks at deadlines: the time at
/// which it began to look is then no longer the time at which it judges.
#[test]
fn what_holds_the_shard_up_between_two_judgements_is_not_held_against_the_second_client() {
    const LIMIT: u64 = 2_500;
    let gate = Gate::default();
    let mut rig = Rig::acting(config().policy(limit(LIMIT)), hold(&gate));
    let started = Instant::now();
    let wait_until = |rig: &mut Rig, millis: u64| {
        let left = ms(millis).saturating_sub(started.elapsed());
        rig.expect_quiet(left);
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
    gate.open();
    // These bytes are read because the first client's deadline has passed. The second one's turn
    // comes when they have been handled, which takes more than its limit.
    rig.expect_data(first_id, b"hold");
    rig.expect_quiet(ms(LIMIT + 200));
    gate.open();
    rig.expect_quiet(ms(300));
    assert_eq!(rig.handle().count(), 3);
    drop([first, second, holder].map(Beating::stop));
    for _ in 0..3 {
        let event = rig.next();
        assert!(matches!(event, Event::Offline { reason: Reason::ClosedByPeer, .. }), "{event:?}");
    }
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
