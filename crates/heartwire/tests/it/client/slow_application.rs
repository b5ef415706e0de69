//! An application that takes its events late is not a server that is dead.

use heartwire::Reason;
use heartwire_testkit::{ClientRig, data, ms, pass};

#[test]
fn whatever_came_before_an_end_is_reported_before_it() {
    let (rig, server, mut peer) = ClientRig::online_with(|config| config);
    let frames: Vec<u8> = (0..1600_u16).flat_map(|n| data(&n.to_le_bytes())).collect();
    // The application starts more and more late: at last the channel is full, and room comes and
    // goes until the end.
    for round in 0..50 {
        peer.expect_heart();
        peer.send(&frames);
        drop(peer);
        pass(ms(round / 2));
        for n in 0..1600_u16 {
            assert_eq!(rig.data(), n.to_le_bytes());
        }
        assert_eq!(rig.offline(), Reason::ClosedByPeer);
        rig.waiting();
        assert_eq!(rig.connecting(), 1);
        peer = server.accept();
        rig.expect_online();
    }
}

#[test]
fn nothing_is_left_lying_when_the_application_catches_up() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config);
    let frames: Vec<u8> = (0..1600_u16).flat_map(|n| data(&n.to_le_bytes())).collect();
    for round in 0..50 {
        peer.send(&frames);
        pass(ms(round / 2));
        for n in 0..1600_u16 {
            assert_eq!(rig.data(), n.to_le_bytes());
        }
    }
}
