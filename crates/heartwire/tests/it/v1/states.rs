//! Every type of frame in every state: one clear reaction each.

use heartwire::Reason;
use heartwire::client::{ConnectError, Event as ClientEvent, Retry};
use heartwire::server::{Event, Wires};
use heartwire::v1::{BEAT_LEN, Bye, ByeCode, Offer, Retry as Again, Terms};

/// Every type, as such, with a body that fits it, and what is no type.
fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let beat = beat_of(1).encode();
    let contract = Terms::new(Offer::new(&patient())).agree(&Offer::new(&patient())).unwrap();
    vec![
        ("v0 beat", frame(HEART, b"")),
        ("v1 beat", frame(HEART, &beat)),
        ("beat of another length", frame(HEART, &beat[..BEAT_LEN - 1])),
        ("data", frame(DATA, b"data")),
        ("hello", hello()),
        ("welcome", heartwire::v1::Welcome::new(7, 0, contract).encode()),
        ("bye", Bye::new(ByeCode::Done, Again::AtWill).encode()),
        ("pad", frame(PAD, &[0; 10])),
        ("a type beyond those", frame(6, b"")),
        ("a negative type", frame(-1, b"")),
        ("a negative length", [HELLO.to_le_bytes(), (-1_i32).to_le_bytes()].concat()),
        ("an endless pad", [PAD.to_le_bytes(), i32::MAX.to_le_bytes()].concat()),
        ("an endless bye", [BYE.to_le_bytes(), 513_i32.to_le_bytes()].concat()),
        ("an endless welcome", [WELCOME.to_le_bytes(), 2049_i32.to_le_bytes()].concat()),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reaction {
    /// It comes in, on v0.
    InV0,
    /// It comes in, on v1.
    InV1,
    /// The connection ends with this violation's name, and with a farewell or without.
    Breach(&'static str, bool),
    Delivered,
    /// Nobody hears of it.
    Ignored,
    Over,
}
use Reaction::{Breach, Delivered, Ignored, InV0, InV1, Over};
use heartwire_testkit::{
    BYE, ClientRig, DATA, Gate, Got, HEART, HELLO, Listener, PAD, Peer, ServerRig, WELCOME,
    beat_of, client_config, frame, hello, hello_as, ms, patient,
};

use super::config;

/// The reaction of a server that has heard nothing yet.
fn opening(name: &str, v0: bool) -> Reaction {
    match name {
        "v0 beat" | "data" if v0 => InV0,
        "v1 beat" | "beat of another length" if v0 => Breach("beat_with_body", false),
        "hello" => InV1,
        "a type beyond those" | "a negative type" => Breach("unknown_type", false),
        "a negative length" => Breach("negative_length", false),
        _ => Breach("unexpected", false),
    }
}

/// The reaction of either end after the handshake.
fn after(name: &str) -> Reaction {
    match name {
        "v1 beat" | "pad" => Ignored,
        "data" => Delivered,
        "bye" => Over,
        "v0 beat" | "beat of another length" => Breach("beat_length", true),
        "a type beyond those" | "a negative type" => Breach("unknown_type", true),
        "a negative length" => Breach("negative_length", true),
        "an endless pad" | "an endless bye" => Breach("too_long", true),
        _ => Breach("unexpected", true),
    }
}

#[track_caller]
fn breach_of(reason: Reason) -> &'static str {
    match reason {
        Reason::Protocol(violation) => violation.name(),
        other => panic!("not a breach: {other}"),
    }
}

#[test]
fn of_a_server_before_the_first_frame() {
    for wires in [Wires::Any, Wires::V1] {
        for (name, bytes) in frames() {
            let mut rig = ServerRig::start(config().wires(wires));
            let mut peer = Peer::connect(rig.addr());
            peer.send(&bytes);
            let expected = opening(name, wires == Wires::Any);
            match expected {
                InV0 => assert_eq!(rig.online().1, None, "{name}"),
                InV1 => assert!(rig.online().1.is_some(), "{name}"),
                Breach(_, false) => {
                    // Beats of v0 are all it may say.
                    peer.expect_end();
                    rig.expect_nothing();
                    assert_eq!(rig.stats().protocol_error, 1, "{name} ({wires:?})");
                }
                other => panic!("{other:?}"),
            }
            rig.handle().shut_down();
        }
    }
}

#[test]
fn of_a_server_after_the_handshake() {
    for (name, bytes) in frames() {
        let mut rig = ServerRig::start(config());
        let (mut peer, _) = Peer::welcomed(rig.addr(), &hello());
        let (id, _) = rig.online();
        peer.send(&bytes);
        match after(name) {
            Ignored => {
                peer.data(b"still there");
                assert_eq!(rig.data(id), b"still there", "{name}");
            }
            Delivered => assert_eq!(rig.data(id), b"data"),
            Over => assert_eq!(rig.offline(id), Reason::Bye(ByeCode::Done)),
            Breach(breach, says_bye) => {
                assert_eq!(breach_of(rig.offline(id)), breach, "{name}");
                if says_bye {
                    assert_eq!(peer.expect_bye().0, ByeCode::Protocol, "{name}");
                }
            }
            other => panic!("{other:?}"),
        }
        drop(peer);
        rig.finish();
    }
}

#[test]
fn of_a_server_while_it_decides() {
    for (name, bytes) in frames() {
        let hold = Gate::default();
        let held = hold.clone();
        let mut rig = ServerRig::acting(config(), move |event, _| {
            if matches!(event, Event::Offline { reason: Reason::TakenOver, .. }) {
                held.pass();
            }
        });
        let (_first, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
        let (first, _) = rig.online();
        // The second waits for the first one's end, and is not read meanwhile.
        let mut peer = Peer::connect(rig.addr());
        peer.send(&[hello_as("a", None), bytes].concat());
        assert_eq!(rig.offline(first), Reason::TakenOver, "{name}");
        hold.open();
        let (id, agreed) = rig.online();
        assert_eq!(agreed.unwrap().name.as_deref(), Some("a"));
        peer.expect_welcome();
        match after(name) {
            Ignored => {
                peer.data(b"still there");
                assert_eq!(rig.data(id), b"still there", "{name}");
            }
            Delivered => assert_eq!(rig.data(id), b"data"),
            Over => assert_eq!(rig.offline(id), Reason::Bye(ByeCode::Done)),
            Breach(breach, _) => assert_eq!(breach_of(rig.offline(id)), breach, "{name}"),
            other => panic!("{other:?}"),
        }
        drop(peer);
        rig.finish();
    }
}

/// The reaction of a client that waits for its WELCOME.
fn awaiting(name: &str) -> Reaction {
    match name {
        "v0 beat" => Ignored,
        "welcome" => InV1,
        "bye" => Over,
        "a type beyond those" | "a negative type" => Breach("unknown_type", false),
        "a negative length" => Breach("negative_length", false),
        "an endless bye" | "an endless welcome" => Breach("too_long", false),
        _ => Breach("unexpected", false),
    }
}

#[test]
fn of_a_client_that_waits_for_its_welcome() {
    let listener = Listener::new();
    for (name, bytes) in frames() {
        let config = client_config(listener.addr()).retry(Retry::Never);
        let client = ClientRig::start(config.handshake_timeout(ms(3000)));
        client.connecting();
        let mut peer = listener.accept();
        peer.send(&bytes);
        match awaiting(name) {
            InV1 => {
                client.online();
            }
            Over => match client.failed() {
                ConnectError::TurnedAway { code: ByeCode::Done, retry: Again::AtWill, .. } => {}
                other => panic!("{name}: {other}"),
            },
            expected => {
                let reason = match client.failed() {
                    ConnectError::NoWelcome { reason, .. } => reason,
                    other => panic!("{name}: {other}"),
                };
                let breach = match expected {
                    Breach(breach, _) => breach,
                    _ => "no_first_frame",
                };
                assert_eq!(breach_of(reason), breach, "{name}");
            }
        }
    }
}

#[test]
fn of_a_client_after_the_handshake() {
    let listener = Listener::new();
    for (name, bytes) in frames() {
        let config = client_config(listener.addr()).retry(Retry::Never);
        let client = ClientRig::start(config);
        let mut peer = listener.accept();
        peer.welcome_by(&Terms::new(Offer::new(&patient())));
        client.online();
        peer.send(&bytes);
        match after(name) {
            Ignored => {
                peer.data(b"still there");
                assert!(
                    matches!(client.next(), ClientEvent::Data(data) if data == b"still there"),
                    "{name}"
                );
            }
            Delivered => {
                assert!(matches!(client.next(), ClientEvent::Data(data) if data == b"data"));
            }
            Over => {
                assert_eq!(client.offline(), Reason::Bye(ByeCode::Done));
                client.closed();
            }
            Breach(breach, says_bye) => {
                // Otherwise the client waits a while for its server to close as well.
                assert_eq!(matches!(peer.next_but_beats(), Got::Bye(..)), says_bye, "{name}");
                drop(peer);
                assert_eq!(breach_of(client.offline()), breach, "{name}");
                client.closed();
            }
            other => panic!("{other:?}"),
        }
    }
}
