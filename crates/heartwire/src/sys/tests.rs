#![cfg(target_os = "linux")]

use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use mio::net::TcpStream as MioStream;
use mio::{Events, Interest, Poll, Token};

use super::{resends_after, set_receive_mark, since_last_receive, try_coalescing};

/// Longer than any wake-up that is going to come takes.
const NEVER: Duration = Duration::from_millis(100);

/// Two ends of a connection, the second one accepted from a listener with a mark of 9 bytes.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    set_receive_mark(&listener, 9).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    (client, listener.accept().unwrap().0)
}

fn polled(server: TcpStream) -> (Poll, MioStream) {
    server.set_nonblocking(true).unwrap();
    let poll = Poll::new().unwrap();
    let mut server = MioStream::from_std(server);
    poll.registry().register(&mut server, Token(0), Interest::READABLE).unwrap();
    (poll, server)
}

fn wakes(poll: &mut Poll, within: Duration) -> bool {
    let mut events = Events::with_capacity(4);
    poll.poll(&mut events, Some(within)).unwrap();
    !events.is_empty()
}

#[test]
fn this_system_has_both_options() {
    try_coalescing().unwrap();
}

#[test]
fn an_accepted_socket_inherits_the_mark_and_sleeps_through_one_beat() {
    let (mut client, server) = pair();
    let (mut poll, mut server) = polled(server);
    client.write_all(&[0; 8]).unwrap();
    assert!(!wakes(&mut poll, NEVER));
    client.write_all(&[0; 8]).unwrap();
    assert!(wakes(&mut poll, Duration::from_secs(10)));
    assert_eq!(server.read(&mut [0; 64]).unwrap(), 16);
}

#[test]
fn a_read_below_the_mark_returns_what_is_there() {
    let (mut client, server) = pair();
    let (mut poll, mut server) = polled(server);
    client.write_all(&[0; 3]).unwrap();
    assert!(!wakes(&mut poll, NEVER));
    assert_eq!(server.read(&mut [0; 64]).unwrap(), 3);
}

#[test]
fn lowering_the_mark_wakes_for_what_already_waits() {
    let (mut client, server) = pair();
    let (mut poll, server) = polled(server);
    client.write_all(&[0; 3]).unwrap();
    assert!(!wakes(&mut poll, NEVER));
    set_receive_mark(&server, 1).unwrap();
    assert!(wakes(&mut poll, Duration::from_secs(10)));
}

#[test]
fn the_end_of_a_connection_wakes_below_the_mark() {
    let (mut client, server) = pair();
    let (mut poll, _server) = polled(server);
    client.write_all(&[0; 3]).unwrap();
    drop(client);
    assert!(wakes(&mut poll, Duration::from_secs(10)));
}

#[test]
fn a_reset_wakes_below_the_mark() {
    let (client, server) = pair();
    let (mut poll, _server) = polled(server);
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert!(wakes(&mut poll, Duration::from_secs(10)));
}

#[test]
fn the_last_arrival_is_known_without_a_read_and_is_not_changed_by_one() {
    let (mut client, mut server) = pair();
    let before = std::time::Instant::now();
    client.write_all(&[0; 8]).unwrap();
    // Time has to pass for real: the kernel's clock is what is tested.
    let mut poll = Poll::new().unwrap();
    wakes(&mut poll, Duration::from_millis(200));
    let age = since_last_receive(&server).unwrap();
    let elapsed = before.elapsed();
    assert!(age >= Duration::from_millis(180), "{age:?}");
    assert!(age <= elapsed + Duration::from_millis(20), "{age:?} after {elapsed:?}");
    // A blocking read would wait for the mark.
    server.set_nonblocking(true).unwrap();
    assert_eq!(server.read(&mut [0; 64]).unwrap(), 8);
    assert!(since_last_receive(&server).unwrap() >= age);
}

#[test]
fn other_descriptors_are_refused() {
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(set_receive_mark(&file, 9).is_err());
    assert!(since_last_receive(&file).is_err());
}

#[test]
fn the_system_tells_after_how_long_it_sends_again() {
    let (client, _server) = pair();
    assert!(resends_after(&client).unwrap() > Duration::ZERO);
}
