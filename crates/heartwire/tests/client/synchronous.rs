//! What only the client without async has: waiting for a while, and not at all.

use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::Instant;

use heartwire::client::{Event, SendError};

use super::rig::{GIVE_UP, Rig, data_frame, ms};
use super::subject::Ground;

#[test]
fn waiting_for_an_event_ends_in_time_and_loses_none() {
    let (mut rig, _server, mut peer) = Rig::online(|config| config);
    let events = rig.events.as_mut().unwrap();
    assert_eq!(events.try_recv().unwrap_err(), TryRecvError::Empty);
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(events.recv_timeout(ms(50)).unwrap_err(), RecvTimeoutError::Timeout);
        assert!(started.elapsed() >= ms(50));
    }
    peer.write(&data_frame(b"one"));
    assert_eq!(rig.expect_data(), b"one");
}

#[test]
fn an_event_ends_the_wait_for_it_at_once() {
    let (rig, _server, mut peer) = Rig::online(|config| config);
    let mut events = rig.events.unwrap();
    let waiting = std::thread::spawn(move || {
        let event = events.recv();
        (event, Instant::now())
    });
    super::rig::pass(ms(50));
    let sent_at = Instant::now();
    peer.write(&data_frame(b"now"));
    let (event, at) = waiting.join().unwrap();
    assert!(matches!(event, Some(Event::Data(data)) if data == b"now"));
    assert!(at - sent_at < GIVE_UP);
}

#[test]
fn the_iterator_ends_after_the_last_event() {
    let (mut rig, _server, mut peer) = Rig::online(|config| config);
    for n in 0..10 {
        peer.write(&data_frame(&[n]));
    }
    let mut events = rig.events.take().unwrap();
    let mut data: Vec<u8> = Vec::new();
    let mut last = None;
    for event in &mut events {
        if let Event::Data(body) = &event {
            data.extend(body);
            if data.len() == 10 {
                rig.client().close();
            }
        }
        last = Some(event);
    }
    assert_eq!(data, (0..10).collect::<Vec<_>>());
    assert!(matches!(last, Some(Event::Closed)), "{last:?}");
    assert_eq!(events.try_recv().unwrap_err(), TryRecvError::Disconnected);
    assert_eq!(events.recv_timeout(GIVE_UP).unwrap_err(), RecvTimeoutError::Disconnected);
    assert!(events.recv().is_none());
}

#[test]
fn a_message_that_finds_no_room_in_time_is_given_back() {
    let (rig, _server, peer) = Rig::online(|config| config.outbound_max(64 << 20));
    while rig.client().try_send(vec![1; 1 << 20]).is_ok() {}
    let body = vec![2; 60 << 20];
    match rig.client().send_timeout(body, ms(50)) {
        Err(SendError::Full(body)) => assert_eq!(body.len(), 60 << 20),
        other => panic!("{other:?}"),
    }
    assert!(!rig.client().flush_timeout(ms(50)));
    drop(peer);
}

/// Where a runtime's own way to wait panics.
#[test]
fn it_may_be_used_in_an_async_task() {
    let (rig, _server, mut peer) = Rig::online(|config| config);
    let Rig { client, events, ground: Ground } = rig;
    let (client, mut events) = (client.unwrap(), events.unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    peer.write(&data_frame(b"hello"));
    runtime.block_on(async {
        assert!(matches!(events.recv(), Some(Event::Data(_))));
        client.send(b"hello".to_vec()).unwrap();
        client.flush();
    });
    peer.expect_beat();
    peer.expect_data(b"hello");
}
