//! From a target to a connection, or not.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use heartwire::BackoffPolicy;
use heartwire::Wire;
use heartwire::client::{ClientConfig, ConnectError, Event, Retry, SendError};
use heartwire::kernel::{Keepalive, KernelOptions};
use heartwire_testkit::{ClientRig, Listener, fixed, ms, pass};
use socket2::{Domain, Socket, Type};

/// An address where nobody listens, and the socket that keeps anybody else from doing so.
fn nobody() -> (SocketAddr, Socket) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    (socket.local_addr().unwrap().as_socket().unwrap(), socket)
}

#[track_caller]
fn only_error(error: ConnectError) -> (SocketAddr, io::ErrorKind) {
    match error {
        ConnectError::NoAnswer { tried, .. } => match tried.as_slice() {
            [only] => (only.address, only.error.kind()),
            more => panic!("expected one address: {more:?}"),
        },
        other => panic!("expected no answer: {other}"),
    }
}

#[test]
fn a_refused_connection_is_tried_again_and_no_wait_is_cut_short() {
    let (address, _socket) = nobody();
    let started = Instant::now();
    let config = ClientConfig::new(address.to_string()).wire(Wire::V0).retry(fixed(ms(100)));
    let rig = ClientRig::start(config);
    for attempt in 1..=4 {
        assert_eq!(rig.connecting(), attempt);
        assert!(started.elapsed() >= (attempt - 1) * ms(100), "attempt {attempt}");
        let error = rig.failed();
        assert!(error.is_retryable());
        assert_eq!(only_error(error), (address, io::ErrorKind::ConnectionRefused));
        match rig.next() {
            Event::Waiting { wait, attempt: next } => {
                assert_eq!((wait, next), (ms(100), attempt + 1));
            }
            other => panic!("it does not wait: {other}"),
        }
    }
    assert!(matches!(rig.client().try_send(vec![1]), Err(SendError::NotConnected(_))));
}

#[test]
fn a_server_that_comes_up_later_is_found() {
    let (address, socket) = nobody();
    let rig =
        ClientRig::start(ClientConfig::new(address.to_string()).wire(Wire::V0).retry(fixed(ms(5))));
    assert_eq!(rig.connecting(), 1);
    rig.failed();
    socket.listen(1).unwrap();
    let listener: TcpListener = socket.into();
    let mut attempt = 1;
    loop {
        match rig.next() {
            Event::Waiting { attempt: next, .. } => assert_eq!(next, attempt + 1),
            Event::Connecting { attempt: next } => attempt = next,
            Event::Failed { .. } => {}
            Event::Online { peer, .. } => break assert_eq!(peer, address),
            other => panic!("{other}"),
        }
    }
    assert!(attempt > 1);
    drop(listener);
}

#[test]
fn the_same_seed_draws_the_same_waits_and_another_seed_others() {
    let policy = BackoffPolicy::exponential(ms(10), ms(40), ms(1000)).unwrap();
    let waits = |seed: Option<u64>| -> Vec<Duration> {
        let (address, _socket) = nobody();
        let mut config =
            ClientConfig::new(address.to_string()).wire(Wire::V0).retry(Retry::Backoff(policy));
        if let Some(seed) = seed {
            config = config.seed(seed);
        }
        let rig = ClientRig::start(config);
        (1..=5)
            .map(|attempt| {
                assert_eq!(rig.connecting(), attempt);
                rig.failed();
                rig.waiting()
            })
            .collect()
    };
    let first = waits(Some(1));
    assert_eq!(first, waits(Some(1)));
    assert_ne!(first, waits(Some(2)));
    assert_ne!(waits(None), waits(None));
    assert!(first[0] <= ms(10) && first.iter().all(|&wait| wait <= ms(40)));
}

#[test]
fn waits_start_small_again_only_after_a_connection_that_lasted() {
    let policy = BackoffPolicy::exponential(ms(10), ms(10_000), ms(2_000)).unwrap();
    let server = Listener::new();
    let rig = ClientRig::start(server.config().retry(Retry::Backoff(policy)).seed(7));
    let wait_after = |lasting: Duration| {
        assert_eq!(rig.connecting(), 1);
        let peer = server.accept();
        rig.expect_online();
        pass(lasting);
        drop(peer);
        rig.expect_offline();
        rig.waiting()
    };
    // This seed draws something over 10 ms from the sixth ceiling of 320 ms.
    let waits: Vec<Duration> = (0..6).map(|_| wait_after(ms(0))).collect();
    assert!(waits[5] > ms(10), "{waits:?}");
    assert!(wait_after(ms(2_000)) <= ms(10));
}

#[test]
fn an_attempt_that_hangs_is_given_up_in_time() {
    // The kernel of a hung server: one connection fits into its backlog, and then it drops SYNs.
    let (address, socket) = nobody();
    socket.listen(0).unwrap();
    let fillers: Vec<_> = (0..4).map(|_| TcpStream::connect_timeout(&address, ms(100))).collect();
    assert!(fillers.iter().any(Result::is_err), "the backlog is full");
    let started = Instant::now();
    let config = ClientConfig::new(address.to_string()).wire(Wire::V0);
    let rig = ClientRig::start(config.connect_timeout(ms(200)).retry(Retry::Never));
    assert_eq!(rig.connecting(), 1);
    let (tried, kind) = only_error(rig.failed());
    assert_eq!((tried, kind), (address, io::ErrorKind::TimedOut));
    assert!(started.elapsed() >= ms(200));
    rig.closed();
}

#[test]
fn an_attempt_that_hangs_can_be_ended() {
    let (address, socket) = nobody();
    socket.listen(0).unwrap();
    let _fillers: Vec<_> = (0..4).map(|_| TcpStream::connect_timeout(&address, ms(100))).collect();
    let config = ClientConfig::new(address.to_string()).wire(Wire::V0);
    let rig = ClientRig::start(config.connect_timeout(ms(1_000_000)));
    assert_eq!(rig.connecting(), 1);
    rig.client().close();
    rig.closed();
}

#[test]
fn a_target_that_makes_no_sense_ends_the_client() {
    let rig = ClientRig::start(ClientConfig::new("no port").wire(Wire::V0).retry(fixed(ms(1))));
    assert_eq!(rig.connecting(), 1);
    let error = rig.failed();
    assert!(matches!(error, ConnectError::BadTarget { .. }), "{error}");
    assert!(!error.is_retryable());
    rig.closed();
}

#[test]
fn a_name_that_does_not_exist_is_looked_up_again() {
    let config = ClientConfig::new("nobody.invalid:1").wire(Wire::V0).connect_timeout(ms(300));
    let rig = ClientRig::start(config.retry(fixed(ms(1))));
    for attempt in 1..=2 {
        assert_eq!(rig.connecting(), attempt);
        let error = rig.failed();
        assert!(
            matches!(error, ConnectError::LookUp { .. } | ConnectError::LookUpTimedOut { .. }),
            "{error}"
        );
        rig.waiting();
    }
}

#[test]
fn a_name_is_looked_up_for_each_attempt() {
    let server = Listener::new();
    let target = format!("localhost:{}", server.addr().port());
    let rig = ClientRig::start(ClientConfig::new(target).wire(Wire::V0).retry(fixed(ms(1))));
    for _ in 0..2 {
        assert_eq!(rig.connecting(), 1);
        drop(server.accept());
        assert_eq!(rig.expect_online(), server.addr());
        rig.expect_offline();
        rig.waiting();
    }
}

#[test]
fn the_kernel_options_in_force_are_reported() {
    let server = Listener::new();
    let seconds = Duration::from_secs;
    let keepalive = Keepalive::new(seconds(3), seconds(3), 3).unwrap();
    let options = KernelOptions::new(Some(keepalive), Some(seconds(12)), true).unwrap();
    let rig = ClientRig::start(server.config().kernel(options));
    assert_eq!(rig.connecting(), 1);
    let _peer = server.accept();
    match rig.next() {
        Event::Online { kernel, .. } => {
            if cfg!(target_os = "linux") {
                assert_eq!(kernel.in_force, options);
            }
        }
        other => panic!("expected to be online: {other}"),
    }
}
