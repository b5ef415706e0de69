//! The end of a connection: `close_notify`, or a cut.

use std::io::ErrorKind;

use crate::tls::TlsFault;
use crate::tls::session::{MIN_READ_LEN, Received};

use super::rig::{Pair, Side};

#[track_caller]
fn expect_end(side: &Side, end: Received) {
    assert_eq!(side.end.as_ref().expect("an end").as_ref().expect("no error"), &end);
}

#[test]
fn a_goodbye_is_a_clean_end() {
    let mut pair = Pair::online();
    pair.client_says(b"last words");
    pair.client.session.close();
    pair.run();
    assert_eq!(pair.server.take_heard(), b"last words");
    expect_end(&pair.server, Received::Closed);
    // The other direction is still there, until the server closes too.
    pair.server_says(b"so long");
    pair.server.session.close();
    pair.run();
    assert_eq!(pair.client.take_heard(), b"so long");
    expect_end(&pair.client, Received::Closed);
}

#[test]
fn a_connection_that_closes_without_a_goodbye_was_cut() {
    let mut pair = Pair::online();
    pair.client_says(b"last words");
    pair.to_server.closed = true;
    pair.run();
    assert_eq!(pair.server.take_heard(), b"last words");
    expect_end(&pair.server, Received::Truncated);
    // Something may still be said to it.
    pair.server_says(b"are you there?");
}

#[test]
fn a_connection_that_closes_within_a_record_was_cut() {
    let mut pair = Pair::online();
    pair.client_says(b"last words");
    pair.to_server.bytes.pop_back();
    pair.to_server.closed = true;
    pair.run();
    assert!(pair.server.heard.is_empty(), "half a record says nothing");
    expect_end(&pair.server, Received::Truncated);
    pair.server_says(b"are you there?");
}

#[test]
fn a_connection_that_closes_within_a_goodbye_was_cut() {
    let mut pair = Pair::online();
    pair.client.session.close();
    pair.client.turn(&mut pair.to_client, &mut pair.to_server);
    pair.to_server.bytes.pop_back();
    pair.to_server.closed = true;
    pair.run();
    expect_end(&pair.server, Received::Truncated);
}

#[test]
fn nothing_counts_that_comes_after_a_goodbye() {
    let mut pair = Pair::online();
    pair.client.session.close();
    pair.client.turn(&mut pair.to_client, &mut pair.to_server);
    pair.to_server.bytes.extend(b"not even TLS");
    pair.run();
    assert!(pair.server.heard.is_empty());
    expect_end(&pair.server, Received::Closed);
}

#[test]
fn the_end_comes_after_what_was_said_before_it_and_stays() {
    let mut pair = Pair::online();
    pair.client_says(b"last words");
    pair.client.session.close();
    pair.client.turn(&mut pair.to_client, &mut pair.to_server);
    let mut buffer = vec![0; MIN_READ_LEN];
    let session = &mut pair.server.session;
    let read = session.read(&mut pair.to_server, &mut buffer).unwrap();
    assert_eq!(read, Received::Bytes(10));
    // A driver that is told only once that the socket has something must come back by itself.
    assert!(session.has_more());
    for _ in 0..3 {
        let read = session.read(&mut pair.to_server, &mut buffer).unwrap();
        assert_eq!(read, Received::Closed);
    }
}

#[test]
fn a_fault_comes_after_what_was_said_before_it_and_stays() {
    let mut pair = Pair::online();
    pair.client_says(b"last words");
    pair.client_says(b"changed on the way");
    *pair.to_server.bytes.back_mut().unwrap() ^= 1;
    let mut buffer = vec![0; MIN_READ_LEN];
    let session = &mut pair.server.session;
    let read = session.read(&mut pair.to_server, &mut buffer).unwrap();
    assert_eq!(read, Received::Bytes(10));
    assert!(session.has_more());
    for _ in 0..3 {
        let error = session.read(&mut pair.to_server, &mut buffer).unwrap_err();
        assert_eq!(error.fault(), Some(TlsFault::Corrupt));
    }
    let error = session.write(&mut pair.to_client, b"never").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_connection_that_closes_during_the_handshake_is_a_fault() {
    for keep in [0, 1, 4, 100] {
        let mut pair = Pair::fresh();
        pair.client.turn(&mut pair.to_client, &mut pair.to_server);
        pair.to_server.bytes.truncate(keep);
        pair.to_server.closed = true;
        pair.run();
        assert_eq!(pair.server.fault(), TlsFault::Unfinished, "after {keep} bytes");
    }
    let mut pair = Pair::fresh();
    pair.to_client.closed = true;
    pair.run();
    assert_eq!(
        pair.client.message(),
        "the peer ended the connection during the TLS handshake; \
         perhaps it does not speak TLS on this port"
    );
}

#[test]
fn after_a_goodbye_nothing_more_is_written() {
    let mut pair = Pair::online();
    for _ in 0..3 {
        pair.client.session.close();
    }
    let error = pair.client.session.write(&mut pair.to_server, b"wait").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    pair.run();
    assert!(pair.server.heard.is_empty());
    expect_end(&pair.server, Received::Closed);
    // But what the other says is still heard.
    pair.server_says(b"bye");
    pair.run();
    assert_eq!(pair.client.take_heard(), b"bye");
}

#[test]
fn a_goodbye_during_the_handshake_sends_nothing() {
    let mut pair = Pair::fresh();
    pair.server.session.close();
    assert!(!pair.server.session.wants_write());
}
