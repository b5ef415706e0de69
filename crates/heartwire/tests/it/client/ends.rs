//! Every way in which a connection, or a client, ends.

use std::net::Shutdown;
use std::time::Instant;

use heartwire::client::{Retry, SendError};
use heartwire::{Caps, Reason, Violation};
use heartwire_testkit::{ClientRig, End, Listener, PATIENCE, data, idle, limit, ms, pass};

#[test]
fn a_server_that_closes_is_connected_to_again() {
    let (rig, server, mut peer) = ClientRig::online_with(|config| config);
    peer.expect_heart();
    for _ in 0..3 {
        peer.stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(rig.offline(), Reason::ClosedByPeer);
        assert_eq!(rig.waiting(), ms(10));
        assert_eq!(rig.connecting(), 1);
        peer = server.accept();
        assert_eq!(rig.expect_online(), server.addr());
        peer.expect_heart();
    }
}

#[test]
fn a_reset_is_told_from_a_close() {
    let (rig, _server, peer) = ClientRig::online_with(|config| config);
    peer.reset();
    assert_eq!(rig.offline(), Reason::Reset);
    rig.waiting();
}

#[test]
fn a_close_within_a_frame_is_a_truncation() {
    for len in [1, 7, 8, 12] {
        let (rig, _server, mut peer) = ClientRig::online_with(|config| config);
        peer.expect_heart();
        peer.send(&data(b"whole"));
        peer.send(&data(b"not whole")[..len]);
        drop(peer);
        assert_eq!(rig.data(), b"whole");
        assert_eq!(rig.offline(), Reason::Truncated, "{len} bytes");
    }
}

#[test]
fn the_last_words_of_a_server_are_heard_even_if_a_write_fails_first() {
    for _ in 0..20 {
        let (rig, _server, mut peer) =
            ClientRig::online_with(|config| config.outbound_max(1 << 26));
        peer.send(&data(b"hello"));
        assert_eq!(rig.data(), b"hello");
        // A socket that is full, so that the client will notice the reset by writing or by reading.
        let _ = rig.client().try_send(vec![0; 1 << 25]);
        peer.send(&data(b"good bye"));
        drop(peer);
        assert_eq!(rig.data(), b"good bye");
        rig.expect_offline();
    }
}

#[track_caller]
fn violation(bytes: &[u8], caps: Caps) -> Violation {
    // The limit lies behind all of it, so that no timer of its own helps to find a breach.
    let policy = limit(60_000);
    let (rig, _server, mut peer) =
        ClientRig::online_with(|config| config.caps(caps).policy(policy));
    peer.expect_heart();
    peer.send(&data(b"good"));
    peer.send(bytes);
    assert_eq!(rig.data(), b"good");
    let reason = rig.offline();
    rig.waiting();
    match reason {
        Reason::Protocol(violation) => violation,
        other => panic!("expected a violation: {other}"),
    }
}

#[test]
fn each_breach_of_the_protocol_has_its_own_reason() {
    let caps = Caps::default().body_len_max(100).frame(Some(ms(100)));
    assert_eq!(
        violation(&[1, 0, 0, 0, 255, 255, 255, 255], caps),
        Violation::NegativeLength { length: -1 }
    );
    assert_eq!(
        violation(&[1, 0, 0, 0, 101, 0, 0, 0], caps),
        Violation::TooLong { length: 101, max: 100 }
    );
    assert_eq!(violation(b"HTTP/1.1", caps), Violation::UnknownType { head: *b"HTTP/1.1" });
    assert_eq!(violation(&[0, 0, 0, 0, 5, 0, 0, 0], caps), Violation::BeatWithBody { length: 5 });
    match violation(&data(b"not whole")[..10], caps) {
        Violation::SlowFrame { waited } => assert!(waited >= ms(100) && waited < ms(5_000)),
        other => panic!("expected a slow frame: {other}"),
    }
}

#[test]
fn closing_writes_what_was_accepted_first() {
    let (rig, _server, mut peer) = ClientRig::online_with(|config| config);
    for n in 0..100_u8 {
        rig.send(&[n; 1000]);
    }
    rig.client().close();
    peer.expect_heart();
    for n in 0..100_u8 {
        peer.expect_data(&[n; 1000]);
    }
    assert_eq!(peer.expect_end(), End::Closed);
    drop(peer);
    let offline = rig.expect_offline();
    assert_eq!((offline.reason, offline.unsent), (Reason::Shutdown, 0));
    rig.closed();
}

#[test]
fn dropping_the_last_handle_closes() {
    let (mut rig, _server, mut peer) = ClientRig::online_with(|config| config);
    rig.send(b"last");
    let other = rig.client().clone();
    rig.drop_client();
    rig.wait(other.send(b"really last".to_vec())).unwrap();
    drop(other);
    peer.expect_heart();
    peer.expect_data(b"last");
    peer.expect_data(b"really last");
    assert_eq!(peer.expect_end(), End::Closed);
    drop(peer);
    assert_eq!(rig.offline(), Reason::Shutdown);
    rig.closed();
}

/// The kernel has taken all of it, and the server's has not.
#[test]
fn a_close_that_the_server_does_not_acknowledge_is_not_a_clean_one() {
    let server = Listener::with_buffer(4096);
    let config = server.config().policy(idle()).outbound_max(1 << 20).close_timeout(ms(1_500));
    let rig = ClientRig::start(config);
    assert_eq!(rig.connecting(), 1);
    let _peer = server.accept();
    rig.expect_online();
    rig.send(&[1; 60_000]);
    let closed_at = Instant::now();
    rig.client().close();
    let offline = rig.expect_offline();
    assert_eq!(offline.reason, Reason::Unacknowledged);
    // It has taken some: then that time began anew.
    assert!(closed_at.elapsed() >= ms(1_000), "{:?}", closed_at.elapsed());
    assert!((1..60_008).contains(&offline.unacknowledged), "{}", offline.unacknowledged);
    rig.closed();
}

#[test]
fn a_server_that_beats_while_it_reads_slowly_gets_everything_before_a_close_is_clean() {
    let server = Listener::with_buffer(4096);
    let config = server.config().policy(idle()).outbound_max(16 << 20).close_timeout(PATIENCE * 10);
    let rig = ClientRig::start(config);
    assert_eq!(rig.connecting(), 1);
    let mut peer = server.accept();
    rig.expect_online();
    for number in 0..5 {
        rig.send(&[number; 60_000]);
    }
    rig.client().close();
    peer.expect_heart();
    // Longer than a server that has everything gets for closing.
    pass(ms(1_500));
    for number in 0..5 {
        // Each of these would be answered with a reset by a socket that is closed.
        peer.send(&[0; 8]);
        peer.expect_data(&[number; 60_000]);
    }
    peer.send(&[0; 8]);
    assert_eq!(peer.expect_end(), End::Closed);
    drop(peer);
    let offline = rig.expect_offline();
    assert_eq!((offline.reason, offline.unsent), (Reason::Shutdown, 0));
    assert_eq!(offline.unacknowledged, 0);
    rig.closed();
}

#[test]
fn a_server_that_resets_a_close_has_not_everything() {
    let server = Listener::with_buffer(4096);
    let config = server.config().policy(idle()).outbound_max(1 << 20);
    let rig = ClientRig::start(config);
    assert_eq!(rig.connecting(), 1);
    let mut peer = server.accept();
    rig.expect_online();
    rig.send(&[1; 60_000]);
    rig.client().close();
    peer.expect_heart();
    peer.read(1);
    peer.reset();
    let offline = rig.expect_offline();
    assert_eq!(offline.reason, Reason::Reset);
    assert!(offline.unacknowledged > 0);
    rig.closed();
}

#[test]
fn what_comes_after_a_close_does_not_reset_the_connection() {
    let (rig, _server, mut peer) =
        ClientRig::online_with(|config| config.outbound_max(1 << 20).close_timeout(PATIENCE * 10));
    peer.expect_heart();
    // More than the server's kernel has room for: the rest waits in the client's.
    rig.send(&[1; 500_000]);
    rig.client().close();
    // Unread by the application, and sent after it closed.
    for _ in 0..100 {
        peer.send(&data(&[2; 1000]));
    }
    peer.expect_data(&[1; 500_000]);
    assert_eq!(peer.expect_end(), End::Closed);
    drop(peer);
    assert_eq!(rig.offline(), Reason::Shutdown);
    rig.closed();
}

#[test]
fn after_the_end_messages_are_refused_and_given_back() {
    let (rig, _server, peer) = ClientRig::online_with(|config| config.retry(Retry::Never));
    rig.client().close();
    rig.client().close();
    let refused = rig.client().try_send(b"late".to_vec()).unwrap_err();
    assert!(matches!(refused, SendError::Closed(_)));
    assert!(!refused.is_retryable());
    assert_eq!(refused.into_data(), b"late");
    drop(peer);
    rig.expect_offline();
    rig.closed();
    let refused = rig.wait(rig.client().send(b"later".to_vec())).unwrap_err();
    assert!(matches!(refused, SendError::Closed(_)));
}

#[test]
fn a_client_that_nobody_listens_to_goes_on() {
    let (rig, server, mut peer) = ClientRig::online_with(|config| config);
    rig.drop_events();
    for _ in 0..2000 {
        peer.send(&data(&[3; 1000]));
    }
    rig.send(b"still here");
    peer.expect_heart();
    peer.expect_data(b"still here");
    drop(peer);
    server.accept().expect_heart();
}
