//! Farewells, and what becomes of a client after each.

use std::time::Instant;

use heartwire::Reason;
use heartwire::server::auth::Tokens;
use heartwire::server::limits::Limits;
use heartwire::server::{Event, Protocols};
use heartwire::v1::{Bye, ByeCode, Offer, RetryHint as Again, Terms};
use heartwire_testkit::{
    ClientRig, End, Got, Latch, Listener, PATIENCE, Peer, ServerRig, client_config, hello,
    hello_as, ms, pass, patient,
};

use super::config;

#[test]
fn data_before_a_bye_arrives_and_a_kicked_client_heeds_the_retry_hint() {
    let mut rig = ServerRig::start(config());
    let client = ClientRig::start(client_config(rig.addr()));
    client.online();
    let (id, _) = rig.online();
    for n in 0..50 {
        rig.handle().send(id, &[n; 1000]).unwrap();
    }
    let retry = Again::Within { earliest: ms(300), latest: ms(400) };
    rig.handle().kick_with(id, retry, "too loud").unwrap();
    (0..50).for_each(|n| client.expect_data(&[n; 1000]));
    let bye = client.expect_offline().bye.expect("it was told");
    assert_eq!((bye.retry, &*bye.detail), (retry, "too loud"));
    assert_eq!(rig.offline(id), Reason::Kicked);

    assert!(client.waiting() >= ms(300));
    client.online();
    let (second, _) = rig.online();
    assert_ne!(id, second);
    for n in 0..50 {
        client.send(&[n; 1000]);
    }
    (0..50).for_each(|n| rig.expect_data(second, &[n; 1000]));
    rig.handle().kick(second).unwrap();
    assert_eq!(client.offline(), Reason::Bye(ByeCode::Kicked));
    client.closed();
    assert_eq!(rig.offline(second), Reason::Kicked);
    rig.finish();
}

/// The client is writing when the server says BYE and closes, so the write fails first.
#[test]
fn a_bye_is_heard_by_a_client_that_is_busy_writing() {
    let listener = Listener::new();
    for round in 0..20 {
        let client = ClientRig::start(client_config(listener.addr()));
        let mut peer = listener.accept();
        peer.welcome_by(&Terms::new(Offer::new(&patient())));
        client.online();
        let sender = client.client().clone();
        let writing =
            client.runtime.spawn(async move { while sender.send(vec![0; 4096]).await.is_ok() {} });
        pass(ms(20));
        peer.send(&Bye::new(ByeCode::TakenOver, Again::Never).encode());
        // Closed with bytes unread, so that a reset follows.
        drop(peer);
        assert_eq!(client.offline(), Reason::Bye(ByeCode::TakenOver), "round {round}");
        client.closed();
        client.runtime.block_on(writing).unwrap();
    }
}

#[test]
fn a_bye_to_a_client_that_does_not_read_holds_up_no_other() {
    let mut rig = ServerRig::start(config().limits(Limits::default().max_queue(1 << 20)));
    let (_deaf, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    // Until neither its kernel nor ours takes more.
    while rig.info(id).queued == 0 {
        rig.handle().send(id, &[0; 60_000]).unwrap();
    }
    let (mut other, _) = Peer::welcomed(rig.addr(), &hello());
    let (other_id, _) = rig.online();
    rig.handle().kick(id).unwrap();
    assert_eq!(rig.offline(id), Reason::Kicked);
    other.data(b"still served");
    rig.expect_data(other_id, b"still served");
    rig.finish();
}

#[test]
fn a_client_that_does_not_read_is_reset_without_a_bye() {
    let mut rig = ServerRig::start(config());
    let (mut deaf, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    while rig.handle().count() > 0 {
        let _ = rig.handle().send(id, &[0; 60_000]);
    }
    assert_eq!(rig.offline(id), Reason::SlowReader);
    assert_eq!(deaf.read_to_end().1, End::Reset);
    rig.finish();
}

#[test]
fn a_shutdown_does_not_wait_for_pending_clients_and_says_bye_to_them() {
    let hold = Latch::default();
    let held = hold.clone();
    let mut rig = ServerRig::acting(config().drain(ms(300)), move |event, _| {
        if matches!(event, Event::Offline { reason: Reason::TakenOver, .. }) {
            held.pass();
        }
    });
    let mut silent = Peer::connect(rig.addr());
    let mut dribbling = Peer::connect(rig.addr());
    dribbling.send(&hello()[..10]);
    let (_first, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
    let (first, _) = rig.online();
    let mut waiting = Peer::connect(rig.addr());
    waiting.send(&hello_as("a", None));
    assert_eq!(rig.offline(first), Reason::TakenOver);
    let asked = Instant::now();
    rig.handle().shutdown();
    hold.open();
    // The one that waits is welcomed and sent away, or sent away while it waits: told in any case.
    let mut got = waiting.next_but_beats();
    if matches!(got, Got::Welcome(_)) {
        got = waiting.next_but_beats();
    }
    assert!(matches!(got, Got::Bye(ByeCode::Draining, Again::Within { .. }, _)), "{got:?}");
    silent.expect_end();
    dribbling.expect_end();
    rig.join();
    assert!(asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
}

#[test]
fn a_socket_that_is_not_closed_by_its_client_is_kept_for_a_second_and_no_longer() {
    let tokens = Tokens::parse("aaaaaaaaaaaaaaaaaaaa").unwrap();
    let rig = ServerRig::start(config().protocols(Protocols::V1WithTokens(tokens)));
    let mut peers: Vec<_> = (0..10).map(|_| Peer::connect(rig.addr())).collect();
    let started = Instant::now();
    for peer in &mut peers {
        peer.send(&hello());
        assert_eq!(peer.expect_bye().0, ByeCode::Unauthorized);
    }
    // They are open still, and count.
    let at_once = rig.handle().count();
    assert!(at_once == 10 || started.elapsed() >= ms(900), "{at_once} are left");
    while rig.handle().count() > 0 {
        assert!(started.elapsed() < PATIENCE);
    }
    assert!(started.elapsed() >= ms(1_000), "gone after {:?}", started.elapsed());
    rig.finish();
}

#[test]
fn a_server_without_a_drain_spreads_the_return_of_its_clients_all_the_same() {
    let rig = ServerRig::start(config().drain(ms(0)));
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    rig.handle().shutdown();
    let (code, retry, _) = peer.expect_bye();
    let (earliest, latest) = (ms(0), ms(1_000));
    assert_eq!((code, retry), (ByeCode::Draining, Again::Within { earliest, latest }));
    rig.join();
}
