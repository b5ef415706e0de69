//! What PROTOCOL.md says of each end, seen by the second implementation, which can break rules.

use core::net::SocketAddr;

use crate::program::Server;

use super::second::{Second, python_is_missing};
use super::tokens::{TOKEN, file};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A HELLO of versions 1 to 1 with a maximum timeout of 1 s, and `more` entries.
fn hello(entries: u8, more: &[u8]) -> String {
    hex(&[&[0xa2 + entries, 0, 0x82, 1, 1, 7, 0x19, 3, 0xe8], more].concat())
}

fn said(server: SocketAddr, hello: &str) -> Second {
    Second::client(server, &["--hello", hello])
}

/// The code and the retry of the BYE to a HELLO.
#[track_caller]
fn refused(server: &Server, hello: &str) -> (u64, u64) {
    let second = said(server.addr, hello);
    let bye = second.event("bye");
    assert_eq!(second.event("end")["reason"], "rejected", "{hello}");
    (bye.count("code"), bye.count("retry"))
}

/// A beat that promises nothing and hears all.
fn beat(nonce: u64, echo: u64) -> Vec<u8> {
    let header = [&[0; 4][..], &32_u32.to_le_bytes()].concat();
    [&header, &nonce.to_le_bytes()[..], &echo.to_le_bytes(), &[0; 16]].concat()
}

#[test]
fn a_hello_is_decided_about_in_the_order_of_the_page() {
    if python_is_missing() {
        return;
    }
    let tokens = file("page", TOKEN);
    let locked = Server::start_plain(&["--tokens", &tokens]);
    let strict =
        Server::start_plain(&["--timeout", "6s", "--interval", "2s", "--max-timeout", "20s"]);
    let open = Server::start_plain(&["--timeout=off"]);
    // A minimum interval of 10 s, which suits no timeout of 6 s; and a name that is none.
    let min_interval = [4, 0x19, 0x27, 0x10];
    let all_wrong = hello(2, &[&min_interval[..], &[1, 0x60]].concat());
    assert_eq!(refused(&locked, &all_wrong), (4, 0));
    assert_eq!(refused(&strict, &all_wrong), (2, 0));
    assert_eq!(refused(&open, &all_wrong), (9, 0));
    // A later version is told so before all else.
    for later in ["a100820202", "a2008202020761ff", "a207617800820202", "a200820203019fff"] {
        assert_eq!(refused(&locked, later), (3, 0), "{later}");
    }
    let counts = locked.stop();
    assert_eq!(counts.last().unwrap()["no_common_version"], 4);
}

#[test]
fn a_bye_of_our_server_is_not_overtaken_by_a_reset_while_its_client_writes() {
    if python_is_missing() {
        return;
    }
    let expect_patience = |second: &Second| {
        let wrote_on = second.event("wrote_on");
        let is_late = wrote_on.number("after_ms") >= 500.0;
        assert!(wrote_on["answer"] == "nothing" || is_late, "{wrote_on:?}");
    };
    let server = Server::start_plain(&["--drain", "4s"]);
    // A HELLO that is none, a breach, a takeover and a drain.
    let second = Second::client(server.addr, &["--write-on", "--hello", "a0"]);
    assert_eq!(second.event("bye")["code"], 9);
    expect_patience(&second);
    let mut breach = Second::client(server.addr, &["--write-on"]);
    breach.event("welcome");
    breach.obey(&format!("raw {}", hex(&beat(1, u64::MAX))));
    assert_eq!(breach.event("bye")["code"], 9);
    expect_patience(&breach);
    let older = Second::client(server.addr, &["--write-on", "--name", "bob"]);
    older.event("welcome");
    let newer = Second::client(server.addr, &["--write-on", "--name", "bob"]);
    assert_eq!(older.event("bye")["code"], 5);
    expect_patience(&older);
    newer.event("welcome");
    server.stop();
    assert_eq!(newer.event("bye")["code"], 1);
    expect_patience(&newer);
}

#[test]
fn a_peer_that_says_it_hears_nothing_and_gives_no_verdict_is_unheard_for_both_limits() {
    if python_is_missing() {
        return;
    }
    // The server reads before its own beats only, and so four of the client's at once.
    let args =
        ["--interval", "1s", "--timeout", "3s", "--min-interval", "100ms", "--coalesce", "8"];
    let server = Server::start_plain(&args);
    let beats =
        ["--interval", "250", "--min-interval", "100", "--want", "1000", "--timeout", "3000"];
    let mut second = Second::client(server.addr, &beats);
    second.event("welcome");
    second.events.first_events("beat", 2);
    second.obey("deaf");
    let verdict = server.event("verdict");
    assert_eq!(verdict["cause"], "unheard");
    // Both timeouts after this end was last heard.
    let since = verdict.number("silence_ms") - verdict.number("late_ms");
    assert!((6000.0..6100.0).contains(&since), "{verdict:?}");
}
