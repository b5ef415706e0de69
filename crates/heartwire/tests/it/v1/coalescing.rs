//! Beats of v1 stay in the kernel, data do not, and both ends know as much as without.
#![cfg(any(target_os = "linux", target_os = "android"))]

use core::time::Duration;
use std::time::Instant;

use heartwire::v1::{Offer, Terms};
use heartwire_testkit::{
    ClientRig, Got, Listener, PAD, PATIENCE, Peer, ServerRig, client_config, hello, ms, patient,
    policy,
};

use super::config;

#[test]
fn data_of_any_length_wake_a_coalescing_server_at_once() {
    // The server itself beats so rarely that it would look into its sockets later than a test waits.
    let quiet = policy(30_000, 90_000);
    let mut rig = ServerRig::start(config().coalesce(1000).policy(quiet));
    let client = ClientRig::start(client_config(rig.addr()).policy(quiet));
    let welcome = client.online();
    assert_eq!(welcome.contract.wake_bytes, 40 * 1000 + 1);
    let (id, _) = rig.online();
    for len in [0, 1, 2, 31, 32, 33, 152, 153, 154, 1000, 39_000, 39_993, 40_000, 50_000, 0, 1] {
        let body = vec![7; len];
        client.send(&body);
        assert!(rig.data(id) == body, "{len} bytes");
    }
    // Several at a time, which may be cut anywhere on the way.
    for lens in [[10, 20, 30], [65_000, 475, 1], [64_000, 0, 0], [1, 65_483, 2]] {
        for len in lens {
            client.send(&vec![1; len]);
        }
        for len in lens {
            assert_eq!(rig.data(id).len(), len);
        }
    }
    client.close();
}

#[test]
fn nothing_is_padded_for_a_server_that_any_byte_wakes() {
    let mut rig = ServerRig::start(config().coalesce(0));
    let client = ClientRig::start(client_config(rig.addr()));
    assert_eq!(client.online().contract.wake_bytes, 1);
    let (id, _) = rig.online();
    client.send(b"!");
    assert_eq!(rig.data(id), b"!");
    client.close();

    // And padding comes where it is needed, before anything else.
    let listener = Listener::new();
    for (wake_bytes, pads) in [(1, false), (9, false), (161, true)] {
        let client = ClientRig::start(client_config(listener.addr()));
        let mut peer = listener.accept();
        peer.welcome_by(&Terms::new(Offer::new(&patient())).wake_bytes(wake_bytes));
        client.online();
        client.send(b"!");
        peer.expect_beat();
        peer.expect_data(b"!");
        let follows = peer.next();
        assert_eq!(follows == Got::Other(PAD), pads, "{wake_bytes}: {follows:?}");
        drop(peer);
        client.close();
    }
}

#[test]
fn beats_below_the_mark_wake_nobody() {
    let rare = policy(20_000, 60_000);
    let mut rig = ServerRig::start(config().coalesce(1000).policy(rare));
    let hello = heartwire::v1::Hello::new(Offer::new(&rare)).encode();
    let mut peers: Vec<_> = (0..8).map(|_| Peer::welcomed(rig.addr(), &hello).0).collect();
    let ids: Vec<_> = peers.iter().map(|_| rig.online().0).collect();
    let before = rig.stats();
    for _ in 0..50 {
        for peer in &mut peers {
            peer.beat_with(|beat| beat.promise_ms = 0);
        }
    }
    assert_eq!(rig.stats().timers, before.timers);
    // Asking costs turns too, so they are not counted here: whoever is woken by beats reads them.
    for info in rig.handle().list() {
        assert_eq!(info.beats, 0, "{info:?}");
    }
    // They were not lost: what wakes the shard brings them along.
    for (peer, id) in peers.iter_mut().zip(ids) {
        peer.data(&[0; 40_001]);
        assert_eq!(rig.data(id).len(), 40_001);
        assert_eq!(rig.info(id).beats, 50);
    }
}

/// The server reads what lies in a socket before it beats, so that its beats are up to date.
#[test]
fn beats_of_the_server_give_back_the_newest_beat() {
    let mut rig = ServerRig::start(config().coalesce(1000).policy(policy(200, 60_000)));
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    rig.online();
    let started = Instant::now();
    for nonce in 1..=5 {
        let sent_at = Instant::now();
        peer.beat_with(|beat| beat.nonce = nonce);
        // Nothing else wakes it: a server that did not look before it beats would never come to this one.
        let beat = loop {
            match peer.next() {
                Got::Beat(beat) if beat.echo == nonce => break beat,
                Got::Beat(_) => assert!(started.elapsed() < PATIENCE, "beat {nonce} is not seen"),
                other => panic!("{other:?}"),
            }
        };
        // What it says of how long ago that was is true. (The kernel dates in steps of up to 10 ms.)
        let known = sent_at.elapsed() + ms(20);
        let held = Duration::from_micros(beat.held_us.into());
        assert!(held <= known, "{held:?} of {known:?}");
        assert!(ms(beat.silence_ms.into()) <= known, "{beat:?} after {known:?}");
    }
    rig.finish();
}

/// It reads what lies there, beats, and sets the session's timer for the next beat: once.
#[test]
fn a_beat_of_the_server_sets_one_timer() {
    let mut rig = ServerRig::start(config().coalesce(1000).policy(policy(100, 60_000)));
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    rig.online();
    peer.expect_beat();
    let before = rig.stats().timers;
    for _ in 0..10 {
        peer.beat();
        peer.expect_beat();
    }
    let timers = rig.stats().timers - before;
    // One more may have been on its way at either end.
    assert!(timers <= 12, "{timers} timers for 10 beats");
    rig.finish();
}
