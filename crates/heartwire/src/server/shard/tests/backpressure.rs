//! Backpressure: a slow application causes no verdict, and its waiting events are bounded.

use std::io;

use heartwire_testkit::{Got, data, ms, policy, timeout};

use super::v0;
use crate::Reason;
use crate::server::limits::Limits;
use crate::server::rig::Rig;
use crate::server::{Event, Protocols};
use crate::toy::Toy;

/// Not the clients' silence, and not the time for their frames, the first one or another.
#[test]
fn a_slow_application_is_no_death_and_no_breach_and_loses_nothing() {
    const TIMEOUT: u64 = 3_000;
    let limits =
        Limits::default().handshake_timeout(Some(ms(TIMEOUT))).frame_timeout(Some(ms(TIMEOUT)));
    let mut rig = Rig::start(v0().policy(timeout(TIMEOUT)).limits(limits));
    let ((partial, partial_id), (new, new_id)) = (rig.online(), rig.online());
    let ((peer, id), (silent, silent_id)) = (rig.online(), rig.online());
    silent.beat();
    partial.data(b"");
    partial.send(&data(b"half a frame")[..14]);
    rig.run();
    rig.expect_data(partial_id, b"");
    rig.leave_room(0);
    partial.send(&data(b"half a frame")[14..]);
    new.data(b"the first");
    peer.data(b"1");
    peer.data(b"2");
    rig.pass_beating(ms(TIMEOUT * 2), &[&partial, &new, &peer]);
    // Found while the application was slow, not afterwards.
    assert!(rig.verdict(silent_id).late <= ms(8));
    rig.expect_nothing();
    rig.leave_room(usize::MAX);
    rig.run();
    let mut told: Vec<_> = (0..4).map(|_| rig.next()).collect();
    // Of different sessions they may come in any order.
    told.sort_by_key(|event| if let Event::Data { id, .. } = event { Some(*id) } else { None });
    let of = |id, data: &[u8]| Event::Data { id, data: data.to_vec() };
    let frame = of(partial_id, b"half a frame");
    assert_eq!(told, [frame, of(new_id, b"the first"), of(id, b"1"), of(id, b"2")]);
    rig.expect_nothing();
}

#[test]
fn an_application_with_room_for_newcomers_alone_shuts_out_none() {
    // Where the first frame decides what a client speaks, it has to be read.
    let mut rig = Rig::acting(v0().protocols(Protocols::Any), |event, control| {
        if let Event::Data { id, data } = event {
            control.send(*id, data).unwrap();
        }
    });
    let stranger = rig.door.connect();
    stranger.data(b"first");
    rig.run();
    let (id, _) = rig.told_online();
    rig.expect_data(id, b"first");
    rig.inbox().room = 0;
    (0..1_000).for_each(|_| stranger.data(b""));
    for _ in 0..100 {
        let newcomer = rig.door.connect();
        newcomer.data(b"hello");
        rig.run();
        let (id, _) = rig.told_online();
        rig.expect_data(id, b"hello");
        assert_eq!(newcomer.got(), [Got::Data(b"hello".to_vec())]);
        // What those that are in send now waits for the application.
        newcomer.data(b"later");
    }
    rig.expect_nothing();
    rig.leave_room(usize::MAX);
    rig.run();
    assert_eq!(rig.inbox().events.len(), 1_100);
}

#[test]
fn a_shard_that_waits_for_room_reads_nothing_accepts_no_client_and_does_not_spin() {
    let mut rig = Rig::start(v0().policy(policy(50, 60_000)));
    let (client, id) = rig.online();
    rig.leave_room(0);
    rig.run();
    client.data(b"later");
    let _waiting = rig.door.connect();
    let before = rig.turns(0);
    rig.pass(ms(400));
    rig.expect_nothing();
    // It wakes for its beats, and for what came.
    let turns = rig.turns(0) - before;
    assert!(turns <= 8 + 2, "{turns} turns");
    assert!(client.got().len() >= 7);
    rig.leave_room(usize::MAX);
    rig.run();
    rig.expect_data(id, b"later");
    rig.told_online();
}

/// The shard asks before each read, so that what an application gets after it has said that there
/// is no room is bounded by one read, and not by the number of clients.
#[test]
fn an_application_without_room_gets_the_rest_of_one_read_at_most() {
    const CLIENTS: usize = 50;
    const FRAMES: usize = 20;
    let mut rig = Rig::start(v0());
    let clients: Vec<Toy> = (0..CLIENTS).map(|_| rig.online().0).collect();
    clients.iter().for_each(|client| client.send(&data(&[7; 1_000]).repeat(FRAMES)));
    for _ in 0..CLIENTS {
        rig.leave_room(1);
        rig.run();
        assert_eq!(rig.inbox().events.drain(..).count(), FRAMES);
    }
    rig.leave_room(1);
    rig.expect_nothing();
}

#[test]
fn a_reset_that_comes_while_the_application_is_slow_is_a_reset_and_loses_nothing() {
    // Found by a beat that is written, or by a look for bytes when the deadline comes.
    for (policy, found_within) in [(policy(40, 60_000), 400), (timeout(2_000), 2_500)] {
        let mut rig = Rig::start(v0().policy(policy));
        let ((speaking, speaking_id), (silent, silent_id)) = (rig.online(), rig.online());
        rig.leave_room(0);
        speaking.data(b"last words");
        speaking.reset();
        silent.end(io::ErrorKind::ConnectionReset);
        rig.pass(ms(found_within));
        rig.leave_room(usize::MAX);
        rig.run();
        // Of different sessions they may come in any order.
        let silents = |event: &Event<Vec<u8>>| {
            let Event::Offline { id, reason, .. } = event else { return false };
            (*id, reason) == (silent_id, &Reason::Reset)
        };
        assert!(rig.inbox().events.iter().any(silents));
        rig.inbox().events.retain(|event| !silents(event));
        rig.expect_data(speaking_id, b"last words");
        assert_eq!(rig.offline(speaking_id).0, Reason::Reset);
    }
}

/// The application sends more than the queue takes, so that the socket's failure shows at once.
/// What the client said before it went is told all the same.
#[test]
fn a_client_that_has_gone_is_read_to_its_end_though_a_full_queue_tells_of_it_first() {
    let mut rig = Rig::start(v0().limits(Limits::default().max_queue(100)));
    let (client, id) = rig.online();
    rig.leave_room(0);
    client.data(b"last words");
    client.state().write_error = Some(io::ErrorKind::BrokenPipe);
    client.close();
    rig.run();
    rig.handle.send(id, &[0; 60]).unwrap();
    rig.handle.send(id, &[0; 60]).unwrap();
    rig.expect_nothing();
    rig.leave_room(usize::MAX);
    rig.run();
    rig.expect_data(id, b"last words");
    assert_eq!(rig.offline(id).0, Reason::ClosedByPeer);
}
