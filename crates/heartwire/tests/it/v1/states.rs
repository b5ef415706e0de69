//! What a server makes of a frame, by how far its client has come: one frame for each reaction.
//! Which type of frame may come in which state is a table of the core's, tested there
//! (`connection/gate/tests.rs`), and a client's reactions are tested by stepping.

use heartwire::Reason;
use heartwire::server::{Event, Protocols};
use heartwire::v1::{Bye, ByeCode, RetryHint};
use heartwire_testkit::{
    BEAT, HELLO, Latch, PAD, Peer, ServerRig, beat_of, data, frame, hello, hello_as,
};

use super::config;

#[test]
fn before_the_first_frame() {
    let v0 = [BEAT.to_vec(), data(b"data")];
    let breaches = [
        frame(PAD, &[0; 10]),
        Bye::new(ByeCode::Done, RetryHint::AtWill).encode(),
        frame(8, b""),
        [HELLO.to_le_bytes(), (-1_i32).to_le_bytes()].concat(),
    ];
    for (protocols, takes_v0) in [(Protocols::Any, true), (Protocols::V1, false)] {
        let mut rig = ServerRig::start(config().protocols(protocols.clone()));
        let addr = rig.addr();
        let say = |bytes: &[u8]| {
            let mut peer = Peer::connect(addr);
            peer.send(bytes);
            peer
        };
        let _ours = say(&hello());
        assert!(rig.online().1.is_some());
        if takes_v0 {
            let _beats = say(&v0[0]);
            assert_eq!(rig.online().1, None);
            let _talks = say(&v0[1]);
            let (id, agreed) = rig.online();
            assert_eq!(agreed, None);
            rig.expect_data(id, b"data");
        }
        let refused = breaches.iter().chain(v0.iter().filter(|_| !takes_v0));
        for (count, bytes) in (1..).zip(refused) {
            // Beats of v0 are all it may say.
            say(bytes).expect_end();
            assert_eq!(rig.count("protocol_error"), count, "{bytes:?} ({protocols:?})");
        }
    }
}

/// What becomes of a frame once the client is in.
enum Reaction {
    Ignored,
    Delivered,
    Over,
    Breach(&'static str),
}
use Reaction::{Breach, Delivered, Ignored, Over};

/// After its HELLO a client waits until it is decided about, and is not read meanwhile, while
/// another one of its name takes its leave. What it says then, it says after the handshake.
#[test]
fn after_the_handshake_and_while_the_server_decides() {
    let frames = [
        (frame(PAD, &[0; 10]), Ignored),
        (frame(0, &beat_of(1).encode()), Ignored),
        (data(b"data"), Delivered),
        (Bye::new(ByeCode::Done, RetryHint::AtWill).encode(), Over),
        (hello(), Breach("unexpected")),
        (BEAT.to_vec(), Breach("beat_length")),
        // An END, without a session that can be resumed.
        (frame(7, b""), Breach("unexpected")),
        (frame(8, b""), Breach("unknown_type")),
        ([PAD.to_le_bytes(), i32::MAX.to_le_bytes()].concat(), Breach("too_long")),
    ];
    for ((bytes, reaction), decides) in
        frames.iter().flat_map(|frame| [(frame, false), (frame, true)])
    {
        let hold = Latch::default();
        let held = hold.clone();
        let mut rig = ServerRig::acting(config(), move |event, _| {
            if matches!(event, Event::Offline { reason: Reason::TakenOver, .. }) {
                held.pass();
            }
        });
        let (mut peer, _older) = if decides {
            let (older, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
            let (first, _) = rig.online();
            let mut peer = Peer::connect(rig.addr());
            peer.send(&[hello_as("a", None), bytes.clone()].concat());
            assert_eq!(rig.offline(first), Reason::TakenOver);
            hold.open();
            peer.expect_welcome();
            (peer, Some(older))
        } else {
            let (mut peer, _) = Peer::welcomed(rig.addr(), &hello_as("a", None));
            peer.send(bytes);
            (peer, None)
        };
        let (id, agreed) = rig.online();
        assert_eq!(agreed.unwrap().name.as_deref(), Some("a"));
        match reaction {
            Ignored => {
                peer.data(b"still there");
                rig.expect_data(id, b"still there");
            }
            Delivered => rig.expect_data(id, b"data"),
            Over => assert_eq!(rig.offline(id), Reason::Bye(ByeCode::Done)),
            Breach(name) => {
                let reason = rig.offline(id);
                let Reason::Protocol(violation) = reason else { panic!("{bytes:?}: {reason}") };
                assert_eq!(violation.name(), *name, "{bytes:?}");
                assert_eq!(peer.expect_bye().0, ByeCode::Protocol, "{bytes:?}");
            }
        }
        drop(peer);
        rig.finish();
    }
}
