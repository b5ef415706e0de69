//! How two ends come to a contract, or not.

use std::time::Instant;

use heartwire::client::{ClientConfig, ConnectError};
use heartwire::server::{Event, Wires};
use heartwire::v1::{ByeCode, Hello, Offer, Retry};
use heartwire::{Caps, Policy, Reason, Violation, Wire};
use heartwire_testkit::{
    ClientRig, DATA, Got, HEART, Peer, ServerRig, client_config, frame, hello, ms, pass, patient,
    policy,
};

use super::config;

#[test]
fn both_ends_are_told_the_same_contract() {
    let mut rig = ServerRig::start(config().policy(policy(150, 9000)));
    let client = ClientRig::start(client_config(rig.addr()).policy(policy(100, 6000)).name("a"));
    let welcome = client.online();
    let (id, agreed) = rig.online();
    let agreed = agreed.unwrap();
    assert_eq!((welcome.contract, welcome.epoch), (agreed.contract, agreed.epoch));
    assert_eq!(welcome.session, id.as_u64());
    assert_eq!(agreed.name.as_deref(), Some("a"));
    assert!(agreed.agent.unwrap().starts_with("heartwire/"));
    let (to_server, to_client) = (agreed.contract.to_server, agreed.contract.to_client);
    // The server beats every 150 ms itself, and puts up with no more of others.
    assert_eq!((to_server.beat(), to_server.limit()), (Some(ms(150)), Some(ms(9000))));
    assert_eq!((to_client.beat(), to_client.limit()), (Some(ms(150)), Some(ms(6000))));
    client.close();
    assert_eq!(rig.offline(id), Reason::Bye(ByeCode::Done));
    rig.finish();
}

#[test]
fn settings_that_contradict_each_other_make_a_contract_that_works() {
    // Each end judges sooner than the other means to beat.
    for (server, client) in [
        (policy(1000, 3000), policy(100, 300)),
        (policy(100, 300), policy(1000, 3000)),
        (policy(100, 300), Policy::builder().build().unwrap()),
        (Policy::builder().build().unwrap(), policy(100, 300)),
        (Policy::builder().limit(ms(400)).build().unwrap(), policy(10_000, 30_000)),
    ] {
        let mut rig = ServerRig::start(config().policy(server));
        let client = ClientRig::start(client_config(rig.addr()).policy(client));
        let contract = client.online().contract;
        rig.online();
        for direction in [contract.to_server, contract.to_client] {
            if let Some(limit) = direction.limit() {
                assert!(limit >= direction.beat().unwrap() * 2, "{contract}");
            }
        }
        client.close();
    }
}

#[test]
fn settings_that_cannot_be_reconciled_are_refused_with_both_figures_and_for_good() {
    let server = policy(100, 300);
    let rig =
        ServerRig::start(config().policy(server).offer(Offer::new(&server).ceiling(ms(1000))));
    let slow = policy(5000, 15_000);
    let offer = Offer::new(&slow).floor(Some(ms(5000)));
    let client = ClientRig::start(client_config(rig.addr()).policy(slow).offer(offer));
    client.connecting();
    match client.failed() {
        ConnectError::TurnedAway {
            code: ByeCode::Conflict, retry: Retry::Never, detail, ..
        } => {
            assert!(detail.contains("5s") && detail.contains("1s"), "{detail}");
        }
        other => panic!("{other}"),
    }
    client.closed();
    assert_eq!(rig.stats().turned_away, 1);
    assert_eq!(rig.stats().accepted, 1);
    rig.finish();
}

#[test]
fn a_client_without_a_version_in_common_is_told() {
    let mut rig = ServerRig::start(config());
    let mut peer = Peer::connect(rig.addr());
    let mut hello = Hello::new(Offer::new(&patient()));
    hello.versions = (2, 7);
    peer.send(&hello.encode());
    let (code, retry, detail) = peer.expect_bye();
    assert_eq!((code, retry), (ByeCode::Version, Retry::Never));
    assert!(detail.contains("2 to 7"), "{detail}");
    rig.expect_nothing();
    rig.finish();
}

#[test]
fn a_client_of_a_later_version_is_told_so_whatever_else_its_hello_holds() {
    let mut rig = ServerRig::start(config());
    // No ceiling; a ceiling of another type; a name that is none.
    for rest in [&b""[..], b"\x07\x61x", b"\x01\x60"] {
        let mut peer = Peer::connect(rig.addr());
        let entries = if rest.is_empty() { 0xa1 } else { 0xa2 };
        peer.send(&frame(2, &[&[entries, 0, 0x82, 2, 2], rest].concat()));
        let (code, retry, _) = peer.expect_bye();
        assert_eq!((code, retry), (ByeCode::Version, Retry::Never), "{rest:?}");
    }
    rig.expect_nothing();
    rig.finish();
}

#[test]
fn a_hello_may_come_byte_by_byte() {
    let mut rig = ServerRig::start(config());
    let mut peer = Peer::connect(rig.addr());
    for byte in hello() {
        peer.send(&[byte]);
        pass(ms(1));
    }
    peer.expect_welcome();
    let (id, agreed) = rig.online();
    assert!(agreed.is_some());
    peer.data(b"!");
    assert_eq!(rig.data(id), b"!");
    rig.finish();
}

#[test]
fn the_handshake_has_one_deadline_however_busy_it_looks() {
    let caps = Caps::default().first_frame(Some(ms(400))).frame(Some(ms(60_000)));
    let hello = hello();
    for (wires, sent, dribbled) in [
        (Wires::Any, 0, 0),
        (Wires::V1, 0, 0),
        (Wires::Any, 4, 0),
        (Wires::V1, 12, 0),
        (Wires::Any, 0, 30),
        (Wires::V1, 9, 20),
    ] {
        let mut rig = ServerRig::start(config().wires(wires).caps(caps));
        let started = Instant::now();
        let mut peer = Peer::connect(rig.addr());
        peer.send(&hello[..sent]);
        for byte in &hello[sent..sent + dribbled] {
            pass(ms(15));
            let _ = peer.try_send(&[*byte]);
        }
        peer.expect_end();
        let waited = started.elapsed();
        assert!(waited >= ms(400), "early: {waited:?}");
        assert_eq!(rig.stats().no_first_frame, 1);
        rig.expect_nothing();
        rig.finish();
    }
}

#[test]
fn a_client_that_says_hello_and_nothing_else_is_dead_at_its_limit() {
    let mut rig = ServerRig::start(config().policy(policy(100, 500)));
    let mut peer = Peer::connect(rig.addr());
    let started = Instant::now();
    peer.send(&hello());
    let (id, _) = rig.online();
    let verdict = rig.verdict(id);
    assert!(started.elapsed() >= ms(500), "early: {verdict}");
    assert_eq!(verdict.bound.unwrap().earliest, ms(500));
    rig.finish();
}

#[test]
fn a_hello_that_is_none_is_answered_with_a_farewell() {
    let rig = ServerRig::start(config());
    for body in [&b""[..], b"\xff", b"\xa0", &[0xff; 1000], b"GET / HTTP/1.1"] {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&frame(2, body));
        let (code, retry, _) = peer.expect_bye();
        assert_eq!((code, retry), (ByeCode::Protocol, Retry::Never));
    }
    // This one is too long for anybody, which its head tells.
    let mut peer = Peer::connect(rig.addr());
    peer.send(&frame(2, &[0; 2049])[..8]);
    peer.expect_end();
    assert_eq!(rig.stats().protocol_error, 6);
    assert_eq!(rig.stats().too_long, 1);
    rig.finish();
}

#[test]
fn what_follows_hello_at_once_is_delivered_once_the_client_is_in() {
    let mut rig = ServerRig::start(config());
    let mut peer = Peer::connect(rig.addr());
    peer.send(&[hello(), frame(DATA, b"one"), frame(DATA, b""), frame(DATA, b"three")].concat());
    let (id, agreed) = rig.online();
    assert!(agreed.is_some());
    assert_eq!(rig.data(id), b"one");
    assert_eq!(rig.data(id), b"");
    assert_eq!(rig.data(id), b"three");
    peer.expect_welcome();
    rig.finish();
}

#[test]
fn the_welcome_comes_before_what_the_owner_says_when_it_hears_of_a_client() {
    let mut rig = ServerRig::acting(config(), |event, control| {
        if let Event::Online { id, .. } = event {
            control.send(*id, b"at once").unwrap();
        }
    });
    let mut peer = Peer::connect(rig.addr());
    peer.send(&hello());
    assert!(matches!(peer.next(), Got::Welcome(_)));
    assert_eq!(peer.next_but_beats(), Got::Data(b"at once".to_vec()));
    rig.online();
    rig.finish();
}

#[test]
fn a_server_of_both_wires_takes_in_both_kinds_of_client() {
    let mut rig = ServerRig::start(config().policy(policy(100, 2000)));
    let v0 = client_config(rig.addr()).wire(Wire::V0).policy(policy(100, 2000));
    let old = ClientRig::start(v0);
    let (_, agreed) = rig.online();
    assert_eq!(agreed, None);
    let new = ClientRig::start(client_config(rig.addr()).policy(policy(100, 2000)));
    new.online();
    assert!(rig.online().1.is_some());
    rig.expect_quiet(ms(2500));
    for client in [old, new] {
        client.close();
    }
}

#[test]
fn a_server_that_beats_on_v0_may_do_so_before_a_late_hello() {
    let mut rig = ServerRig::start(config().policy(policy(100, 5000)));
    let mut peer = Peer::connect(rig.addr());
    for _ in 0..3 {
        assert_eq!(peer.next(), Got::Heart);
    }
    peer.send(&hello());
    peer.expect_welcome();
    // From here on it speaks v1 only.
    for _ in 0..3 {
        assert!(matches!(peer.next(), Got::Beat(_)));
    }
    rig.online();
    rig.finish();
}

#[test]
fn a_v0_client_of_a_v1_only_server_is_refused_and_never_heard_of() {
    let rig = ServerRig::start(config().wires(Wires::V1));
    for first in [frame(HEART, b""), frame(DATA, b"data")] {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&first);
        assert!(matches!(peer.next(), Got::Closed | Got::Reset));
    }
    assert_eq!(rig.stats().protocol_error, 2);
    let config = ClientConfig::new(rig.addr().to_string())
        .wire(Wire::V0)
        .retry(heartwire::client::Retry::Never);
    let client = ClientRig::start(config);
    client.connecting();
    assert!(matches!(client.next(), heartwire::client::Event::Online { welcome: None, .. }));
    assert!(matches!(client.offline(), Reason::ClosedByPeer | Reason::Reset));
    rig.finish();
}

#[test]
fn an_unfinished_hello_is_counted_as_what_it_is() {
    let mut rig = ServerRig::start(config());
    let mut peer = Peer::connect(rig.addr());
    peer.send(&hello()[..20]);
    peer.half_close();
    peer.expect_end();
    assert_eq!(rig.stats().truncated, 1);
    Peer::connect(rig.addr()).reset();
    let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
    let (id, _) = rig.online();
    peer.send(&hello());
    assert_eq!(peer.expect_bye().0, ByeCode::Protocol);
    let reason = rig.offline(id);
    assert!(matches!(reason, Reason::Protocol(Violation::Unexpected { .. })), "{reason}");
    rig.finish();
}
