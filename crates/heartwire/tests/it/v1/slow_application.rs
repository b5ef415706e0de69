//! An application that takes no event does not keep its client from coming back, or from leaving.

use heartwire::client::Event;
use heartwire::v1::{ByeCode, Offer, Terms};
use heartwire_testkit::{
    ClientRig, DATA, Got, Listener, client_config, fixed, frame, ms, pass, policy,
};

/// More than the events that wait for an application, and one read more.
const MESSAGES: u16 = 1200;

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
