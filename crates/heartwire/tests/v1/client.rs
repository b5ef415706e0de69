//! The client at servers that do not, or not yet, do their part.

use std::net::TcpListener;
use std::time::Instant;

use heartwire::client::{ConnectError, Retry, SendError, WhileDisconnected};
use heartwire::server::Wires;
use heartwire::v1::{Offer, Terms};
use heartwire::{BackoffPolicy, Reason, Violation, Wire};

use crate::peer::{Got, HEART, Peer, frame, hello};
use crate::rig::{ClientRig, PATIENCE, Rig, client_config, config, ms, pass, patient, policy};

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
    let rig = Rig::start(config().wires(Wires::V0));
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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let backoff = BackoffPolicy::exponential(ms(50), ms(100_000), ms(60_000)).unwrap();
    let config = client_config(listener.local_addr().unwrap())
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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A WELCOME that is none, one with a version of later, a BYE that is none, and no frame at all.
    for (answer, said) in [
        (frame(3, b"\xa0"), "a WELCOME that is not as specified"),
        (frame(3, b"\xa1\x00\x02"), "a WELCOME that is not as specified"),
        (frame(4, b"\xa0"), "a BYE that is not as specified"),
        (b"HTTP/1.1".to_vec(), "unknown frame type"),
    ] {
        let config = client_config(listener.local_addr().unwrap()).retry(Retry::Never);
        let client = ClientRig::start(config);
        client.connecting();
        let mut peer = Peer::accept(&listener);
        peer.send(&answer);
        let text = client.failed().to_string();
        assert!(text.contains("did not answer HELLO as it should"), "{text}");
        assert!(text.contains(said) && !text.contains("v0"), "{text}");
    }
}

#[test]
fn a_server_that_sends_beats_of_v0_only_is_given_up_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = client_config(listener.local_addr().unwrap()).handshake_timeout(ms(400));
    let started = Instant::now();
    let client = ClientRig::start(config);
    client.connecting();
    let mut peer = Peer::accept(&listener);
    while peer.try_send(&frame(HEART, b"")).is_ok() {
        assert!(started.elapsed() < PATIENCE, "it takes them for an answer");
        pass(ms(30));
    }
    assert!(started.elapsed() >= ms(400), "early: {:?}", started.elapsed());
    let reason = expect_no_welcome(&client);
    assert!(matches!(reason, Reason::Protocol(Violation::NoFirstFrame { .. })), "{reason}");
    client.close();
}

#[test]
fn nothing_is_sent_before_the_server_has_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = ClientRig::start(client_config(listener.local_addr().unwrap()));
    refusing.connecting();
    let mut peer = Peer::accept(&listener);
    pass(ms(50));
    assert!(matches!(refusing.client.try_send(b"early".to_vec()), Err(SendError::NotConnected(_))));
    peer.welcome_by(&Terms::new(Offer::new(&patient())));
    refusing.online();
    refusing.send(b"late");
    assert!(matches!(peer.next(), Got::Beat(_)), "the first beat says that it is there");
    assert_eq!(peer.next_but_beats(), Got::Data(b"late".to_vec()));
    drop(peer);
    refusing.close();

    let config = client_config(listener.local_addr().unwrap());
    let queueing = ClientRig::start(config.while_disconnected(WhileDisconnected::Queue));
    queueing.send(b"one");
    queueing.connecting();
    // The first server says nothing, and the message waits for the second.
    drop(Peer::accept(&listener));
    expect_no_welcome(&queueing);
    let mut peer = Peer::accept(&listener);
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
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Longer than a test waits.
    let config = client_config(listener.local_addr().unwrap()).handshake_timeout(PATIENCE * 2);
    let client = ClientRig::start(config);
    client.connecting();
    let _peer = Peer::accept(&listener);
    client.client.close();
    client.closed();
}

/// A flood of wishes is not a flood of beats, or the server would have to send the client away.
#[test]
fn an_application_that_checks_in_all_the_time_sends_no_more_beats() {
    let mut rig = Rig::start(config());
    let config = client_config(rig.addr()).progress(ms(5000));
    let client = ClientRig::start(config);
    client.online();
    let (id, _) = rig.online();
    // More than the contract allows, which it is cut down to.
    client.client.promise(Some(ms(100_000_000)));
    match rig.next() {
        heartwire::server::Event::Promise { .. } => {}
        other => panic!("{other:?}"),
    }
    let before = rig.info(id).beats;
    for _ in 0..2000 {
        client.client.check_in();
        client.client.promise(Some(ms(100_000_000)));
        std::thread::yield_now();
    }
    rig.expect_quiet(ms(500));
    let beats = rig.info(id).beats - before;
    assert!(beats <= 2, "{beats} beats");
    client.close();
}

#[test]
fn the_timer_of_a_client_that_has_failed_to_check_in_does_not_spin() {
    let rig = Rig::start(config());
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
    let rig = Rig::start(config().sessions_max(1));
    let (_first, _) = Peer::welcomed(rig.addr(), &hello());
    let client = ClientRig::start(client_config(rig.addr()));
    client.connecting();
    assert!(matches!(expect_no_welcome(&client), Reason::ClosedByPeer | Reason::Reset));
    client.close();
}

#[test]
fn a_v0_client_of_a_server_of_both_wires_lives_by_the_old_rules() {
    let mut rig = Rig::start(config().policy(policy(100, 1100)));
    let v0 = client_config(rig.addr()).wire(Wire::V0).policy(policy(100, 1100));
    let client = ClientRig::start(v0);
    let (id, _) = rig.online();
    client.client.promise(Some(ms(5000)));
    rig.expect_quiet(ms(2500));
    assert_eq!((client.client.path(), rig.info(id).path), (None, None));
    client.close();
}
