//! The client at servers that do not, or not yet, do their part.

use std::time::Instant;

use heartwire::client::{ConnectError, Retry, SendError, WhileDisconnected};
use heartwire::server::Wires;
use heartwire::v1::{Offer, Terms};
use heartwire::{BackoffPolicy, Reason, Violation};
use heartwire_testkit::{
    ClientRig, Got, Listener, PATIENCE, Peer, ServerRig, client_config, frame, hello, ms, pass,
    patient,
};

use super::config;

#[track_caller]
fn expect_no_welcome(client: &ClientRig) -> Reason {
    let error = client.failed();
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("--wire v0") && text.contains("Wire::V0"), "{text}");
    match error {
        ConnectError::NoWelcome { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_server_of_v0_only_is_named_at_once_and_tried_again() {
    let rig = ServerRig::start(config().wires(Wires::V0));
    let client = ClientRig::start(client_config(rig.addr()));
    for attempt in 1..=3 {
        assert_eq!(client.connecting(), attempt);
        expect_no_welcome(&client);
        client.waiting();
    }
    client.close();
}

#[test]
fn a_server_that_never_answers_is_given_up_in_time_and_the_waits_grow() {
    let listener = Listener::new();
    let backoff = BackoffPolicy::exponential(ms(50), ms(100_000), ms(60_000)).unwrap();
    let config = client_config(listener.addr())
        .retry(Retry::Backoff(backoff))
        .seed(7)
        .handshake_timeout(ms(200));
    let client = ClientRig::start(config);
    let mut waits = Vec::new();
    for attempt in 1..=5 {
        assert_eq!(client.connecting(), attempt);
        match expect_no_welcome(&client) {
            Reason::Protocol(Violation::NoFirstFrame { waited }) => {
                assert!(waited >= ms(200), "early: {waited:?}");
                // upper bound: it is what the client says, and would be 5 s by default.
                assert!(waited < ms(5000), "late: {waited:?}");
            }
            other => panic!("{other}"),
        }
        waits.push(client.waiting());
    }
    // Drawn from twice as much each time: with this seed, the last is longer than the first could be.
    assert!(waits.iter().any(|&wait| wait > ms(50)), "{waits:?}");
    client.close();
}

#[test]
fn a_server_of_v1_that_answers_wrongly_is_not_taken_for_one_of_v0() {
    let listener = Listener::new();
    // A WELCOME that is none, one with a version of later, a BYE that is none, and no frame at all.
    for (answer, said) in [
        (frame(3, b"\xa0"), "a WELCOME that is not as specified"),
        (frame(3, b"\xa1\x00\x02"), "a WELCOME that is not as specified"),
        (frame(4, b"\xa0"), "a BYE that is not as specified"),
        (b"HTTP/1.1".to_vec(), "unknown frame type"),
    ] {
        let config = client_config(listener.addr()).retry(Retry::Never);
        let client = ClientRig::start(config);
        client.connecting();
        let mut peer = listener.accept();
        peer.send(&answer);
        let text = client.failed().to_string();
        assert!(text.contains("did not answer HELLO as it should"), "{text}");
        assert!(text.contains(said) && !text.contains("v0"), "{text}");
    }
}

#[test]
fn nothing_is_sent_before_the_server_has_answered() {
    let listener = Listener::new();
    let refusing = ClientRig::start(client_config(listener.addr()));
    refusing.connecting();
    let mut peer = listener.accept();
    pass(ms(50));
    assert!(matches!(
        refusing.client().try_send(b"early".to_vec()),
        Err(SendError::NotConnected(_))
    ));
    peer.welcome_by(&Terms::new(Offer::new(&patient())));
    refusing.online();
    refusing.send(b"late");
    assert!(matches!(peer.next(), Got::Beat(_)), "the first beat says that it is there");
    assert_eq!(peer.next_but_beats(), Got::Data(b"late".to_vec()));
    drop(peer);
    refusing.close();

    let config = client_config(listener.addr());
    let queueing = ClientRig::start(config.while_disconnected(WhileDisconnected::Queue));
    queueing.send(b"one");
    queueing.connecting();
    // The first server says nothing, and the message waits for the second.
    drop(listener.accept());
    expect_no_welcome(&queueing);
    let mut peer = listener.accept();
    queueing.send(b"two");
    peer.welcome_by(&Terms::new(Offer::new(&patient())));
    queueing.online();
    assert!(matches!(peer.next(), Got::Beat(_)), "the first beat goes before what waited");
    assert_eq!(peer.next_but_beats(), Got::Data(b"one".to_vec()));
    assert_eq!(peer.next_but_beats(), Got::Data(b"two".to_vec()));
    queueing.close();
}

#[test]
fn a_client_that_is_closed_during_the_handshake_ends_and_says_so() {
    let listener = Listener::new();
    // Longer than a test waits.
    let config = client_config(listener.addr()).handshake_timeout(PATIENCE * 2);
    let client = ClientRig::start(config);
    client.connecting();
    let _peer = listener.accept();
    client.client().close();
    client.closed();
}

/// A flood of wishes is not a flood of beats, or the server would have to send the client away.
#[test]
fn an_application_that_checks_in_all_the_time_sends_no_more_beats() {
    let mut rig = ServerRig::start(config());
    let config = client_config(rig.addr()).progress(ms(5000));
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    // More than the contract allows, which it is cut down to.
    client.client().promise(Some(ms(100_000_000)));
    match rig.next() {
        heartwire::server::Event::Promise { .. } => {}
        other => panic!("{other:?}"),
    }
    let before = rig.info(id).beats;
    for _ in 0..2000 {
        client.client().check_in();
        client.client().promise(Some(ms(100_000_000)));
        std::thread::yield_now();
    }
    rig.expect_quiet(ms(500));
    let beats = rig.info(id).beats - before;
    assert!(beats <= 2, "{beats} beats");
    client.close();
}

#[test]
fn the_timer_of_a_client_that_has_failed_to_check_in_does_not_spin() {
    let rig = ServerRig::start(config());
    let client = ClientRig::start(client_config(rig.addr()).progress(ms(50)));
    client.online();
    pass(ms(200));
    let busy = || client.runtime.metrics().worker_total_busy_duration(0);
    let (before, started) = (busy(), Instant::now());
    pass(ms(1000));
    let (spent, took) = (busy().saturating_sub(before), started.elapsed());
    // One that spins is always busy, whatever else the machine does.
    assert!(spent < took / 2, "busy for {spent:?} of {took:?}");
    client.close();
}

#[test]
fn a_client_that_is_refused_for_want_of_room_is_not_told_a_tale() {
    let rig = ServerRig::start(config().sessions_max(1));
    let (_first, _) = Peer::welcomed(rig.addr(), &hello());
    let client = ClientRig::start(client_config(rig.addr()));
    client.connecting();
    assert!(matches!(expect_no_welcome(&client), Reason::ClosedByPeer | Reason::Reset));
    client.close();
}
