//! An application that takes its events late is not a server that is dead.

use heartwire::Reason;
use heartwire_testkit::{ClientRig, data, ms, pass};

#[test]
fn events_are_all_delivered_when_the_application_catches_up_and_before_an_end() {
    let (rig, server, mut peer) = ClientRig::online_with(|config| config);
    let frames: Vec<u8> = (0..1600_u16).flat_map(|n| data(&n.to_le_bytes())).collect();
    // The application starts more and more late: at last the channel is full, and room comes and
    // goes until the end.
    let take_all = |round: u64| {
        pass(ms(round / 2));
        (0..1600_u16).for_each(|n| assert_eq!(rig.data(), n.to_le_bytes()));
    };
    for round in 0..50 {
        peer.expect_heart();
        peer.send(&frames);
        take_all(round);
        peer.send(&frames);
        drop(peer);
        take_all(round);
        assert_eq!(rig.offline(), Reason::ClosedByPeer);
        rig.waiting();
        assert_eq!(rig.connecting(), 1);
        peer = server.accept();
        rig.expect_online();
    }
}
