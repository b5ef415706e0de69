//! How a server ends.

use std::sync::mpsc;

use heartwire::Reason;
use heartwire::server::limits::Limits;
use heartwire::server::{Event, Server, ServerError};
use heartwire_testkit::{End, PATIENCE, Peer, ServerRig, data, wait_until};

use super::config;

#[test]
fn shutdown_ends_all_sessions_and_all_threads() {
    let mut rig = ServerRig::start(config().threads(3).reuse_port(false));
    let mut clients: Vec<_> = (0..30).map(|_| rig.connect()).collect();
    let handle = rig.handle().clone();
    let addr = rig.addr();
    // The rig expects 30 times `Offline` with that reason, then the end of the events.
    rig.finish();
    clients.iter_mut().for_each(|(peer, _)| assert_eq!(peer.expect_end(), End::Closed));
    assert_eq!((handle.count(), handle.stats().get("shutdown")), (0, Some(30)));
    assert!(std::net::TcpStream::connect(addr).is_err());
}

#[test]
fn a_goodbye_is_sent_before_the_end_every_time() {
    for _ in 0..100 {
        let mut rig = ServerRig::start(config());
        let (mut peer, id) = rig.connect();
        rig.handle().send(id, b"goodbye").unwrap();
        rig.handle().shutdown();
        assert_eq!(peer.read_to_end(), (data(b"goodbye"), End::Closed));
        drop(peer);
        rig.finish();
    }
}

#[test]
fn a_client_that_beats_while_it_reads_slowly_gets_everything_when_the_server_drains() {
    let mut rig =
        ServerRig::start(config().limits(Limits::default().max_queue(16 << 20)).drain(PATIENCE));
    let mut peer = Peer::connect_narrow(rig.addr());
    let id = rig.expect_online(&peer);
    for number in 0..50_u8 {
        rig.handle().send(id, &[number; 60_000]).unwrap();
    }
    rig.handle().shutdown();
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

#[test]
fn dropping_the_server_shuts_it_down() {
    let (server, mut events) = Server::start_with_events(config()).unwrap();
    let mut next = || loop {
        // A busy machine makes a shard stand still.
        match events.blocking_recv() {
            Some(Event::Paused { .. }) => {}
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
fn an_application_that_drops_the_events_wants_none_and_the_server_goes_on() {
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
    server.handle().shutdown();
    server.join().unwrap();
}

#[test]
fn a_handler_that_panics_ends_its_shard_and_join_says_so() {
    let (panicking, panicked) = mpsc::channel();
    let server = Server::start(config().threads(2).reuse_port(false), move |shard| {
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
    server.handle().shutdown();
    assert_eq!(on_first.expect_end(), End::Closed);
    let error = server.join().unwrap_err();
    assert!(matches!(error, ServerError::Panicked), "{error:?}");
}
