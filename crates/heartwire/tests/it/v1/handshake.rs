//! How two ends come to a contract, or not.

use heartwire::Reason;
use heartwire::client::V1;
use heartwire::server::{Event, Protocols};
use heartwire::v1::ByeCode;
use heartwire_testkit::{
    BEAT, ClientRig, Got, Latch, Peer, ServerRig, client_config, data, hello, ms, pass, policy,
};

use super::config;

#[test]
fn both_ends_are_told_the_same_contract() {
    let mut rig = ServerRig::start(config().policy(policy(150, 9000)));
    let client = ClientRig::start(
        client_config(rig.addr()).policy(policy(100, 6000)).v1(V1::default().name("a")),
    );
    let welcome = client.online();
    let (id, agreed) = rig.online();
    let agreed = agreed.unwrap();
    assert_eq!((welcome.contract, welcome.epoch), (agreed.contract, agreed.epoch));
    assert_eq!(welcome.session, id.as_u64());
    assert_eq!(agreed.name.as_deref(), Some("a"));
    assert!(agreed.agent.unwrap().starts_with("heartwire/"));
    let (to_server, to_client) = (agreed.contract.to_server, agreed.contract.to_client);
    // The server beats every 150 ms itself, and puts up with no more of others.
    assert_eq!((to_server.interval(), to_server.timeout()), (Some(ms(150)), Some(ms(9000))));
    assert_eq!((to_client.interval(), to_client.timeout()), (Some(ms(150)), Some(ms(6000))));
    client.close();
    assert_eq!(rig.offline(id), Reason::Bye(ByeCode::Done));
    rig.finish();
}

#[test]
fn a_server_is_told_how_the_last_connection_of_a_client_ended() {
    let hold = Latch::default();
    let held = hold.clone();
    let mut rig = ServerRig::acting(config(), move |event, _| {
        if matches!(event, Event::Data { .. }) {
            held.pass();
        }
    });
    // The older session may still hold the name when the client comes again.
    let client = ClientRig::start(
        client_config(rig.addr()).policy(policy(100, 1000)).v1(V1::default().name("a")),
    );
    client.online();
    let (first, agreed) = rig.online();
    assert_eq!(agreed.unwrap().last, None);
    client.send(b"hold");
    assert!(matches!(client.offline(), Reason::Dead(_)));
    hold.open();
    assert_eq!(rig.data(first), b"hold");
    // It ends with a reset, or is taken over.
    rig.offline(first);
    let last = rig.online().1.unwrap().last.unwrap();
    assert_eq!((&*last.reason, last.session), ("dead", Some(first)));
    assert!(last.ago >= ms(20), "{last}");
    client.close();
}

#[test]
fn a_hello_may_come_byte_by_byte_and_what_follows_it_at_once() {
    let mut rig = ServerRig::start(config());
    let mut peer = Peer::connect(rig.addr());
    let hello = hello();
    let (last, before) = hello.split_last().unwrap();
    for byte in before {
        peer.send(&[*byte]);
        pass(ms(1));
    }
    peer.send(&[&[*last], &data(b"one")[..], &data(b""), &data(b"three")].concat());
    let (id, agreed) = rig.online();
    assert!(agreed.is_some());
    assert_eq!(rig.data(id), b"one");
    assert_eq!(rig.data(id), b"");
    assert_eq!(rig.data(id), b"three");
    peer.expect_welcome();
    rig.finish();
}

#[test]
fn the_welcome_comes_before_what_the_application_says_when_it_hears_of_a_client() {
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
fn a_server_of_both_protocols_beats_on_v0_until_a_client_says_hello() {
    let mut rig = ServerRig::start(config());
    let mut old = Peer::connect(rig.addr());
    old.beat();
    assert_eq!(rig.online().1, None);
    let mut peer = Peer::connect(rig.addr());
    for _ in 0..3 {
        assert_eq!(peer.next(), Got::Heart);
    }
    peer.send(&hello());
    peer.expect_welcome();
    // From here on it speaks v1 only.
    for _ in 0..3 {
        assert!(matches!(peer.next(), Got::Beat(_)));
        assert_eq!(old.next(), Got::Heart);
    }
    assert!(rig.online().1.is_some());
    rig.finish();
}

#[test]
fn a_v0_client_of_a_v1_only_server_is_refused_and_never_heard_of() {
    let mut rig = ServerRig::start(config().protocols(Protocols::V1));
    for first in [BEAT.to_vec(), data(b"data")] {
        let mut peer = Peer::connect(rig.addr());
        peer.send(&first);
        assert!(matches!(peer.next(), Got::Closed | Got::Reset));
    }
    assert_eq!(rig.count("protocol_error"), 2);
    rig.expect_nothing();
    rig.finish();
}
