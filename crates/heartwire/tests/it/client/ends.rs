//! From a target to a connection, and from its end to the next one.

use core::net::SocketAddr;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use heartwire::Reason;
use heartwire::client::{ClientConfig, ConnectError};
use heartwire_testkit::{ClientRig, Listener, fixed, ms};
use socket2::{Domain, Socket, Type};

#[test]
fn a_server_that_closes_is_looked_up_and_connected_to_again() {
    let server = Listener::new();
    let target = format!("localhost:{}", server.addr().port());
    let rig = ClientRig::start(ClientConfig::new(target).v0().reconnect(fixed(ms(10))));
    for _ in 0..3 {
        assert_eq!(rig.connecting(), 1);
        let mut peer = server.accept();
        assert_eq!(rig.expect_online(), server.addr());
        peer.expect_heart();
        peer.stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(rig.offline(), Reason::ClosedByPeer);
        assert_eq!(rig.waiting(), ms(10));
    }
}

#[test]
fn an_attempt_that_hangs_is_given_up_in_time_and_can_be_ended() {
    // The kernel of a hung server: one connection fits into its backlog, and then it drops SYNs.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    socket.listen(0).unwrap();
    let fillers: Vec<_> = (0..4).map(|_| TcpStream::connect_timeout(&address, ms(100))).collect();
    assert!(fillers.iter().any(Result::is_err), "the backlog is full");
    let config = ClientConfig::new(address.to_string()).v0().reconnect(None);

    let started = Instant::now();
    let rig = ClientRig::start(config.clone().connect_timeout(ms(200)));
    assert_eq!(rig.connecting(), 1);
    let error = rig.failed();
    let ConnectError::NoAnswer { tried, .. } = error else { panic!("{error}") };
    let tried: Vec<_> = tried.iter().map(|tried| (tried.0, tried.1.kind())).collect();
    assert_eq!(tried, [(address, io::ErrorKind::TimedOut)]);
    assert!(started.elapsed() >= ms(200));
    rig.closed();

    let rig = ClientRig::start(config.connect_timeout(ms(1_000_000)));
    assert_eq!(rig.connecting(), 1);
    rig.client().close();
    rig.closed();
}
