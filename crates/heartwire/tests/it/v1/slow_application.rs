//! An application that takes no event does not keep its client from coming back, or from leaving.

use heartwire::client::Event;
use heartwire::v1::{ByeCode, Offer, Terms};
use heartwire_testkit::{
    ClientRig, DATA, Got, Listener, ServerRig, client_config, fixed, frame, ms, pass, policy,
};

use super::config;

/// More than the events that wait for an application, and one read more.
const MESSAGES: u16 = 1200;

/// For two limits; what the other end says meanwhile lies in the kernel.
#[test]
fn an_application_that_takes_no_event_kills_neither_end() {
    let mut rig = ServerRig::start(config().policy(policy(50, 2000)));
    let client = ClientRig::start(client_config(rig.addr()).policy(policy(100, 2000)));
    let (id, _) = rig.online();
    for n in 0..MESSAGES {
        rig.handle().send(id, &n.to_le_bytes()).unwrap();
    }
    rig.expect_quiet(ms(4500));
    client.online();
    for n in 0..MESSAGES {
        assert_eq!(client.data(), n.to_le_bytes());
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
