//! The client without async: that it is the same one, and what only it has: waiting for a while,
//! and not at all.

use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Instant;

use heartwire::Reason;
use heartwire::client::{Client, ClientConfig, Event, Events, SendError};
use heartwire_testkit::{End, Listener, PATIENCE, Peer, data, ms, pass};

/// A client that is online, and its server.
fn online(config: impl FnOnce(ClientConfig) -> ClientConfig) -> (Client, Events, Listener, Peer) {
    let server = Listener::new();
    let (client, mut events) = Client::start_on_thread(config(server.config())).unwrap();
    assert!(matches!(next(&mut events), Event::Connecting { attempt: 1 }));
    let peer = server.accept();
    assert!(matches!(next(&mut events), Event::Online { .. }));
    (client, events, server, peer)
}

/// The next event, pauses of a busy machine apart.
#[track_caller]
fn next(events: &mut Events) -> Event {
    loop {
        match events.blocking_recv_timeout(PATIENCE).expect("an event comes") {
            Event::Paused(_) => {}
            event => return event,
        }
    }
}

#[test]
fn data_go_both_ways_and_closing_writes_what_was_accepted() {
    let (client, mut events, _server, mut peer) = online(|config| config);
    peer.expect_heart();
    let sender = client.clone();
    let sending = thread::spawn(move || {
        (0..100).for_each(|n| sender.blocking_send(vec![n; 10_000]).unwrap())
    });
    (0..100).for_each(|n| peer.expect_data(&[n; 10_000]));
    sending.join().unwrap();
    client.blocking_flush();
    peer.data(b"back");
    assert!(matches!(next(&mut events), Event::Data(data) if data == b"back"));
    client.blocking_send(b"last".to_vec()).unwrap();
    drop(client);
    peer.expect_data(b"last");
    assert_eq!(peer.expect_end(), End::Closed);
    drop(peer);
    assert!(matches!(next(&mut events), Event::Offline { reason: Reason::Shutdown, .. }));
    assert!(matches!(next(&mut events), Event::Closed));
}

#[test]
fn a_message_that_waits_for_room_is_given_back_in_time_or_when_the_client_is_closed() {
    let (client, _events, _server, _peer) = online(|config| config.max_queue(64 << 20));
    while client.try_send(vec![1; 1 << 20]).is_ok() {}
    let body = vec![2; 60 << 20];
    match client.blocking_send_timeout(body, ms(50)) {
        Err(SendError::Full(body)) => assert_eq!(body.len(), 60 << 20),
        other => panic!("{other:?}"),
    }
    assert!(!client.blocking_flush_timeout(ms(50)));
    let waiting = client.clone();
    let sender = thread::spawn(move || waiting.blocking_send(vec![3; 60 << 20]));
    client.close();
    assert!(matches!(sender.join().unwrap(), Err(SendError::Closed(_))));
}

#[test]
fn waiting_for_an_event_ends_in_time_and_loses_none() {
    let (_client, mut events, _server, mut peer) = online(|config| config);
    assert_eq!(events.try_recv().unwrap_err(), TryRecvError::Empty);
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(events.blocking_recv_timeout(ms(50)).unwrap_err(), RecvTimeoutError::Timeout);
        assert!(started.elapsed() >= ms(50));
    }
    // It may wait already, and is woken.
    let sending = thread::spawn(move || {
        pass(ms(50));
        peer.data(b"one");
        peer
    });
    assert!(matches!(events.blocking_recv(), Some(Event::Data(data)) if data == b"one"));
    drop(sending.join().unwrap());
}

#[test]
fn the_events_end_after_the_last_one() {
    let (client, mut events, _server, mut peer) = online(|config| config);
    for n in 0..10 {
        peer.data(&[n]);
    }
    let mut data: Vec<u8> = Vec::new();
    let mut last = None;
    while let Some(event) = events.blocking_recv() {
        if let Event::Data(body) = &event {
            data.extend(body);
            if data.len() == 10 {
                client.close();
            }
        }
        last = Some(event);
    }
    assert_eq!(data, (0..10).collect::<Vec<_>>());
    assert!(matches!(last, Some(Event::Closed)), "{last:?}");
    assert_eq!(events.try_recv().unwrap_err(), TryRecvError::Disconnected);
    assert_eq!(events.blocking_recv_timeout(PATIENCE).unwrap_err(), RecvTimeoutError::Disconnected);
    assert!(events.blocking_recv().is_none());
}

/// Where a runtime's own way to wait panics.
#[test]
fn the_synchronous_client_may_be_used_in_an_async_task() {
    let (client, mut events, _server, mut peer) = online(|config| config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    peer.send(&data(b"hello"));
    runtime.block_on(async {
        assert!(matches!(events.blocking_recv(), Some(Event::Data(_))));
        client.blocking_send(b"hello".to_vec()).unwrap();
        client.blocking_flush();
    });
    peer.expect_heart();
    peer.expect_data(b"hello");
}
