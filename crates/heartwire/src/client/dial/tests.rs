use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::TcpListener;

use socket2::{Domain, Socket, Type};

use super::{AddressError, ConnectError, Dialled, connect_within, prepare, race};
use crate::client::runtime::Stream;
use crate::kernel::{Keepalive, KernelOptions};

const SOON: Duration = Duration::from_secs(10);

async fn connect_any(addresses: Vec<SocketAddr>) -> Result<Dialled<Stream>, Vec<AddressError>> {
    let mut tried = Vec::new();
    let kernel = KernelOptions::default();
    let won = race(addresses, |address| connect_within(address, SOON, &kernel), &mut tried).await;
    won.ok_or(tried)
}

/// An address where nobody listens, and the socket that keeps anybody else from doing so.
fn nobody() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (refusing, _socket) = nobody();
    let dialled = connect_any(vec![refusing, address]).await;
    assert_eq!(dialled.unwrap().peer, address);
}

#[tokio::test]
async fn every_address_that_was_tried_is_named_with_its_own_error() {
    let ((first, _s1), (second, _s2)) = (nobody(), nobody());
    let tried = connect_any(vec![first, second]).await.unwrap_err();
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

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_options_in_force_are_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let seconds = Duration::from_secs;
    let keepalive = Keepalive::new(seconds(3), seconds(3), 3).unwrap();
    let options = KernelOptions::new(Some(keepalive), Some(seconds(12)), true).unwrap();
    let dialled = connect_within(listener.local_addr().unwrap(), SOON, &options).await.unwrap();
    assert_eq!(dialled.kernel.in_force, options);
}
