//! What a client says and hears when it or its server leaves, and how much it may say before.

use heartwire::client::{Event, WhileDisconnected};
use heartwire::v1::{Bye, ByeCode, Offer, Retry, Terms};
use heartwire::{Caps, Reason, Violation};
use heartwire_testkit::{
    ClientRig, DATA, Got, Listener, PAD, Peer, beat_of, client_config, frame, ms, pass, patient,
};

/// A client that is online with a server that the test plays.
fn online(listener: &Listener) -> (ClientRig, Peer) {
    let client = ClientRig::start(client_config(listener.addr()));
    let peer = welcome(&client, listener);
    (client, peer)
}

fn welcome(client: &ClientRig, listener: &Listener) -> Peer {
    let mut peer = listener.accept();
    peer.welcome_by(&Terms::new(Offer::new(&patient())));
    client.online();
    peer
}

fn listener() -> Listener {
    Listener::new()
}

#[test]
fn what_a_server_says_in_leaving_reaches_the_application() {
    let listener = listener();
    let (client, mut peer) = online(&listener);
    let retry = Retry::Within { earliest: ms(20), latest: ms(40) };
    peer.send(&Bye::new(ByeCode::Draining, retry).detail("moved to \"hall\"").encode());
    let event = client.next();
    let text = event.to_string();
    assert!(text.contains(r#": moved to \"hall\" (0 beats"#), "{text}");
    match event {
        Event::Offline { reason, farewell, .. } => {
            assert_eq!(reason, Reason::Bye(ByeCode::Draining));
            let farewell = farewell.expect("it said so");
            assert_eq!((farewell.code, farewell.retry), (ByeCode::Draining, retry));
            assert_eq!(farewell.detail, "moved to \"hall\"");
        }
        other => panic!("{other}"),
    }
    let wait = client.waiting();
    assert!((ms(20)..=ms(40)).contains(&wait), "{wait:?}");
    // One that says nothing is not remembered for one that did.
    drop(peer);
    drop(welcome(&client, &listener));
    match client.next() {
        Event::Offline { farewell: None, reason: Reason::ClosedByPeer | Reason::Reset, .. } => {}
        other => panic!("{other}"),
    }
    client.close();
}

#[test]
fn a_server_that_breaks_the_protocol_is_told_so() {
    type Breach = Box<dyn Fn(&mut Peer)>;
    let a_promise = |peer: &mut Peer| peer.beat_with(|beat| beat.promise_ms = u32::MAX);
    let an_echo = |peer: &mut Peer| peer.beat_with(|beat| beat.echo = u64::MAX);
    let bytes = |bytes: Vec<u8>| move |peer: &mut Peer| peer.send(&bytes);
    let breaches: [(&str, Breach); 5] = [
        ("type 99", Box::new(bytes(frame(99, b"")))),
        ("32", Box::new(bytes(frame(0, b"")))),
        ("65537", Box::new(bytes(frame(DATA, &[0; 65_537])))),
        ("promise", Box::new(a_promise)),
        ("nonce", Box::new(an_echo)),
    ];
    let listener = listener();
    for (word, breach) in breaches {
        let (client, mut peer) = online(&listener);
        breach(&mut peer);
        let (code, retry, detail) = peer.expect_bye();
        assert_eq!((code, retry), (ByeCode::Protocol, Retry::AtWill), "{detail}");
        drop(peer);
        let reason = client.offline();
        let Reason::Protocol(violation) = reason else { panic!("{reason}") };
        assert_eq!(detail, violation.to_string());
        assert!(detail.contains(word), "{detail}: no {word}");
        client.close();
    }
}

#[test]
fn a_server_that_beats_far_too_often_is_told_so() {
    let listener = listener();
    let (client, mut peer) = online(&listener);
    for _ in 0..400 {
        // It goes away in the middle of it.
        let beat = beat_of(1).encode();
        if peer.try_send(&frame(0, &beat)).is_err() {
            break;
        }
    }
    // The server may see the reset of what came after the BYE, but not nothing.
    assert!(
        matches!(peer.next_but_beats(), Got::Bye(ByeCode::TooFast, Retry::AtWill, _) | Got::Reset),
        "it is not told"
    );
    assert_eq!(client.offline(), Reason::Protocol(Violation::TooFast));
    client.close();
}

#[test]
fn a_frame_that_is_on_its_way_is_finished_before_the_farewell_and_what_waits_stays() {
    let listener = listener();
    let config = client_config(listener.addr()).outbound_max(64 << 20);
    let client = ClientRig::start(config.while_disconnected(WhileDisconnected::Queue));
    let mut peer = welcome(&client, &listener);
    // More than the kernels take, and then something behind it.
    let body = vec![7; 32 << 20];
    client.send(&body);
    client.send(b"kept");
    pass(ms(100));
    peer.send(&frame(99, b""));
    assert_eq!(peer.next_but_beats(), Got::Data(body));
    match peer.next_but_beats() {
        Got::Bye(ByeCode::Protocol, ..) => {}
        other => panic!("{other:?}"),
    }
    peer.expect_end();
    match client.next() {
        Event::Offline { reason: Reason::Protocol(_), unsent: 0, .. } => {}
        other => panic!("{other}"),
    }
    // It is not sent to somebody who has not said WELCOME.
    let mut peer = listener.accept();
    assert_eq!(peer.next(), Got::Other(2));
    peer.stream.set_read_timeout(Some(ms(200))).unwrap();
    assert_eq!(peer.stream.peek(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(peer);
    let mut peer = welcome(&client, &listener);
    assert_eq!(peer.next_but_beats(), Got::Data(b"kept".to_vec()));
    client.close();
}

/// Whole messages that were about to be written when the connection was lost.
#[test]
fn a_hello_goes_before_what_was_kept() {
    let listener = listener();
    let config = client_config(listener.addr()).outbound_max(64 << 20);
    let client = ClientRig::start(config.while_disconnected(WhileDisconnected::Queue));
    let peer = welcome(&client, &listener);
    client.send(&vec![7; 32 << 20]);
    client.send(b"kept");
    pass(ms(100));
    peer.reset();
    assert_eq!(client.offline(), Reason::Reset);
    let mut peer = welcome(&client, &listener);
    assert!(matches!(peer.next(), Got::Beat(_)));
    assert_eq!(peer.next_but_beats(), Got::Data(b"kept".to_vec()));
    client.close();
}

#[test]
fn a_server_that_does_not_let_go_after_a_farewell_holds_nobody_up() {
    let listener = listener();
    let (client, mut peer) = online(&listener);
    peer.send(&frame(99, b""));
    assert!(matches!(client.offline(), Reason::Protocol(_)));
    client.close();
}

#[test]
fn before_the_welcome_nothing_may_be_said() {
    let listener = listener();
    let caps = Caps::default().first_frame(None);
    let client = ClientRig::start(client_config(listener.addr()).caps(caps));
    let mut peer = listener.accept();
    // The HELLO, and then nothing.
    assert_eq!(peer.next(), Got::Other(2));
    peer.send(&frame(99, b""));
    assert!(matches!(peer.next(), Got::Closed | Got::Reset));
    client.connecting();
    client.failed();
    client.close();
}

#[test]
fn a_server_that_closes_after_whole_pads_has_cut_off_nothing() {
    let listener = listener();
    let (client, mut peer) = online(&listener);
    for len in [0, 3, 65_536] {
        peer.send(&frame(PAD, &vec![0; len]));
    }
    peer.half_close();
    assert_eq!(client.offline(), Reason::ClosedByPeer);
    drop(peer);
    let mut peer = welcome(&client, &listener);
    peer.send(&frame(PAD, &[0; 9])[..16]);
    peer.half_close();
    assert_eq!(client.offline(), Reason::Truncated);
    client.close();
}
