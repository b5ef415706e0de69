//! Sessions that outlive their connections, with clients that the test plays. All else of them is
//! held by the unit tests of both ends, and by the simulator.

use heartwire::Reason;
use heartwire::server::{Event, Resume, ServerConfig, SessionId};
use heartwire_core::resume::Position;
use heartwire_testkit::{DATA, Got, Peer, Resumable, ServerRig, after, frame, ms};

use super::config;

const WINDOW: u32 = 1_000;

fn resumable() -> ServerConfig {
    config().resume(Resume::new().window(WINDOW).grace(ms(60_000)))
}

/// A client that was welcomed, and whose first beat was read.
#[track_caller]
fn online(rig: &mut ServerRig) -> (Peer, Resumable, SessionId) {
    let (mut peer, welcome) = Peer::welcomed(rig.addr(), &Resumable::hello().encode());
    let (id, _) = rig.online();
    peer.beat();
    peer.data(b"first");
    rig.expect_data(id, b"first");
    (peer, Resumable::of(&welcome), id)
}

/// It comes back, and its session goes on. Returns what the server has received.
#[track_caller]
fn come_back(rig: &ServerRig, session: &mut Resumable, received: Position) -> (Peer, Position) {
    let (peer, welcome) = Peer::welcomed(rig.addr(), &session.resuming(received));
    (peer, session.resumed(&welcome))
}

/// The first shard accepts for both, so that each other client comes to another shard than its
/// session.
#[test]
fn a_session_goes_on_on_another_connection_from_whatever_shard() {
    let mut rig = ServerRig::start(resumable().threads(2).reuse_port(false));
    let (mut peer, mut session, id) = online(&mut rig);
    let mut bodies: Vec<&[u8]> = Vec::new();
    let mut sent: Vec<&[u8]> = vec![b"first"];
    for _ in 0..4 {
        rig.handle().send(id, b"to the client").unwrap();
        bodies.push(b"to the client");
        assert_eq!(peer.receive_data(), b"to the client");
        // The next frames are lost with the connection, this one in the middle.
        peer.send(&frame(DATA, b"cut off")[..10]);
        peer.reset();
        let Event::Away { id: away, reason, .. } = rig.next() else { panic!("not away") };
        assert_eq!((away, reason), (id, Reason::Reset));
        rig.handle().send(id, b"while it is away").unwrap();
        bodies.push(b"while it is away");
        let received = after(&bodies[..bodies.len() - 1]);
        let (back, at_server) = come_back(&rig, &mut session, received);
        assert_eq!(at_server, after(&sent));
        assert!(matches!(rig.next(), Event::Back { id: of, .. } if of == id));
        peer = back;
        assert_eq!(peer.receive_data(), b"while it is away");
        peer.data(b"cut off");
        sent.push(b"cut off");
        rig.expect_data(id, b"cut off");
    }
    assert_eq!((rig.handle().count(), rig.handle().away()), (1, 0));
    rig.finish();
}

/// With events in a channel it is when the application takes the event out.
#[test]
fn data_in_a_channel_is_acknowledged_when_the_application_has_taken_it() {
    let mut rig = ServerRig::start(resumable());
    let (mut peer, mut session, id) = online(&mut rig);
    let body = [7; 292];
    peer.data(&body);
    peer.data(&body);
    rig.turn();
    // Beats tell what was taken over; an ACK, which would come before them, is not due.
    while taken_by_beat(&mut peer) == Position::default() {}
    assert_eq!(taken_by_beat(&mut peer), after(&[b"first"]));
    rig.expect_data(id, &body);
    assert_eq!(peer.next_but_beats(), Got::Ack(after(&[b"first", &body])));
    // What waits in the channel was received, and outlives the connection.
    peer.reset();
    let (mut peer, received) = come_back(&rig, &mut session, Position::default());
    assert_eq!(received, after(&[b"first", &body, &body]));
    rig.expect_data(id, &body);
    assert!(matches!(rig.next(), Event::Away { .. }));
    assert!(matches!(rig.next(), Event::Back { .. }));
    assert_eq!(peer.next_but_beats(), Got::Ack(received));
    rig.finish();
}

/// The next frame is a beat, which tells this position.
#[track_caller]
fn taken_by_beat(peer: &mut Peer) -> Position {
    let beat = peer.read(8 + 48);
    assert_eq!((beat[0], beat[4]), (0, 48));
    let at = |at: usize| u64::from_le_bytes(beat[at..at + 8].try_into().unwrap());
    Position { frames: at(40), bytes: at(48) }
}
