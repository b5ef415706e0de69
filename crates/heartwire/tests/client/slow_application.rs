//! An application that takes its events late is not a server that is dead.

use std::time::Instant;

use heartwire::Reason;
use heartwire_testkit::{ClientRig, Got, beat, data, limit, ms, pass, policy, verdict_of};

#[test]
fn reading_pauses_and_beats_go_on_and_no_verdict_comes() {
    let silence = ms(2_000);
    let policy = policy(50, 2_000);
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(policy));
    let count: u32 = 6000;
    let mut sender = peer.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for n in 0..count {
            let mut body = vec![0; 16 * 1024];
            body[..4].copy_from_slice(&n.to_le_bytes());
            std::io::Write::write_all(&mut sender, &data(&body)).unwrap();
        }
    });
    // For two limits and more nobody takes an event.
    let started = Instant::now();
    while started.elapsed() < 2 * silence + ms(300) {
        peer.expect_heart();
    }
    // The kernels hold a few megabytes, the channel 16: the rest of the 94 waits at the server.
    assert!(!writer.is_finished(), "reading did not pause");
    rig.send(b"writing goes on");
    loop {
        match peer.next() {
            Got::Heart => {}
            frame => break assert_eq!(frame, Got::Data(b"writing goes on".to_vec())),
        }
    }
    for n in 0..count {
        assert_eq!(rig.data()[..4], n.to_le_bytes());
    }
    writer.join().unwrap();
    // Now it is silent, and the application listens.
    assert!(verdict_of(rig.offline()).silence >= silence);
}

#[test]
fn a_server_that_died_with_nothing_left_unread_is_judged_in_time_and_reported_after_its_data() {
    let policy = limit(2_000);
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(policy));
    // One read takes it all, and 1,024 events fill the channel.
    let frames: Vec<u8> = (0..1200_u16).flat_map(|n| data(&n.to_le_bytes())).collect();
    peer.send(&frames);
    pass(ms(4_200));
    for n in 0..1200_u16 {
        assert_eq!(rig.data(), n.to_le_bytes());
    }
    // Had it been postponed until the application listened, it would be late.
    verdict_of(rig.offline());
}

#[test]
fn a_new_connection_is_not_judged_before_the_application_has_room_for_it() {
    let caps = heartwire::Caps::default().first_frame(Some(ms(2_000)));
    let (rig, server, mut peer) =
        ClientRig::online_with(|config| config.caps(caps).policy(beat(50)));
    peer.expect_heart();
    let frames: Vec<u8> = (0..1024_u16).flat_map(|n| data(&n.to_le_bytes())).collect();
    peer.send(&frames);
    pass(ms(100));
    // The channel is full, and stays so but for the three events on the way to a new connection.
    drop(peer);
    for n in 0..3_u16 {
        assert_eq!(rig.data(), n.to_le_bytes());
    }
    let mut peer = server.accept();
    peer.send(&data(b"in time"));
    // For longer than the first frame may take.
    for _ in 0..50 {
        peer.expect_heart();
    }
    for n in 3..1024_u16 {
        assert_eq!(rig.data(), n.to_le_bytes());
    }
    rig.expect_offline();
    rig.waiting();
    assert_eq!(rig.connecting(), 1);
    rig.expect_online();
    assert_eq!(rig.data(), b"in time");
}

#[test]
fn whatever_came_before_an_end_is_reported_before_it() {
    let (rig, server, mut peer) = ClientRig::online_with(|config| config);
    let frames: Vec<u8> = (0..1600_u16).flat_map(|n| data(&n.to_le_bytes())).collect();
    // The application starts more and more late: at last the channel is full, and room comes and goes until
    // the end.
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

#[test]
fn an_application_that_takes_no_event_is_connected_again_and_can_be_closed() {
    // An end behind unread data is noticed when a beat cannot be written.
    let (rig, server, mut peer) = ClientRig::online_with(|config| config.policy(beat(50)));
    let frames: Vec<u8> = (0..1100_u16).flat_map(|n| data(&n.to_le_bytes())).collect();
    peer.send(&frames);
    pass(ms(100));
    for _ in 0..3 {
        drop(peer);
        peer = server.accept();
        peer.expect_heart();
    }
    rig.client().close();
    while peer.next() != Got::Closed {}
    drop(peer);
    for n in 0..1100_u16 {
        assert_eq!(rig.data(), n.to_le_bytes());
    }
    for _ in 0..3 {
        rig.expect_offline();
        rig.waiting();
        assert_eq!(rig.connecting(), 1);
        rig.expect_online();
    }
    assert_eq!(rig.offline(), Reason::Shutdown);
    rig.closed();
}
