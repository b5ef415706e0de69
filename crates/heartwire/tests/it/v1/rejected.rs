//! Clients that the server does not want: what they show, and whether they come back.

use std::io;
use std::sync::{Arc, Mutex};

use heartwire::client::{ConnectError, V1};
use heartwire::v1::{Bye, ByeCode, RetryHint};
use heartwire_testkit::{ClientRig, Listener, client_config};

/// The token that the client shows, which is not taken.
#[track_caller]
fn reject(listener: &Listener) -> Vec<u8> {
    let mut peer = listener.accept();
    let token = peer.token();
    peer.send(&Bye::new(ByeCode::Unauthorized, RetryHint::AtWill).encode());
    token
}

#[test]
fn a_token_is_looked_up_for_each_attempt_and_the_last_one_stays_where_that_fails() {
    let listener = Listener::new();
    let next = Arc::new(Mutex::new(None));
    let source = Arc::clone(&next);
    let look_up = move || {
        let token: Option<&str> = *source.lock().unwrap();
        token.map(Into::into).ok_or_else(|| io::Error::other("the file is not there"))
    };
    let set = |token| *next.lock().unwrap() = token;
    let client =
        ClientRig::start(client_config(listener.addr()).v1(V1::default().token_source(look_up)));
    assert_eq!(client.connecting(), 1);
    let error = client.failed();
    assert!(error.is_retryable() && matches!(error, ConnectError::Token { .. }), "{error}");
    assert_eq!(error.to_string(), "cannot read the token: the file is not there");
    set(Some("first"));
    assert_eq!(reject(&listener), b"first");
    // The next attempt may have begun.
    set(Some("second"));
    assert!((0..3).any(|_| reject(&listener) == b"second"));
    set(None);
    for _ in 0..3 {
        assert_eq!(reject(&listener), b"second");
    }
    client.close();
}

fn never() -> Vec<u8> {
    Bye::new(ByeCode::TakenOver, RetryHint::Never).encode()
}

#[test]
fn a_client_that_is_never_to_come_back_ends() {
    let listener = Listener::new();
    let client = ClientRig::start(client_config(listener.addr()));
    let mut peer = listener.accept();
    peer.send(&never());
    client.connecting();
    assert!(!client.failed().is_retryable());
    client.closed();
}
