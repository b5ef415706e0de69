//! The greatest age of a session.

use heartwire_testkit::{BEAT, Peer};

use super::second::{QUICK_MS, Second, python_is_missing};
use crate::program::{Client, Server};

#[test]
fn a_client_whose_session_is_too_old_comes_back_and_nothing_is_lost() {
    for resumes in [false, true] {
        let grace = if resumes { ["--grace", "1m"] } else { ["--grace", "off"] };
        let args = ["--max-age", "2s", "--on-data", "echo", "--interval", "300ms"];
        let server = Server::start_plain(&[&args[..], &grace].concat());
        let quick = ["--retry", "10ms", "--interval", "300ms"];
        let mut client = Client::start_plain(server.addr, &[&quick[..], &grace].concat());
        client.event("online");
        client.type_in("before\n");
        client.output.line("before");
        let offline = client.event("offline");
        assert_eq!(offline["bye"]["code"], "draining");
        assert_eq!(offline["bye"]["detail"], "the session has reached its greatest age");
        assert_eq!((&offline["unsent"], &offline["undelivered"]), (&0.into(), &0.into()));
        assert!(client.event("waiting").number("wait_ms") <= 1_000.0);
        client.events.first_events("online", 2);
        client.type_in("after\n");
        client.output.line("after");
        let offline = server.event("offline");
        assert_eq!((&offline["reason"], &offline["undelivered"]), (&"max_age".into(), &0.into()));
        assert!(offline.number("lasted_ms") >= 1_500.0, "{offline:?}");
        assert_eq!(server.event("listening")["max_age_ms"], 2000.0);
    }
}

#[test]
fn a_client_of_v0_whose_connection_is_too_old_is_disconnected() {
    let server = Server::start_plain(&["--max-age", "1s", "--on-data", "echo"]);
    let mut peer = Peer::connect(server.addr);
    peer.send(&BEAT);
    peer.expect_echo(b"hello");
    peer.read_to_end();
    assert_eq!(server.event("offline")["reason"], "max_age");
}

#[test]
fn its_client_is_told_to_reconnect_within_a_second() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&["--max-age", "1s"]);
    let second = Second::client(server.addr, &QUICK_MS);
    let bye = second.event("bye");
    assert_eq!((&bye["code"], &bye["retry"]), (&1.into(), &2.into()));
    assert_eq!((&bye["earliest"], &bye["latest"]), (&0.into(), &1_000.into()));
    assert_eq!(server.event("offline")["reason"], "max_age");
}
