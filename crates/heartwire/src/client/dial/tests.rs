use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::TcpListener;

use socket2::{Domain, Socket, Type};

use super::look_up::no_answer;
use super::{ByeCode, ConnectError, Dialled, RetryHint, Violation, connect_within, prepare, race};
use crate::Reason;
use crate::client::runtime::Stream;
use crate::kernel::{Keepalive, KernelOptions, KernelTimers};
use crate::tls::{CertificateFault, TlsError, TlsFault};

const SOON: Duration = Duration::from_secs(10);

async fn connect_any(
    addresses: Vec<SocketAddr>,
) -> Result<Dialled<Stream>, Vec<(SocketAddr, io::Error)>> {
    let mut tried = Vec::new();
    let kernel = KernelOptions::default();
    let won = race(addresses, |address| connect_within(address, SOON, &kernel), &mut tried).await;
    won.ok_or(tried)
}

/// An address without a listener, and a socket that keeps other programs from listening there.
fn not_listening() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (refusing, _socket) = not_listening();
    let dialled = connect_any(vec![refusing, address]).await;
    assert_eq!(dialled.unwrap().peer, address);
}

#[tokio::test]
async fn every_address_that_was_tried_is_named_with_its_own_error() {
    let ((first, _s1), (second, _s2)) = (not_listening(), not_listening());
    let tried = connect_any(vec![first, second]).await.unwrap_err();
    assert_eq!(tried.iter().map(|tried| tried.0).collect::<Vec<_>>(), [first, second]);
    assert!(tried.iter().all(|tried| tried.1.kind() == io::ErrorKind::ConnectionRefused));
    let error = ConnectError::NoAnswer { target: "gateway:1".to_owned(), tried };
    let text = error.to_string();
    let refused = "connection refused (is a server running there?)";
    assert_eq!(text, format!("cannot connect to gateway:1: {refused}"));

    let ConnectError::NoAnswer { target, mut tried } = error else { panic!("{error}") };
    tried[1].1 = io::Error::from_raw_os_error(113);
    let text = ConnectError::NoAnswer { target, tried }.to_string();
    assert!(text.ends_with(&format!("{first}: {refused}; {second}: No route to host")), "{text}");
}

/// The texts of errors that a program cannot make happen at will.
#[test]
fn each_error_is_one_sentence() {
    let peer: SocketAddr = "192.0.2.7:1".parse().unwrap();
    let target = || "gateway.invalid:1".to_owned();
    let no_name = "failed to lookup address information: Name or service not known";
    let after = |reason| ConnectError::NoWelcome { peer, reason };
    let rejected = |code, detail: &str| ConnectError::Rejected {
        peer,
        code,
        retry: RetryHint::AtWill,
        detail: detail.to_owned(),
    };
    let waited = Duration::from_millis(5_004);
    let http = Violation::UnknownType { header: *b"HTTP/1.1" };
    for (error, text) in [
        (
            ConnectError::LookUp { target: target(), error: io::Error::other(no_name) },
            "cannot find the host gateway.invalid: Name or service not known",
        ),
        (
            ConnectError::LookUp { target: target(), error: no_answer(Duration::from_secs(60)) },
            "cannot find the host gateway.invalid: no answer within 1m",
        ),
        (ConnectError::NoAddress { target: target() }, "the host gateway.invalid has no address"),
        (
            after(Reason::Protocol(Violation::NoFirstFrame { waited })),
            "connected to 192.0.2.7:1, but no Heartwire server answered within 5s (another \
             service, or one that speaks v0 only)",
        ),
        (
            after(Reason::Reset),
            "192.0.2.7:1 closed the connection without an answer (a full server, another service, \
             or one that speaks v0 only)",
        ),
        (
            after(Reason::Protocol(http)),
            "connected to 192.0.2.7:1, but its answer is not Heartwire's: unknown frame type \
             1347703880 (this looks like HTTP)",
        ),
        (
            rejected(ByeCode::Full, "too many clients wait"),
            "192.0.2.7:1 rejected this client: the server is full: too many clients wait",
        ),
        (rejected(ByeCode::Unauthorized, ""), "192.0.2.7:1 rejected this client: unauthorized"),
    ] {
        assert_eq!(error.to_string(), text);
        assert_eq!(error.may_speak_v0(), text.contains("v0"), "{text}");
    }
}

#[tokio::test]
async fn a_connection_to_itself_is_refused() {
    let (address, socket) = not_listening();
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
    let timers = KernelTimers::new(Some(keepalive), Some(seconds(12))).unwrap();
    let options = KernelOptions::default().timers(timers);
    let dialled = connect_within(listener.local_addr().unwrap(), SOON, &options).await.unwrap();
    assert_eq!(dialled.kernel, options.report());
}

#[test]
fn only_a_certificate_whose_time_is_wrong_may_be_accepted_later() {
    let retryable = |fault| {
        let error = TlsError(TlsFault::Certificate(fault));
        let peer = "192.0.2.1:1".parse().unwrap();
        ConnectError::Tls { peer, error, detail: String::new() }.is_retryable()
    };
    assert!(retryable(CertificateFault::Expired) && retryable(CertificateFault::NotYetValid));
    for fault in [
        CertificateFault::UnknownIssuer,
        CertificateFault::WrongName,
        CertificateFault::IsAuthority,
        CertificateFault::Revoked,
    ] {
        assert!(!retryable(fault), "{fault:?}");
    }
}
