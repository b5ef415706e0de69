//! A client that is told that its network may have changed: what the kernel tells of the way. When
//! the client looks, and what it makes of that, is tested by stepping
//! (`src/client/drive/tests/looking.rs`).

use std::time::Instant;

use heartwire::Reason;
use heartwire::client::ClientConfig;
#[cfg(target_os = "linux")]
use heartwire_testkit::skip;
use heartwire_testkit::{ClientRig, Got, beat, fixed, ms, pass, policy};
use socket2::SockRef;

/// Longer than any test.
const LONG: u64 = 1_000_000;

#[test]
fn a_server_that_reads_nothing_is_left_alone() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config.policy(beat(LONG)));
    peer.expect_heart();
    let body = vec![7; 10_000];
    let mut sent = 0;
    // Until the buffers of both kernels are full, and the client's own queue.
    while rig.send_within(ms(200), body.clone()).is_ok() {
        sent += 1;
    }
    rig.client().network_changed();
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

/// Has the kernel drop all that comes for a socket, as if the way to it were cut. Returns whether
/// it does; where it lets only root do that, the test is skipped.
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
    let config = |config: ClientConfig| config.policy(judging).reconnect(fixed(ms(LONG)));
    let (rig, server, mut peer) = ClientRig::online_with(config);
    peer.expect_heart();
    if !is_cut(&peer.stream) {
        return;
    }
    let looked = Instant::now();
    rig.client().network_changed();
    assert_eq!(rig.offline(), Reason::NetworkChanged);
    assert!(looked.elapsed() >= ms(3000), "{:?}", looked.elapsed());
    assert_eq!(rig.connecting(), 1);
    rig.expect_online();
    server.accept().expect_heart();
}
