use std::io::Write as _;
use std::net::TcpListener;

use super::*;

/// The runtime looks at its sockets between the turns of tasks: this one makes no pause.
#[tokio::test]
async fn bytes_that_the_runtime_has_not_seen_are_read_if_the_kernel_is_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut socket = Stream::new(stream);
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"hello").unwrap();
    heartwire_testkit::wait_until("it has arrived", || socket.peek().is_ok());
    let mut buffer = [0; 16];
    let unseen = socket.read(&mut buffer).unwrap_err();
    assert_eq!(unseen.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(socket.read_now(&mut buffer).unwrap(), 5);
    assert_eq!(socket.read_now(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(peer);
    while socket.peek().is_err() {}
    assert_eq!(socket.read_now(&mut buffer).unwrap(), 0);
}
