//! How sessions end when the client ends them.

use heartwire::Reason;
use heartwire::server::Event;
use heartwire_testkit::{DATA, End, HEART, Latch, Peer, ServerRig, data, header};

use super::config;

#[test]
fn a_client_that_closes_only_its_sending_half_still_gets_the_answers_to_what_it_sent() {
    let mut rig = ServerRig::echo(config());
    for rounds in 0..20 {
        let (mut peer, id) = rig.connect();
        let body = vec![b'x'; rounds * 1_000];
        peer.data(&body);
        peer.half_close();
        rig.expect_data(id, &body);
        assert_eq!(rig.offline(id), Reason::ClosedByPeer);
        let (bytes, end) = peer.read_to_end();
        assert_eq!((bytes, end), (data(&body), End::Closed));
    }
    rig.finish();
}

#[test]
fn a_close_within_a_frame_is_a_truncation() {
    let mut rig = ServerRig::start(config());
    for part in
        [&header(DATA, 5)[..1], &header(DATA, 5), &data(b"12345")[..12], &header(HEART, 0)[..7]]
    {
        let (mut peer, id) = rig.connect();
        peer.data(b"whole");
        peer.send(part);
        drop(peer);
        rig.expect_data(id, b"whole");
        assert_eq!(rig.offline(id), Reason::Truncated);
    }
    assert_eq!(rig.count("truncated"), 4);
    rig.finish();
}

#[test]
fn a_reset_within_a_body_is_a_reset() {
    let mut rig = ServerRig::start(config());
    for _ in 0..20 {
        let (mut peer, id) = rig.connect();
        peer.send(&[data(b"whole"), header(DATA, 1_000), vec![0; 10]].concat());
        rig.expect_data(id, b"whole");
        peer.reset();
        assert_eq!(rig.offline(id), Reason::Reset);
    }
    assert_eq!(rig.count("reset"), 20);
    rig.finish();
}

#[test]
fn a_reset_right_after_the_connect_ends_that_session_and_no_other() {
    let mut rig = ServerRig::echo(config());
    let (mut other, other_id) = rig.connect();
    for round in 0..200 {
        let peer = Peer::connect(rig.addr());
        let id = (round % 2 == 0).then(|| rig.expect_online(&peer));
        let addr = peer.addr();
        peer.reset();
        // Whether or not the server was as fast as the reset, it saw the client.
        let id = id.unwrap_or_else(|| match rig.next() {
            Event::Online { id, peer, .. } if peer == addr => id,
            event => panic!("{event:?}"),
        });
        assert_eq!(rig.offline(id), Reason::Reset);
    }
    rig.expect_echo(&mut other, other_id);
    rig.finish();
}

#[test]
fn a_reset_that_shows_while_the_server_writes_is_a_reset_too() {
    let latch = Latch::default();
    let held = latch.clone();
    let mut rig = ServerRig::acting(config(), move |event, control| {
        if let Event::Data { id, .. } = event {
            held.pass();
            control.send(*id, b"answer").unwrap();
        }
    });
    for _ in 0..5 {
        let (mut peer, id) = rig.connect();
        peer.data(b"question");
        rig.expect_data(id, b"question");
        peer.reset();
        latch.let_one_pass();
        assert_eq!(rig.offline(id), Reason::Reset);
    }
    rig.finish();
}
