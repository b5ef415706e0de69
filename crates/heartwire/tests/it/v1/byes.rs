//! Farewells, and what becomes of a client after each.

use std::time::Instant;

use heartwire::Reason;
use heartwire::client::{Event as ClientEvent, Retry};
use heartwire::server::{Event, Server, ServerConfig, SharedTokens, Tokens};
use heartwire::v1::{Bye, ByeCode, Offer, Retry as Again, Terms};
use heartwire_testkit::{
    ClientRig, DATA, Gate, Got, Listener, PATIENCE, Peer, ServerRig, client_config, frame, hello,
    hello_as, ms, pass, patient,
};

use super::config;

#[test]
fn a_shutdown_sends_clients_away_and_they_come_back_spread_out() {
    const CLIENTS: usize = 20;
    let window = ms(1500);
    let mut rig = ServerRig::start(config().drain(window));
    let addr = rig.addr();
    let clients: Vec<_> = (0..CLIENTS).map(|_| ClientRig::start(client_config(addr))).collect();
    for client in &clients {
        client.online();
        rig.online();
    }
    rig.finish();
    let again = restart(addr);
    let mut waits = Vec::new();
    for client in &clients {
        assert_eq!(client.offline(), Reason::Bye(ByeCode::Draining));
        waits.push(client.waiting());
    }
    assert!(waits.iter().all(|&wait| wait <= window), "{waits:?}");
    waits.sort_unstable();
    // 20 draws: that half of the window stays empty happens once in 500,000 times.
    assert!(waits[0] < window / 2 && waits[CLIENTS - 1] > window / 2, "{waits:?}");
    for client in &clients {
        client.online();
    }
    assert_eq!(again.handle().count(), CLIENTS);
    for client in clients {
        client.close();
    }
}

fn restart(addr: core::net::SocketAddr) -> Server {
    let config = ServerConfig::new(addr).shards(1).policy(patient());
    Server::start(config, |_| |_: Event<&[u8]>, _: &mut heartwire::server::Control<'_>| {}).unwrap()
}

#[test]
fn a_client_that_is_kicked_comes_back() {
    let mut rig = ServerRig::start(config());
    let client = ClientRig::start(client_config(rig.addr()));
    client.online();
    let (id, _) = rig.online();
    rig.handle().kick(id).unwrap();
    assert_eq!(rig.offline(id), Reason::Kicked);
    assert_eq!(client.offline(), Reason::Bye(ByeCode::Kicked));
    client.waiting();
    client.online();
    let (second, _) = rig.online();
    assert_ne!(id, second);
    client.client().close();
    assert_eq!(client.offline(), Reason::Shutdown);
    client.closed();
    assert_eq!(rig.offline(second), Reason::Bye(ByeCode::Done));
    rig.finish();
}

#[test]
fn what_was_sent_before_a_farewell_arrives() {
    let mut rig = ServerRig::start(config());
    let client = ClientRig::start(client_config(rig.addr()).retry(Retry::Never));
    client.online();
    let (id, _) = rig.online();
    for n in 0..50 {
        rig.handle().send(id, &[n; 1000]).unwrap();
    }
    rig.handle().kick(id).unwrap();
    for n in 0..50 {
        assert!(matches!(client.next(), ClientEvent::Data(data) if data == [n; 1000]), "{n}");
    }
    assert_eq!(client.offline(), Reason::Bye(ByeCode::Kicked));
    client.closed();
    assert_eq!(rig.offline(id), Reason::Kicked);

    let client = ClientRig::start(client_config(rig.addr()));
    client.online();
    let (id, _) = rig.online();
    for n in 0..50 {
        client.send(&[n; 1000]);
    }
    client.client().close();
    for n in 0..50 {
        assert_eq!(rig.data(id), [n; 1000]);
    }
    assert_eq!(rig.offline(id), Reason::Bye(ByeCode::Done));
    rig.finish();
}

/// The client is just writing when the server takes its leave and closes: what fails first is the write.
#[test]
fn a_farewell_is_heard_by_a_client_that_is_busy_writing() {
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
fn a_client_does_as_it_is_told_about_coming_back() {
    let listener = Listener::new();
    let (earliest, latest) = (ms(300), ms(600));
    for code in [ByeCode::Done, ByeCode::Draining, ByeCode::Kicked, ByeCode::Other(4_000_000)] {
        for retry in [Again::Never, Again::AtWill, Again::Within { earliest, latest }] {
            for welcomed in [false, true] {
                let client = ClientRig::start(client_config(listener.addr()));
                client.connecting();
                let mut peer = listener.accept();
                if welcomed {
                    peer.welcome_by(&Terms::new(Offer::new(&patient())));
                    client.online();
                }
                peer.send(&Bye::new(code, retry).detail("because\n\u{1b}[31m").encode());
                if welcomed {
                    assert_eq!(client.offline(), Reason::Bye(code));
                } else {
                    let error = client.failed();
                    assert_eq!(error.is_retryable(), retry != Again::Never);
                    let text = error.to_string();
                    assert!(text.contains("because") && !text.contains(['\n', '\u{1b}']), "{text}");
                }
                match retry {
                    Again::Never => client.closed(),
                    Again::AtWill => assert_eq!(client.waiting(), ms(20)),
                    Again::Within { .. } => {
                        let wait = client.waiting();
                        assert!((earliest..=latest).contains(&wait), "{wait:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_client_that_never_comes_back_by_its_own_will_does_not_for_a_hint_either() {
    let listener = Listener::new();
    let config = client_config(listener.addr()).retry(Retry::Never);
    let client = ClientRig::start(config);
    let mut peer = listener.accept();
    peer.welcome_by(&Terms::new(Offer::new(&patient())));
    client.online();
    let retry = Again::Within { earliest: ms(1), latest: ms(2) };
    peer.send(&Bye::new(ByeCode::Draining, retry).encode());
    assert_eq!(client.offline(), Reason::Bye(ByeCode::Draining));
    client.closed();
}

#[test]
fn nothing_after_a_farewell_is_looked_at() {
    let mut rig = ServerRig::start(config());
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    let bye = Bye::new(ByeCode::Done, Again::AtWill).encode();
    peer.send(&[bye, frame(DATA, b"late"), vec![0xff; 100]].concat());
    assert_eq!(rig.offline(id), Reason::Bye(ByeCode::Done));
    peer.expect_end();
    let listener = Listener::new();
    let config = client_config(listener.addr()).retry(Retry::Never);
    let client = ClientRig::start(config);
    let mut peer = listener.accept();
    peer.welcome_by(&Terms::new(Offer::new(&patient())));
    client.online();
    let bye = Bye::new(ByeCode::Done, Again::AtWill).encode();
    peer.send(&[bye, frame(DATA, b"late")].concat());
    assert_eq!(client.offline(), Reason::Bye(ByeCode::Done));
    client.closed();
    rig.finish();
}

#[test]
fn a_farewell_to_a_client_that_does_not_read_holds_nobody_up() {
    let mut rig = ServerRig::start(config().outbound_max(1 << 20));
    let (_deaf, _) = Peer::welcomed(rig.addr(), &hello());
    let (deaf, _) = rig.online();
    // Until neither its kernel nor ours takes more.
    while rig.info(deaf).queued == 0 {
        rig.handle().send(deaf, &[0; 60_000]).unwrap();
    }
    let (mut other, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    rig.handle().kick(deaf).unwrap();
    assert_eq!(rig.offline(deaf), Reason::Kicked);
    other.data(b"still served");
    assert_eq!(rig.data(id), b"still served");
    rig.finish();
}

#[test]
fn a_client_that_does_not_read_is_reset_without_a_farewell() {
    let mut rig = ServerRig::start(config());
    let (mut deaf, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    while rig.handle().count() > 0 {
        let _ = rig.handle().send(id, &[0; 60_000]);
    }
    assert_eq!(rig.offline(id), Reason::SlowReader);
    let mut rest = Vec::new();
    let error = std::io::Read::read_to_end(&mut deaf.stream, &mut rest).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    rig.finish();
}

#[test]
fn a_shutdown_waits_for_nobody_who_is_not_in_and_tells_who_waits() {
    let hold = Gate::default();
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
    rig.handle().shut_down();
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

/// A write to a closed socket is answered with a reset, and whoever is busy writing loses the BYE to it.
#[test]
fn what_still_comes_after_a_farewell_is_discarded_and_does_not_reset_the_connection() {
    let mut rig = ServerRig::start(config());
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    let started = Instant::now();
    rig.handle().kick(id).unwrap();
    assert_eq!(rig.offline(id), Reason::Kicked);
    while started.elapsed() < ms(500) {
        let written = peer.try_send(&frame(DATA, b"still talking"));
        // The server is bound to listen for 1 s, which began after this did.
        if started.elapsed() < ms(900) {
            written.unwrap();
        }
        pass(ms(10));
    }
    let (code, retry, _) = match peer.next_but_beats() {
        Got::Bye(code, retry, detail) => (code, retry, detail),
        other => panic!("no farewell: {other:?}"),
    };
    assert_eq!((code, retry), (ByeCode::Kicked, Again::AtWill));
    assert_eq!(peer.next(), Got::Closed);
    drop(peer);
    rig.finish();
}

#[test]
fn a_socket_that_is_not_closed_by_its_client_is_kept_for_a_second_and_no_longer() {
    let tokens = Tokens::parse("aaaaaaaaaaaaaaaaaaaa").unwrap();
    let rig = ServerRig::start(config().tokens(SharedTokens::new(tokens)));
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
    rig.handle().shut_down();
    let (code, retry, _) = peer.expect_bye();
    let (earliest, latest) = (ms(0), ms(1_000));
    assert_eq!((code, retry), (ByeCode::Draining, Again::Within { earliest, latest }));
    rig.join();
}
