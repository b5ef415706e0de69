//! A client that is told that its network may have changed.

use core::net::SocketAddr;
use std::net::TcpListener;
use std::time::Instant;

use heartwire::client::ClientConfig;
use heartwire::{Reason, Wire};
#[cfg(target_os = "linux")]
use heartwire_testkit::skip;
use heartwire_testkit::{BEAT, ClientRig, Got, beat, fixed, idle, ms, pass, policy};
use socket2::{Domain, SockRef, Socket, Type};

/// Longer than any test.
const LONG: u64 = 1_000_000;

#[test]
fn a_wait_is_cut_short_and_at_most_one_each_second() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let config = ClientConfig::new(address.to_string()).wire(Wire::V0).retry(fixed(ms(LONG)));
    let rig = ClientRig::start(config);
    let started = Instant::now();
    for attempt in 1..=3 {
        assert_eq!(rig.connecting(), attempt);
        rig.failed();
        rig.waiting();
        assert!(started.elapsed() >= ms(1000) * attempt.saturating_sub(2), "attempt {attempt}");
        rig.client().look_now();
        rig.client().look_now();
    }
    socket.listen(1).unwrap();
    let _listener: TcpListener = socket.into();
    assert_eq!(rig.connecting(), 4);
    rig.expect_online();
}

#[test]
fn a_look_during_an_attempt_has_the_next_one_follow_at_once() {
    // The kernel of a hung server: one connection fits into its backlog, and then it drops SYNs.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let _fillers: Vec<_> =
        (0..4).map(|_| std::net::TcpStream::connect_timeout(&address, ms(100))).collect();
    let config = ClientConfig::new(address.to_string()).wire(Wire::V0);
    let rig = ClientRig::start(config.connect_timeout(ms(500)).retry(fixed(ms(LONG))));
    assert_eq!(rig.connecting(), 1);
    rig.client().look_now();
    rig.failed();
    rig.waiting();
    assert_eq!(rig.connecting(), 2);
}

#[test]
fn a_look_during_a_handshake_has_the_next_attempt_follow_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = ClientConfig::new(silent.local_addr().unwrap().to_string());
    let rig = ClientRig::start(config.handshake_timeout(ms(500)).retry(fixed(ms(LONG))));
    assert_eq!(rig.connecting(), 1);
    let _taken = silent.accept().unwrap();
    pass(ms(100));
    rig.client().look_now();
    rig.failed();
    rig.waiting();
    assert_eq!(rig.connecting(), 2);
}

#[test]
fn a_beat_goes_out_at_once_and_a_server_that_never_answers_is_left_alone() {
    let judging = policy(LONG, 3 * LONG);
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(judging));
    peer.expect_heart();
    rig.client().look_now();
    peer.expect_heart();
    // More than a server has to acknowledge it. This one's kernel has.
    pass(ms(3500));
    rig.send(b"still there");
    peer.expect_data(b"still there");
    rig.client().close();
    assert_eq!(peer.next(), Got::Closed);
}

#[test]
fn a_server_that_reads_nothing_is_left_alone_too() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(beat(LONG)));
    peer.expect_heart();
    let body = vec![7; 10_000];
    let mut sent = 0;
    // Until the buffers of both kernels are full, and the client's own queue.
    while rig.send_within(ms(200), body.clone()).is_ok() {
        sent += 1;
    }
    rig.client().look_now();
    pass(ms(4000));
    let mut read = 0;
    while read < sent {
        match peer.next() {
            Got::Data(data) => read += usize::from(data.len() == body.len()),
            Got::Heart => {}
            other => panic!("{other:?} after {read} of {sent}"),
        }
    }
}

#[test]
fn looks_without_end_do_not_make_beats_without_end() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(beat(LONG)));
    for _ in 0..1000 {
        rig.client().look_now();
        pass(ms(1));
    }
    rig.client().close();
    let mut beats = 0;
    while peer.next() == Got::Heart {
        beats += 1;
    }
    assert!(beats <= 17, "{beats}");
}

/// Has the kernel drop all that comes for a socket, as if the way to it were cut. Returns whether it
/// does; where it lets only root do that, the test is skipped.
#[cfg(target_os = "linux")]
fn is_cut(stream: &std::net::TcpStream) -> bool {
    // A program of one instruction: take 0 bytes (`BPF_RET | BPF_K`).
    let filter = [socket2::SockFilter::new(0x06, 0, 0, 0)];
    match SockRef::from(stream).attach_filter(&filter) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            skip("this system lets only root filter what comes for a socket");
            false
        }
        attached => {
            attached.unwrap();
            true
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_did_not_survive_is_replaced_at_once() {
    let judging = policy(LONG, 3 * LONG);
    let config = |config: ClientConfig| config.policy(judging).retry(fixed(ms(LONG)));
    let (rig, server, mut peer) = ClientRig::online_with(config);
    peer.expect_heart();
    if !is_cut(&peer.stream) {
        return;
    }
    let looked = Instant::now();
    rig.client().look_now();
    assert_eq!(rig.offline(), Reason::NetworkChanged);
    assert!(looked.elapsed() >= ms(3000), "{:?}", looked.elapsed());
    assert_eq!(rig.connecting(), 1);
    rig.expect_online();
    server.accept().expect_heart();
}

#[cfg(target_os = "linux")]
#[test]
fn one_whose_server_is_heard_is_not_though_nothing_is_acknowledged() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(beat(LONG)));
    peer.expect_heart();
    if !is_cut(&peer.stream) {
        return;
    }
    rig.client().look_now();
    pass(ms(1500));
    peer.send(&BEAT);
    pass(ms(2000));
    rig.client().try_send(b"accepted".to_vec()).unwrap();
}

/// Without beats nothing was asked when the network changed, and what is written later has its own time.
#[cfg(target_os = "linux")]
#[test]
fn what_was_written_just_now_has_time_to_be_acknowledged() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(idle()));
    peer.expect_heart();
    pass(ms(3500));
    rig.client().look_now();
    pass(ms(2500));
    if !is_cut(&peer.stream) {
        return;
    }
    rig.send(b"on its way");
    pass(ms(1000));
    SockRef::from(&peer.stream).detach_filter().unwrap();
    peer.expect_data(b"on its way");
}
