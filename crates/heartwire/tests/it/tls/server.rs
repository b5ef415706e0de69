//! The sharded server with TLS, over the loopback.

use std::io::Write;

use heartwire::Reason;
use heartwire::server::limits::Limits;
use heartwire::server::{Control, Event, Protocols, Resume};
use heartwire::v1::Welcome;
use heartwire_core::resume::Position;
use heartwire_testkit::{
    DATA, Got, HEART, Latch, Peer as Plain, Resumable, ServerRig, after, beat_of, frame, header,
    patient,
};

use super::peer::{End, Peer, Rig, write_anyway};

#[test]
fn a_client_is_not_online_before_the_handshake() {
    let mut rig = Rig::start(|config| config);
    let mut peer = rig.begin();
    rig.expect_nothing();
    peer.flush();
    while peer.tls.is_handshaking() {
        peer.read().unwrap();
    }
    // What is still missing is the client's last message.
    rig.expect_nothing();
    assert_eq!(rig.handle().blocking_list().len(), 0);
    peer.flush();
    rig.expect_online(&peer);
    rig.finish();
}

#[test]
fn bytes_with_the_end_of_the_handshake_are_not_lost() {
    let mut rig = Rig::start(|config| config.protocols(Protocols::Any));
    let mut peer = rig.begin();
    while peer.tls.is_handshaking() {
        peer.flush();
        peer.read().unwrap();
    }
    // One write: the end of the handshake, and two frames.
    let bytes = [peer.records(&frame(HEART, &[])), peer.records(&frame(DATA, b"early"))].concat();
    assert!(write_anyway(&mut peer.stream, &bytes));
    let id = rig.expect_online(&peer);
    rig.expect_data(id, b"early");
    rig.finish();
}

#[test]
fn a_goodbye_is_told_from_a_cut() {
    let mut rig = Rig::start(|config| config);
    let (mut peer, id) = rig.secured();
    peer.data(b"last words");
    peer.say_goodbye();
    peer.hang_up();
    rig.expect_data(id, b"last words");
    assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    assert_eq!(peer.end(), End::Goodbye, "it is answered");

    let (mut peer, id) = rig.secured();
    peer.data(b"last words");
    peer.hang_up();
    rig.expect_data(id, b"last words");
    assert_eq!(rig.offline(id), Reason::NoGoodbye);

    let (mut peer, id) = rig.secured();
    let record = peer.records(&frame(DATA, b"half"));
    assert!(write_anyway(&mut peer.stream, &record[..10]));
    peer.hang_up();
    assert_eq!(rig.offline(id), Reason::Truncated);

    // Half a frame, and then a goodbye.
    let (mut peer, id) = rig.secured();
    peer.send(&frame(DATA, b"half")[..9]);
    peer.say_goodbye();
    peer.hang_up();
    assert_eq!(rig.offline(id), Reason::Truncated);
    let counts = ["closed_by_peer", "no_goodbye", "truncated"].map(|name| rig.count(name));
    assert_eq!(counts, [1, 1, 2]);
    rig.finish();
}

#[test]
fn the_server_says_goodbye_after_what_is_queued_or_when_it_ends_a_session() {
    let mut rig = Rig::start(|config| config);
    let (mut kicked, id) = rig.secured();
    rig.handle().kick(id).unwrap();
    assert_eq!(rig.offline(id), Reason::Kicked);
    assert_eq!(kicked.end(), End::Goodbye);
    let (mut last, id) = rig.secured();
    let long = vec![7; 200_000];
    rig.handle().send(id, &long).unwrap();
    rig.handle().shutdown();
    last.expect_data(&long);
    assert_eq!(last.end(), End::Goodbye);
    rig.finish();
}

#[test]
fn a_client_without_tls_is_told_what_it_has_met() {
    let mut rig = Rig::start(|config| config);
    // The last is more than the server reads before it knows.
    let long = vec![0; 200_000];
    let http = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    for first in [frame(HEART, &[]), frame(2, b"hello"), http, long] {
        let mut peer = Plain::connect(rig.addr());
        assert!(write_anyway(&mut peer.stream, &first));
        let answer = peer.read_to_end().0;
        assert_eq!(answer[..2], [0x15, 3], "an alert, not {answer:?}");
    }
    rig.wait_for_faults(4);
    // Nobody heard of them.
    rig.expect_nothing();
    rig.finish();
}

/// A peer whose first beat has come, so that its socket has its mark.
#[cfg(target_os = "linux")]
fn with_a_mark(rig: &mut Rig) -> (Peer, heartwire::server::SessionId) {
    let (mut peer, id) = rig.secured();
    peer.data(b"first");
    rig.expect_data(id, b"first");
    rig.turn();
    (peer, id)
}

/// It is shorter than any beat, and nothing follows it: no FIN before its answer, and no more
/// beats.
#[test]
fn a_goodbye_is_answered_though_beats_may_lie_in_the_kernel() {
    let mut rig = Rig::start(|config| config.coalesce(4));
    assert_eq!(rig.server().report().wake_bytes_v0, 1);
    for beats in 0..3 {
        let (mut peer, id) = with_a_mark(&mut rig);
        (0..beats).for_each(|_| peer.beat());
        peer.say_goodbye();
        assert_eq!(peer.end(), End::Goodbye);
        drop(peer);
        assert_eq!(rig.offline(id), Reason::ClosedByPeer);
    }
    rig.finish();
}

#[cfg(target_os = "linux")]
#[test]
fn the_rest_of_a_record_that_has_begun_wakes_at_once() {
    let mut rig = Rig::start(|config| config.coalesce(4));
    let (mut peer, id) = with_a_mark(&mut rig);
    for _ in 0..3 {
        let beats: Vec<u8> = (0..4).flat_map(|_| peer.records(&frame(HEART, &[]))).collect();
        let record = peer.records(&frame(DATA, b"?"));
        let (begun, rest) = record.split_at(10);
        assert!(write_anyway(&mut peer.stream, &[&beats[..], begun].concat()));
        assert!(write_anyway(&mut peer.stream, rest));
        rig.expect_data(id, b"?");
    }
    rig.finish();
}

#[test]
fn the_end_of_a_record_goes_out_though_nothing_follows_it() {
    let mut rig = Rig::start(|config| config.limits(Limits::default().max_queue(8_000_000)));
    let (mut peer, id) = rig.secured();
    let body = [7; 16_000];
    let mut sent = 0;
    // The last of them is a record that the socket has not taken whole.
    while rig.handle().blocking_list()[0].queued == 0 {
        rig.handle().send(id, &body).unwrap();
        sent += 1;
        // What a turn was told to send is written when it is over.
        rig.turn();
    }
    assert!(sent > 2);
    for _ in 0..sent {
        peer.expect_data(&body);
    }
    rig.finish();
}

#[test]
fn many_clients_at_once_all_get_in_and_take_turns() {
    let latch = Latch::default();
    let held = latch.clone();
    // Data keeps the shard busy until the test says otherwise.
    let act = move |event: &Event<&[u8]>, _: &mut Control<'_>| {
        if let Event::Data { .. } = event {
            held.pass();
        }
    };
    let mut rig = Rig::of(|config| ServerRig::acting(config, act), |tls| tls, |config| config);
    let mut peers: Vec<_> = (0..200).map(|_| rig.begin()).collect();
    let (mut first, id) = rig.secured();
    first.data(b"hold it");
    rig.expect_data(id, b"hold it");
    for peer in &mut peers {
        peer.flush();
    }
    let before = rig.handle().stats().turns;
    latch.open();
    for peer in &mut peers {
        while peer.tls.is_handshaking() {
            peer.read().unwrap();
        }
    }
    let turns = rig.handle().stats().turns - before;
    assert!(turns >= 200 / 32, "{turns} turns");
    for peer in &mut peers {
        peer.flush();
    }
    peers.iter().for_each(|_| drop(rig.online()));
    rig.handle().shutdown();
}

/// The first shard accepts for both: the second connection comes to the other one, which hands it
/// over with the state of its TLS.
#[test]
fn a_session_goes_on_on_another_connection_with_tls() {
    let mut rig = Rig::start(|config| {
        let config = config.protocols(Protocols::V1).policy(patient());
        config.threads(2).reuse_port(false).resume(Resume::new())
    });
    let mut peer = rig.connect();
    peer.send(&Resumable::hello().encode());
    let mut session = Resumable::of(&welcome(&mut peer));
    let id = rig.expect_online(&peer);
    peer.send(&frame(HEART, &beat_of(1).encode()));
    peer.data(b"first");
    rig.expect_data(id, b"first");
    // A record is cut off, as is the connection.
    let records = peer.records(&frame(DATA, b"second"));
    peer.stream.write_all(&records[..20]).unwrap();
    peer.hang_up();
    let Event::Away { reason, .. } = rig.next() else { panic!("not away") };
    assert_eq!(reason, Reason::Truncated);
    rig.handle().send(id, b"while it is away").unwrap();
    let mut peer = rig.connect();
    peer.send(&session.resuming(Position::default()));
    assert_eq!(session.resumed(&welcome(&mut peer)), after(&[b"first"]));
    assert!(matches!(rig.next(), Event::Back { .. }));
    // Its beat comes first.
    assert_eq!(peer.hear(8 + 48)[..8], header(HEART, 48));
    peer.expect_data(b"while it is away");
    peer.data(b"second");
    rig.expect_data(id, b"second");
    rig.finish();
}

#[track_caller]
fn welcome(peer: &mut Peer) -> Welcome {
    let header: [u8; 8] = peer.hear(8).try_into().unwrap();
    let len = usize::try_from(i32::from_le_bytes(header[4..].try_into().unwrap())).unwrap();
    match Got::of_frame(header, &peer.hear(len)) {
        Got::Welcome(welcome) => welcome,
        other => panic!("not welcome: {other:?}"),
    }
}
