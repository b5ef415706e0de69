//! What PROTOCOL.md says of each end, seen by the second implementation, which can break rules.

use core::net::SocketAddr;

use crate::program::{Client, Server};

use super::second::{Second, python_is_missing};
use super::tokens::{SOMEBODY, file};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A HELLO of versions 1 to 1 with a ceiling of 1 s, and `more` entries.
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
    assert_eq!(second.event("end")["reason"], "turned_away", "{hello}");
    (bye.count("code"), bye.count("retry"))
}

/// A beat that promises nothing and hears all.
fn beat(nonce: u64, echo: u64) -> Vec<u8> {
    let head = [&[0; 4][..], &32_u32.to_le_bytes()].concat();
    [&head, &nonce.to_le_bytes()[..], &echo.to_le_bytes(), &[0; 16]].concat()
}

#[test]
fn a_hello_is_decided_about_in_the_order_of_the_page() {
    if python_is_missing() {
        return;
    }
    let tokens = file("page", SOMEBODY);
    let locked = Server::start_plain(&["--tokens", &tokens]);
    let strict = Server::start_plain(&["--limit", "6s", "--beat", "2s", "--ceiling", "20s"]);
    let open = Server::start_plain(&["--no-limit"]);
    // A floor of 10 s, which suits no limit of 6 s; and a name that is none.
    let floor = [4, 0x19, 0x27, 0x10];
    let all_wrong = hello(2, &[&floor[..], &[1, 0x60]].concat());
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
fn a_hello_that_is_not_as_specified_is_refused_for_good() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&["--no-limit"]);
    let long = [&[1, 0x79, 1, 0][..], &[b'n'; 256]].concat();
    let bodies = [
        ("versions from 2 to 1", "a200820201071903e8".to_owned()),
        ("no ceiling", "a100820101".to_owned()),
        ("a key twice", hello(1, &[7, 1])),
        ("a key twice, which is not known", hello(2, &[20, 1, 20, 1])),
        ("a name that is too long", hello(1, &long)),
        ("a name that is not UTF-8", hello(1, &[1, 0x61, 0xff])),
        ("a name that ends with a space", hello(1, &[1, 0x62, b'a', b' '])),
        ("a text that is not UTF-8, in what is skipped", hello(1, &[20, 0x81, 0x61, 0xff])),
        ("a simple value in two bytes", hello(1, &[20, 0xf8, 0x1f])),
        ("an array of no definite length", hello(1, &[20, 0x9f, 0xff])),
        ("a byte too many", hello(0, &[0])),
    ];
    for (what, body) in bodies {
        assert_eq!(refused(&server, &body), (9, 0), "{what}");
    }
}

#[test]
fn what_need_not_be_short_or_known_is_taken() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&["--no-limit"]);
    let nested = [&[20][..], &[0x81; 800], &[0]].concat();
    let name = [&[1, 0x78, 255][..], &[b'n'; 255]].concat();
    for (what, body) in [
        ("values 800 deep", hello(1, &nested)),
        ("a simple value", hello(1, &[20, 0xf8, 0x20])),
        ("a key twice in what is skipped", hello(1, &[20, 0xa2, 1, 1, 1, 1])),
        ("lengths that could be shorter", "ba00000002009900020101071903e8".to_owned()),
        ("keys in another order", "a2071903e800820101".to_owned()),
        ("the longest name", hello(1, &name)),
    ] {
        let second = said(server.addr, &body);
        assert_eq!(second.event("welcome")["version"], 1, "{what}");
    }
}

#[test]
fn our_client_refuses_what_it_cannot_go_by_and_says_so() {
    if python_is_missing() {
        return;
    }
    let quick = ["--beat", "300", "--limit", "3000"];
    for (said, ours, violation) in [
        (&["--said", "client_ceiling=3600001"][..], &["--no-limit"][..], "bad_welcome"),
        (&["--said", "client_ceiling=3600001"], &[], "bad_welcome"),
        (&["--said", "server_ceiling=2999"], &[], "bad_welcome"),
        (&["--said", "version=2"], &[], "bad_welcome"),
        (&["--first", "0000000020000000"], &[], "unexpected"),
        (&["--first", "0400000001000000a0"], &[], "bad_bye"),
    ] {
        let (_second, addr) = Second::server(&[&quick, said].concat());
        let client = Client::start_plain(addr, &[ours, &["--retry", "never"]].concat());
        let failed = client.event("failed");
        assert_eq!(failed["violation"], violation, "{said:?}: {failed:?}");
        assert!(!failed.text("error").contains("v0"), "{failed:?}");
    }
}

#[test]
fn nonces_are_not_checked_but_for_an_echo_above_all_that_were_sent() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&["--on-data", "upper"]);
    let mut second = Second::client(server.addr, &["--beat", "10000"]);
    second.event("welcome");
    for (nonce, echo) in [(9, 0), (0, 0), (8, 1)] {
        second.obey(&format!("raw {}", hex(&beat(nonce, echo))));
    }
    second.obey("data still there");
    assert_eq!(second.event("data")["text"], "STILL THERE");
    second.obey(&format!("raw {}", hex(&beat(9, u64::MAX))));
    let bye = second.event("bye");
    assert_eq!((bye.count("code"), bye.count("retry")), (9, 1));
    assert_eq!(server.event("offline")["violation"], "unknown_nonce");
}

#[test]
fn more_than_128_beats_at_once_are_too_fast_whether_or_not_a_notice_could_arrive() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&[]);
    let mut second = Second::client(server.addr, &["--beat", "10000"]);
    second.event("welcome");
    second.obey(&format!("raw {}", hex(&beat(1, 0).repeat(200))));
    assert_eq!(second.event("bye").count("code"), 8);
    assert_eq!(server.event("offline")["violation"], "too_fast");
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
fn a_pad_before_the_end_leaves_nothing_of_a_frame() {
    if python_is_missing() {
        return;
    }
    let (mut second, addr) = Second::server(&[]);
    let client = Client::start_plain(addr, &["--retry", "never"]);
    client.event("online");
    second.obey("raw 0500000003000000000000");
    second.obey("close");
    assert_eq!(client.event("offline")["reason"], "closed_by_peer");
}

#[test]
fn a_peer_that_says_it_hears_nothing_and_gives_no_verdict_is_unheard_for_both_limits() {
    if python_is_missing() {
        return;
    }
    // The server reads before its own beats only, and so four of the client's at once.
    let args = ["--beat", "1s", "--limit", "3s", "--floor", "100ms", "--coalesce", "8"];
    let server = Server::start_plain(&args);
    let beats = ["--beat", "250", "--floor", "100", "--want", "1000", "--limit", "3000"];
    let mut second = Second::client(server.addr, &beats);
    second.event("welcome");
    second.events.first_events("beat", 2);
    second.obey("deaf");
    let verdict = server.event("verdict");
    assert_eq!(verdict["cause"], "unheard");
    // Both limits after this end was last heard.
    let since = verdict.number("silence_ms") - verdict.number("late_ms");
    assert!((6000.0..6100.0).contains(&since), "{verdict:?}");
}
