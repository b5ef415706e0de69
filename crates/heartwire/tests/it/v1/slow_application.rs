//! An application that takes its events late does not make its client say that the server is silent.

use core::time::Duration;
use std::time::Instant;

use heartwire::client::Event;
use heartwire::v1::{ByeCode, Offer, Terms};
use heartwire_testkit::{
    ClientRig, DATA, Got, Listener, ServerRig, client_config, fixed, frame, ms, pass, patient,
    policy,
};

use super::config;

/// More than the events that wait for an application, and one read more.
const MESSAGES: u16 = 1200;

/// Has a server answer each beat of a client whose application takes no events, with something `done` by
/// that application each time. The client must not say that it hears nothing.
#[track_caller]
fn expect_heard(mut done: impl FnMut(&ClientRig)) {
    let listener = Listener::new();
    let client = ClientRig::start(client_config(listener.addr()));
    let mut peer = listener.accept();
    peer.welcome_by(&Terms::new(Offer::new(&patient())));
    let messages: Vec<u8> = (0..MESSAGES).flat_map(|n| frame(DATA, &n.to_le_bytes())).collect();
    peer.send(&messages);
    let started = Instant::now();
    // How long this server really said nothing, at most.
    let mut answered_at = started;
    let mut longest = Duration::ZERO;
    while started.elapsed() < ms(4000) {
        let beat = match peer.next() {
            Got::Beat(beat) => beat,
            other => panic!("not a beat: {other:?}"),
        };
        longest = longest.max(answered_at.elapsed());
        answered_at = Instant::now();
        peer.beat();
        longest = longest.max(answered_at.elapsed());
        // A client that is run late adds to it. One that does not look would say up to 4 s.
        let silence = ms(beat.silence_ms.into());
        assert!(silence < longest + ms(1200), "{silence:?}, and there were {longest:?}");
        done(&client);
    }
}

#[test]
fn a_client_with_a_slow_application_says_that_it_hears_the_server() {
    expect_heard(|_| {});
}

/// Such beats come before any is due.
#[test]
fn so_do_beats_that_bring_news() {
    let mut promises = [ms(1000), ms(1100)].into_iter().cycle();
    expect_heard(|client| {
        client.client().promise(promises.next());
    });
}

/// Each stall postpones the client's own verdict, and with it the look at what waits unread.
#[test]
fn a_slow_application_and_stalls_do_not_have_the_server_call_the_client_dead() {
    let mut rig = ServerRig::start(config().policy(policy(50, 2500)));
    let client = ClientRig::start(client_config(rig.addr()).policy(policy(100, 2500)));
    let (id, _) = rig.online();
    for n in 0..MESSAGES {
        rig.handle().send(id, &n.to_le_bytes()).unwrap();
    }
    for _ in 0..4 {
        rig.expect_quiet(ms(900));
        client.stand_still(ms(500));
        rig.expect_quiet(ms(500));
    }
    client.online();
    for n in 0..MESSAGES {
        match client.next() {
            Event::Data(data) => assert_eq!(data, n.to_le_bytes()),
            other => panic!("not data: {other}"),
        }
    }
    client.send(b"alive");
    assert_eq!(rig.data(id), b"alive");
    client.close();
}

#[test]
fn a_client_whose_application_takes_no_event_is_welcomed_again_and_says_goodbye() {
    let listener = Listener::new();
    let config = client_config(listener.addr()).policy(policy(50, 60_000));
    let client = ClientRig::start(config.retry(fixed(ms(10))));
    let mut peer = listener.accept();
    let terms = Terms::new(Offer::new(&policy(50, 60_000)));
    peer.welcome_by(&terms);
    let messages: Vec<u8> = (0..MESSAGES).flat_map(|n| frame(DATA, &n.to_le_bytes())).collect();
    peer.send(&messages);
    pass(ms(100));
    for _ in 0..2 {
        drop(peer);
        peer = listener.accept();
        peer.welcome_by(&terms);
        // It beats only when it has read the WELCOME.
        assert!(matches!(peer.next(), Got::Beat(_)));
    }
    client.client().close();
    match peer.next_but_beats() {
        Got::Bye(code, ..) => assert_eq!(code, ByeCode::Done),
        other => panic!("not a goodbye: {other:?}"),
    }
    drop(peer);
    while !matches!(client.next(), Event::Closed) {}
}
