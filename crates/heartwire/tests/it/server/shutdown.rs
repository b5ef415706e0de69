//! How a server ends.

use std::sync::mpsc;
use std::time::Instant;

use heartwire::Reason;
use heartwire::server::{Acceptor, Event, Server, ServerError};
use heartwire_testkit::{End, Gate, PATIENCE, Peer, ServerRig, data, limit, ms, wait_until};

use super::config;

#[test]
fn everybody_goes_offline_and_everything_ends() {
    let mut rig = ServerRig::start(config().shards(3).acceptor(Acceptor::HandOver));
    let mut clients: Vec<_> = (0..30).map(|_| rig.connect()).collect();
    let handle = rig.handle().clone();
    let addr = rig.addr();
    // The rig expects 30 times `Offline` with that reason, then the end of the events.
    rig.finish();
    clients.iter_mut().for_each(|(peer, _)| assert_eq!(peer.expect_end(), End::Closed));
    assert_eq!((handle.count(), handle.stats().shutdown), (0, 30));
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn what_was_sent_before_the_shutdown_is_sent_however_the_shard_was_busy() {
    let gate = Gate::default();
    let held = gate.clone();
    let config = config().policy(limit(2_000)).drain(PATIENCE);
    let mut rig = ServerRig::acting(config, move |event, _| {
        if let Event::Verdict { .. } = event {
            held.pass();
        }
    });
    let (_silent, silent_id) = rig.connect();
    let (peer, id) = rig.connect();
    let peer = peer.beat_every(ms(40));
    let Event::Verdict { .. } = rig.next() else { panic!("one is silent") };
    // The shard is in the middle of a turn, past its commands.
    // Of broadcasts it carries out one in a turn.
    rig.handle().send(id, b"goodbye").unwrap();
    rig.handle().broadcast(b"to all").unwrap();
    rig.handle().broadcast(b"for good").unwrap();
    rig.handle().shut_down();
    gate.let_one_pass();
    let mut peer = peer.stop();
    [&b"goodbye"[..], b"to all", b"for good"].into_iter().for_each(|body| peer.expect_data(body));
    peer.expect_end();
    rig.expect_offline(silent_id);
    rig.finish();
}

#[test]
fn a_goodbye_is_sent_before_the_end_every_time() {
    for _ in 0..100 {
        let mut rig = ServerRig::start(config());
        let (mut peer, id) = rig.connect();
        rig.handle().send(id, b"goodbye").unwrap();
        rig.handle().shut_down();
        assert_eq!(peer.read_to_end(), (data(b"goodbye"), End::Closed));
        drop(peer);
        rig.finish();
    }
}

/// Whether it is the queue that holds what its client has not taken, or the kernel.
#[test]
fn a_client_that_never_reads_holds_it_up_for_the_drain_and_no_longer() {
    for (messages, is_queued) in [(100, true), (1, false)] {
        let mut rig = ServerRig::start(config().outbound_max(16 << 20).drain(ms(1_400)));
        let (mut idle, idle_id) = rig.connect();
        let stuck = Peer::connect_narrow(rig.addr());
        let stuck_id = rig.expect_online(&stuck);
        (0..messages).for_each(|_| rig.handle().send(stuck_id, &[1; 60_000]).unwrap());
        rig.turn();
        assert_eq!(rig.info(stuck_id).queued > 0, is_queued);
        let asked = Instant::now();
        rig.handle().shut_down();
        // The others do not wait for it.
        assert_eq!(idle.expect_end(), End::Closed);
        drop(idle);
        assert_eq!(rig.offline(idle_id), Reason::Shutdown);
        assert_eq!(rig.offline(stuck_id), Reason::Unacknowledged);
        assert!(asked.elapsed() >= ms(1_400), "it was given {:?} only", asked.elapsed());
        let handle = rig.handle().clone();
        rig.finish();
        assert_eq!((handle.stats().shutdown, handle.stats().unacknowledged), (1, 1));
    }
}

#[test]
fn a_client_that_beats_while_it_reads_slowly_gets_everything_when_the_server_drains() {
    let mut rig = ServerRig::start(config().outbound_max(16 << 20).drain(PATIENCE));
    let mut peer = Peer::connect_narrow(rig.addr());
    let id = rig.expect_online(&peer);
    for number in 0..50_u8 {
        rig.handle().send(id, &[number; 60_000]).unwrap();
    }
    rig.handle().shut_down();
    for number in 0..50_u8 {
        // Each of these would be answered with a reset by a socket that is closed.
        peer.beat();
        peer.expect_data(&[number; 60_000]);
    }
    peer.beat();
    assert_eq!(peer.expect_end(), End::Closed);
    drop(peer);
    assert_eq!(rig.offline(id), Reason::Shutdown);
    rig.finish();
}

/// A client that was ended shortly before, and does not close, has no more time than the others then. (The
/// server has nothing to do meanwhile: it would turn its loop as fast as it can.)
#[test]
fn one_that_has_ended_and_does_not_close_holds_it_up_for_the_drain_and_no_longer() {
    let mut rig = ServerRig::start(config().drain(ms(0)));
    let (_stays, id) = rig.connect();
    rig.handle().kick(id).unwrap();
    assert_eq!(rig.offline(id), Reason::Kicked);
    let handle = rig.handle().clone();
    let before = handle.stats().turns;
    rig.finish();
    let turns = handle.stats().turns - before;
    assert!(turns < 20, "{turns} turns after the drain");
}

#[test]
fn clients_that_cannot_be_told_when_to_come_back_are_closed_one_by_one() {
    const CLIENTS: u32 = 5;
    let mut rig = ServerRig::start(config().drain(ms(3_000)));
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| rig.connect()).collect();
    let asked = Instant::now();
    rig.handle().shut_down();
    for (n, (peer, id)) in (0..).zip(&mut clients) {
        assert_eq!(peer.expect_end(), End::Closed);
        let earliest = ms(2_000) * n / CLIENTS;
        assert!(asked.elapsed() >= earliest, "number {n} after {:?}", asked.elapsed());
        peer.half_close();
        assert_eq!(rig.offline(*id), Reason::Shutdown);
    }
    rig.finish();
}

#[test]
fn dropping_the_server_shuts_it_down() {
    let (server, mut events) = Server::start_with_events(config()).unwrap();
    let mut next = || loop {
        // A busy machine makes a shard stand still.
        match events.recv_blocking() {
            Some(Event::Stalled { .. }) => {}
            event => return event,
        }
    };
    let mut peer = Peer::connect(server.local_addrs()[0]);
    assert!(matches!(next(), Some(Event::Online { .. })));
    drop(server);
    assert_eq!(peer.expect_end(), End::Closed);
    assert!(matches!(next(), Some(Event::Offline { reason: Reason::Shutdown, .. })));
    assert_eq!(next(), None);
}

#[test]
fn an_owner_that_drops_the_events_wants_none_and_the_server_goes_on() {
    let (server, events) = Server::start_with_events(config()).unwrap();
    let mut peer = Peer::connect(server.local_addrs()[0]);
    // More than the channel holds, before and after.
    peer.send(&data(b"x").repeat(3_000));
    drop(events);
    peer.send(&data(b"x").repeat(3_000));
    // It is still served.
    wait_until("it is online", || server.handle().count() != 0);
    server.handle().broadcast(b"served").unwrap();
    assert_eq!(peer.receive_data(), b"served");
    server.handle().shut_down();
    server.join().unwrap();
}

#[test]
fn a_handler_that_panics_ends_its_shard_and_join_says_so() {
    let (panicking, panicked) = mpsc::channel();
    let server = Server::start(config().shards(2).acceptor(Acceptor::HandOver), move |shard| {
        let panicking = panicking.clone();
        move |event: Event<&[u8]>, control: &mut heartwire::server::Control<'_>| match event {
            Event::Data { data: b"panic", .. } if shard == 1 => {
                let _ = panicking.send(());
                // Without the message of a panic, which would look like a failure of the test.
                std::panic::resume_unwind(Box::new("as asked"));
            }
            Event::Data { id, data } => control.send(id, data).unwrap(),
            _ => {}
        }
    })
    .unwrap();
    let addr = server.local_addrs()[0];
    let (mut on_first, mut on_second) = (Peer::connect(addr), Peer::connect(addr));
    on_second.data(b"panic");
    panicked.recv_timeout(PATIENCE).unwrap();
    on_second.expect_end();
    on_first.data(b"the other shard lives");
    on_first.expect_data(b"the other shard lives");
    server.handle().shut_down();
    assert_eq!(on_first.expect_end(), End::Closed);
    let error = server.join().unwrap_err();
    assert!(matches!(error, ServerError::Panicked), "{error:?}");
}
