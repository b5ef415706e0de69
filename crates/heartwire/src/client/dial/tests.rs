use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::TcpListener;

use socket2::{Domain, Socket, Type};

use super::{ADDRESSES_MAX, ConnectError, connect_any, in_order, look_up, prepare};
use crate::kernel::KernelOptions;

const SOON: Duration = Duration::from_secs(10);

fn order(addresses: &[&str]) -> Vec<String> {
    in_order(addresses.iter().map(|address| address.parse().unwrap()))
        .iter()
        .map(SocketAddr::to_string)
        .collect()
}

/// An address where nobody listens, and the socket that keeps anybody else from doing so.
fn nobody() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

#[test]
fn families_take_turns_and_ipv6_begins() {
    assert_eq!(
        order(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1", "[::2]:1"]),
        ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"]
    );
    assert_eq!(order(&["[::1]:1", "[::2]:1", "1.1.1.1:1"]), ["[::1]:1", "1.1.1.1:1", "[::2]:1"]);
    assert_eq!(order(&["1.1.1.1:1"]), ["1.1.1.1:1"]);
    assert!(order(&[]).is_empty());
}

#[test]
fn repeated_addresses_are_tried_once_and_eight_at_most() {
    assert_eq!(
        order(&["1.1.1.1:1", "1.1.1.1:1", "[::1]:1", "1.1.1.1:1"]),
        ["[::1]:1", "1.1.1.1:1"]
    );
    let many: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}:1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(order(&many), many[..ADDRESSES_MAX]);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (refusing, _socket) = nobody();
    let dialled = connect_any(vec![refusing, address], SOON, &KernelOptions::default()).await;
    assert_eq!(dialled.unwrap().peer, address);
}

#[tokio::test]
async fn every_address_that_was_tried_is_named_with_its_own_error() {
    let ((first, _s1), (second, _s2)) = (nobody(), nobody());
    let tried =
        connect_any(vec![first, second], SOON, &KernelOptions::default()).await.unwrap_err();
    assert_eq!(tried.iter().map(|tried| tried.address).collect::<Vec<_>>(), [first, second]);
    assert!(tried.iter().all(|tried| tried.error.kind() == io::ErrorKind::ConnectionRefused));
    let error = ConnectError::NoAnswer { target: "gateway:1".to_owned(), tried };
    let text = error.to_string();
    assert!(text.starts_with("gateway:1 does not answer: 127.0.0.1:"), "{text}");
    assert!(text.contains(&second.to_string()), "{text}");
}

#[tokio::test]
async fn a_connection_to_itself_is_refused() {
    let (address, socket) = nobody();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(socket.into()).unwrap();
    let error = prepare(stream, address, &KernelOptions::default()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    // The port is free at once, even for a server that does not set `SO_REUSEADDR`.
    let server = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    server.bind(&address.into()).unwrap();
}

#[tokio::test]
async fn a_target_without_a_port_cannot_be_retried() {
    for target in ["gateway", "", "gateway:", "gateway:99999"] {
        let error = look_up(target, SOON).await.unwrap_err();
        assert!(matches!(error, ConnectError::BadTarget { .. }), "{target:?}: {error}");
        assert!(!error.is_retryable());
    }
}

#[test]
fn a_look_up_that_takes_too_long_is_given_up() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    // The only thread for look-ups is as busy as one that asks a resolver that does not answer.
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    let error = runtime.block_on(look_up("localhost:1", Duration::from_millis(50))).unwrap_err();
    assert!(matches!(error, ConnectError::LookUpTimedOut { .. }), "{error}");
    assert!(error.is_retryable());
    drop(release);
}
