//! Limits on the bytes buffered for all sessions together.

use heartwire_core::frame::HEADER_LEN;
use heartwire_testkit::{DATA, header};

use super::v0;
use crate::Reason;
use crate::server::limits::Limits;
use crate::server::rig::Rig;
use crate::server::{Event, Protocols};
use crate::toy::Toy;

/// Of a frame of data.
fn all_but_a_byte(len: usize) -> Vec<u8> {
    [header(DATA, i32::try_from(len).unwrap()), vec![0; len - 1]].concat()
}

#[test]
fn incomplete_frames_are_buffered_for_few_pending_clients() {
    const LEN: usize = 40_000;
    let config = v0()
        .protocols(Protocols::Any)
        .limits(Limits::default().max_queue(64).max_pending_buffered(4 * LEN));
    let mut rig = Rig::start(config);
    let modest = rig.door.connect();
    modest.send(&all_but_a_byte(100));
    rig.run();
    let greedy: Vec<Toy> = (0..4).map(|_| rig.door.connect()).collect();
    for client in &greedy {
        client.send(&all_but_a_byte(LEN));
        rig.run();
    }
    // A quarter of the bound is free again, so two had to go: those for which most is held.
    let held = rig.handle.held();
    let bytes = [LEN, LEN, 100].map(|len| HEADER_LEN + len - 1).iter().sum();
    assert_eq!((held.pending_bytes.used, held.bytes.used), (bytes, bytes));
    assert_eq!((held.pending.used, held.sessions.used, held.away.used), (3, 3, 0));
    assert_eq!((held.pending_bytes.max, held.pending_bytes.fullest), (4 * LEN, 500));
    assert_eq!(rig.count("most_buffered"), 2);
    assert_eq!(greedy.iter().filter(|client| client.state().is_closed).count(), 2);
    modest.send(&[0]);
    rig.run();
    let (id, _) = rig.told_online();
    rig.expect_data(id, &[0; 100]);
}

#[test]
fn slow_readers_with_the_most_buffered_are_disconnected() {
    let mut rig =
        Rig::start(v0().limits(Limits::default().max_queue(100_000).max_buffered(200_000)));
    let clients: Vec<_> = (0..3).map(|_| rig.online()).collect();
    for (client, room) in clients.iter().zip([50_000, 0, 30_000]) {
        client.0.state().room = room;
    }
    // None of them comes to the end of its own queue.
    while rig.inbox().events.is_empty() {
        rig.handle.broadcast(&[1; 1_000]).unwrap();
        rig.run();
    }
    assert_eq!(rig.offline(clients[1].1).0, Reason::MostBuffered);
    rig.expect_nothing();
    assert_eq!((rig.count("most_buffered"), rig.count("slow_reader")), (1, 0));
}

/// One copy is held at a time, and not one for each.
#[test]
fn a_broadcast_to_clients_that_read_buffers_little() {
    const LEN: usize = 20_000;
    let mut rig =
        Rig::start(v0().limits(Limits::default().max_queue(2 * LEN).max_buffered(10 * LEN)));
    let clients: Vec<Toy> = (0..40).map(|_| rig.online().0).collect();
    rig.handle.broadcast(&[3; LEN]).unwrap();
    rig.expect_nothing();
    clients.iter().for_each(|client| assert_eq!(client.take_written().len(), HEADER_LEN + LEN));
}

/// The memory of a frame that was long is free when it is over.
#[test]
fn buffered_bytes_that_are_gone_do_not_count() {
    const LEN: usize = 40_000;
    let mut rig = Rig::start(v0().limits(Limits::default().max_queue(64).max_buffered(2 * LEN)));
    let (client, id) = rig.online();
    for _ in 0..5 {
        client.send(&all_but_a_byte(LEN));
        rig.run();
        client.send(&[0]);
        rig.run();
        rig.expect_data(id, &[0; LEN]);
    }
    for _ in 0..5 {
        let (client, id) = rig.online();
        client.send(&all_but_a_byte(LEN));
        rig.run();
        client.close();
        rig.run();
        assert_eq!(rig.offline(id).0, Reason::Truncated);
    }
    assert_eq!(rig.count("most_buffered"), 0);
}

/// Nor does that of a client that has ended and takes its time to close.
#[test]
fn buffered_bytes_of_ended_sessions_do_not_count() {
    let mut rig = Rig::start(v0().limits(Limits::default().max_queue(64).max_buffered(200_000)));
    let (largest, largest_id) = rig.online();
    largest.send(&all_but_a_byte(60_000));
    for _ in 0..10 {
        let (client, id) = rig.online();
        client.send(&all_but_a_byte(30_000));
        rig.run();
        rig.handle.kick(id).unwrap();
        rig.run();
        assert_eq!(rig.offline(id).0, Reason::Kicked);
        assert_eq!(client.got(), []);
    }
    largest.send(&[0]);
    rig.run();
    assert!(matches!(rig.next(), Event::Data { id, .. } if id == largest_id));
    assert_eq!(rig.count("most_buffered"), 0);
}
