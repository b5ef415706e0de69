//! Our programs with a second implementation of the protocol, in Python, written from PROTOCOL.md.

use core::net::SocketAddr;
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};

use heartwire_testkit::{LineEvent as Event, Lines, Process, skip};
use serde_json::json;

use crate::interop::expect_kinds;
use crate::program::{Client, Server, heartwire};
use crate::side_by_side;

use super::tokens::{OTHER_TOKEN, TOKEN, file};

const SECOND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/second/heartwire_v1.py");
const PROTOCOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../PROTOCOL.md");

/// A program of the second implementation.
pub(super) struct Second {
    process: Process,
    stdin: ChildStdin,
    pub(super) events: Lines,
}

impl Second {
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command.arg(SECOND).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let events = Lines::of(process.0.stdout.take().unwrap());
        Self { stdin: process.0.stdin.take().unwrap(), process, events }
    }

    #[track_caller]
    pub(super) fn client(server: SocketAddr, args: &[&str]) -> Self {
        let port = server.port().to_string();
        Self::start(&[&["client", "127.0.0.1", &port], args].concat())
    }

    #[track_caller]
    pub(super) fn server(args: &[&str]) -> (Self, SocketAddr) {
        let second = Self::start(&[&["server", "0"], args].concat());
        let port = u16::try_from(second.event("listening").count("port")).unwrap();
        (second, ([127, 0, 0, 1], port).into())
    }

    #[track_caller]
    pub(super) fn obey(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").unwrap();
    }

    #[track_caller]
    pub(super) fn event(&self, name: &str) -> Event {
        self.events.event(name)
    }
}

/// Says that the test is skipped, if it is.
pub(super) fn python_is_missing() -> bool {
    let is_missing = Command::new("python3").arg("--version").output().is_err();
    if is_missing {
        skip("python3 is not installed");
    }
    is_missing
}

/// Beats of 300 ms, and a timeout that leaves room for a busy machine.
pub(super) const QUICK: [&str; 6] =
    ["--interval", "300ms", "--timeout", "3s", "--min-interval", "100ms"];
pub(super) const QUICK_MS: [&str; 8] =
    ["--interval", "300", "--want", "300", "--timeout", "3000", "--min-interval", "100"];

#[test]
fn the_golden_frames_on_the_page_are_what_the_second_implementation_makes_of_it() {
    if python_is_missing() {
        return;
    }
    let mut second = Second::start(&["golden", PROTOCOL]);
    assert_eq!(second.event("golden")["frames"], 12);
    assert_eq!(second.process.exit_code(), Some(0));
}

#[test]
fn its_client_works_with_our_server() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&[&QUICK[..], &["--on-data", "upper"]].concat());
    let own = ["--name", "bob", "--last", "reset", "2500", "99"];
    let mut second = Second::client(server.addr, &[&own, &QUICK_MS[..]].concat());
    let (welcome, online) = (second.event("welcome"), server.event("online"));
    assert_eq!(online["protocol"], "v1");
    assert_eq!((&online["name"], &online["agent"]), (&"bob".into(), &"second".into()));
    let last = json!({ "reason": "reset", "ago_ms": 2500.0, "session": "0-99-0" });
    assert_eq!(online["last"], last);
    assert_eq!(welcome["epoch"], online["epoch"]);
    assert_eq!(welcome["wake_bytes"], online["wake_bytes"]);
    for (key, direction, field) in [
        ("server_interval", "to_server", "interval_ms"),
        ("server_timeout", "to_server", "timeout_ms"),
        ("client_interval", "to_client", "interval_ms"),
        ("client_timeout", "to_client", "timeout_ms"),
    ] {
        assert_eq!(welcome.number(key), online[direction][field].as_f64().unwrap(), "{key}");
    }
    second.obey("data straight away");
    assert_eq!(second.event("data")["text"], "STRAIGHT AWAY");
    assert_eq!(server.event("data")["preview"], "\"straight away\"");
    expect_round_trips(&second.events.first_events("beat", 8));

    // The timeout moves with the promise: 1,000 ms and what was left beside 300 of 3,000.
    second.obey("promise 1000");
    let promise = server.event("promise");
    assert_eq!((promise.number("interval_ms"), promise.number("timeout_ms")), (1000.0, 3700.0));
    second.obey("promise 100");
    let promise = &server.events.first_events("promise", 2)[1];
    assert_eq!((promise.number("interval_ms"), promise.number("timeout_ms")), (100.0, 2800.0));
    // Its beats are those of a later version from here on.
    second.obey("tail 96");
    second.obey("health 1");
    assert_eq!(server.event("health")["health"], "degraded");

    second.obey("bye 0 1");
    assert_eq!(second.event("end")["reason"], "left");
    let offline = server.event("offline");
    assert_eq!(offline["reason"], "bye");
    assert!(offline.text("detail").ends_with("done"), "{offline:?}");
}

#[track_caller]
fn expect_round_trips(beats: &[Event]) {
    // The first one of an end answers a beat only if that had come by then.
    let rtts: Vec<_> = beats[2..].iter().map(|beat| beat.number("rtt_ms")).collect();
    // Over loopback. Without `held` it would be up to 300 ms. The smallest, because a busy machine
    // runs either end late.
    let least = rtts.iter().copied().fold(f64::MAX, f64::min);
    assert!(least < 100.0, "{rtts:?}");
    for beat in beats {
        assert!(beat.number("silence_ms") < 3000.0, "{beat:?}");
    }
}

#[test]
fn our_client_works_with_its_server() {
    if python_is_missing() {
        return;
    }
    let args = [&["--wake-bytes", "161", "--ask"], &QUICK_MS[..]].concat();
    let (mut second, addr) = Second::server(&args);
    let mut ours = [&QUICK[..], &["--name", "bob", "--rtt", "300ms"]].concat();
    ours.extend(["--retry", "100ms"]);
    let mut client = Client::start_plain(addr, &ours);
    let (hello, online) = (second.event("hello"), client.event("online"));
    assert_eq!((&hello["name"], &hello["last"]), (&"bob".into(), &json!(null)));
    for (key, ms) in [("interval", 300), ("want", 300), ("timeout", 3000), ("min_interval", 100)] {
        assert_eq!(hello[key], ms, "{key}");
    }
    assert_eq!(online["epoch"], 1);
    assert_eq!(online["wake_bytes"], 161);
    assert_eq!(online["to_server"]["interval_ms"], 300.0);
    client.type_in("hello\n");
    assert_eq!(second.event("data")["text"], "hello");
    second.obey("data and back");
    client.output.line("and back");
    expect_round_trips(&second.events.first_events("beat", 8));
    let is_short = |path: &Event| path["rtt_ms"].as_f64().is_some_and(|rtt| rtt < 300.0);
    client.events.event_where("rtt", is_short);
    second.obey("tail 1");
    second.obey("health 2");
    assert_eq!(client.event("health")["health"], "draining");

    // It waits within the window, which is later than its own backoff says, and comes back.
    second.obey("bye 1 2 300 600 back \u{1b}[31msoon");
    let offline = client.event("offline");
    assert!(offline.text("detail").contains("draining"), "{offline:?}");
    let said = json!({
        "code": "draining", "number": 1, "detail": "back \u{1b}[31msoon",
        "retry": "within", "earliest_ms": 300.0, "latest_ms": 600.0,
    });
    assert_eq!(offline["bye"], said);
    let wait = client.event("waiting").number("wait_ms");
    assert!((300.0..=600.0).contains(&wait), "{wait}");
    client.events.first_events("online", 2);
    let last = &second.events.first_events("hello", 2)[1]["last"];
    assert_eq!((&last["reason"], &last["session"]), (&"bye".into(), &1.into()));
    assert!(last["ago"].as_f64().unwrap() >= 300.0, "{last}");
    // A code that no version has yet, and never again.
    second.obey("bye 1234 0");
    assert_eq!(client.process.exit_code(), Some(4));
    let last = client.events.events_so_far("offline").pop().unwrap();
    assert!(last.text("detail").contains("other"), "{last:?}");
    let said = json!({
        "code": "other", "number": 1234, "detail": "",
        "retry": "never", "earliest_ms": null, "latest_ms": null,
    });
    assert_eq!(last["bye"], said);
}

/// It greases each of its frames, which ours skip in every test here.
#[test]
fn some_of_our_welcomes_have_grease_and_some_have_none() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&QUICK);
    let has_grease = |_| {
        let second = Second::client(server.addr, &QUICK_MS);
        second.event("welcome").count("grease") > 0
    };
    let mut seen = (0..40).map(has_grease);
    let first = seen.next();
    assert!(seen.any(|other| Some(other) != first), "all are alike");
}

#[test]
fn the_detail_of_a_bye_is_printed_and_cannot_steer_a_terminal() {
    if python_is_missing() {
        return;
    }
    for (bye, printed) in [
        (
            "1 2 300 600 soon \u{1b}[31m",
            "draining: \"soon \\u{1b}[31m\" (reconnect in 0.300 to 0.600 s)",
        ),
        ("12 1", "kicked (reconnect at will);"),
        ("2 0 \"no\"", "conflict: \"\\\"no\\\"\" (do not reconnect);"),
    ] {
        let (mut second, addr) = Second::server(&QUICK_MS);
        let mut command = heartwire(&["connect", &addr.to_string()]);
        command.args(QUICK).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let told = Lines::of(process.0.stderr.take().unwrap());
        told.line("online");
        second.obey(&format!("bye {bye}"));
        told.line(printed);
    }
}

#[test]
fn either_implementation_calls_the_other_dead_in_time() {
    if python_is_missing() {
        return;
    }
    side_by_side(&[
        ("our server, when its client says nothing more", || {
            let server = Server::start_plain(&QUICK);
            let mut second = Second::client(server.addr, &QUICK_MS);
            server.event("online");
            second.events.first_events("beat", 3);
            second.obey("mute");
            let verdict = server.event("verdict");
            assert_eq!(verdict["cause"], "silence");
            verdict.expect_silence_of(3000.0);
            // With a reset, and without a BYE.
            assert_eq!(second.event("end")["reason"], "reset");
            assert!(second.events.events_so_far("bye").is_empty());
        }),
        ("our client, when its server says nothing more", || {
            let (mut second, addr) = Second::server(&QUICK_MS);
            let args = [&QUICK[..], &["--retry", "never"]].concat();
            let mut client = Client::start_plain(addr, &args);
            client.event("online");
            second.events.first_events("beat", 3);
            second.obey("mute");
            assert_eq!(client.process.exit_code(), Some(5));
            let offline = client.event("offline");
            assert_eq!(offline["cause"], "silence");
            offline.expect_silence_of(3000.0);
            assert_eq!(second.event("end")["reason"], "reset");
        }),
        ("its client, when our server stands still", || {
            let server = Server::start_plain(&QUICK);
            let second = Second::client(server.addr, &QUICK_MS);
            second.events.first_events("beat", 3);
            server.process.freeze();
            let verdict = second.event("verdict");
            assert_eq!(verdict["cause"], "silence");
            assert!(verdict.number("silence_ms") >= 3000.0, "{verdict:?}");
            server.process.thaw();
            assert_eq!(server.event("offline")["reason"], "reset");
        }),
        ("its server, when our client stands still", || {
            let (second, addr) = Second::server(&QUICK_MS);
            let client = Client::start_plain(addr, &QUICK);
            second.events.first_events("beat", 3);
            client.process.freeze();
            assert_eq!(second.event("verdict")["cause"], "silence");
            client.process.thaw();
            assert_eq!(client.event("offline")["reason"], "reset");
        }),
    ]);
}

#[test]
fn its_client_is_rejected_for_the_same_reasons() {
    if python_is_missing() {
        return;
    }
    side_by_side(&[
        ("no token", || {
            let tokens = file("second-server", TOKEN);
            let server = Server::start_plain(&["--tokens", &tokens]);
            let wrong = file("second-wrong", OTHER_TOKEN);
            for args in [&[][..], &["--token-file", &wrong]] {
                let second = Second::client(server.addr, args);
                let bye = second.event("bye");
                assert_eq!((bye.count("code"), bye.count("retry")), (4, 0));
                assert_eq!(second.event("end")["reason"], "rejected");
            }
            let good = file("second-good", TOKEN);
            let second = Second::client(server.addr, &["--token-file", &good]);
            second.event("welcome");
            // The session ends when its token is removed, and its client may come again.
            std::fs::write(&tokens, OTHER_TOKEN).unwrap();
            server.process.signal(rustix::process::Signal::HUP);
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (4, 1));
        }),
        ("no contract", || {
            let server = Server::start_plain(&[
                "--timeout",
                "6s",
                "--interval",
                "2s",
                "--max-timeout",
                "20s",
            ]);
            let second = Second::client(server.addr, &["--min-interval", "10000"]);
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (2, 0));
            assert!(bye.text("detail").contains("30s"), "{bye:?}");
        }),
        ("taken over", || {
            let server = Server::start_plain(&[]);
            let older = Second::client(server.addr, &["--name", "bob"]);
            let first = older.event("welcome");
            let newer = Second::client(server.addr, &["--name", "bob"]);
            let bye = older.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (5, 0));
            assert!(newer.event("welcome").count("epoch") > first.count("epoch"));
        }),
        ("drained", || {
            let server = Server::start_plain(&["--drain", "4s"]);
            let second = Second::client(server.addr, &[]);
            second.event("welcome");
            server.stop();
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (1, 2));
            assert_eq!((bye.count("earliest"), bye.count("latest")), (0, 4000));
        }),
        ("a promise over the maximum timeout", || {
            let args = ["--timeout", "6s", "--interval", "2s", "--max-timeout", "20s"];
            let server = Server::start_plain(&args);
            let mut second = Second::client(server.addr, &["--interval", "2000"]);
            second.event("welcome");
            // At most 20 s less 4 s, and half of 20 s.
            second.obey("promise 10000");
            assert_eq!(server.event("promise").number("timeout_ms"), 20_000.0);
            second.obey("promise 10001");
            let bye = second.event("bye");
            assert_eq!((bye.count("code"), bye.count("retry")), (9, 1));
            assert_eq!(server.event("offline")["violation"], "promise_too_long");
        }),
    ]);
}

#[test]
fn a_client_that_beats_far_too_often_is_told_and_then_sent_away() {
    if python_is_missing() {
        return;
    }
    let server = Server::start_plain(&["--interval", "1s", "--timeout", "3s"]);
    let mut second = Second::client(server.addr, &["--interval", "1000"]);
    second.event("welcome");
    // Each change of health is a beat: 64 are free, 64 more are not.
    for number in 0..90 {
        second.obey(&format!("health {}", number % 2));
    }
    let told = second.events.event_where("beat", |beat| beat["notices"] == 1);
    assert_eq!(told["health"], 0);
    assert!(server.events.events_so_far("offline").is_empty());
    for number in 0..90 {
        second.obey(&format!("health {}", number % 2));
    }
    let bye = second.event("bye");
    assert_eq!((bye.count("code"), bye.count("retry")), (8, 1));
    assert_eq!(server.event("offline")["violation"], "too_fast");
}

#[test]
fn events_of_v1_all_come() {
    if python_is_missing() {
        return;
    }
    side_by_side(&[
        ("serve", || {
            let server = Server::start_plain(&[]);
            let mut second = Second::client(server.addr, &["--interval", "10000"]);
            second.event("welcome");
            second.obey("promise 20000");
            second.obey("health 1");
            server.event("health");
            // The first one holds the name, and five may take it over within a minute.
            let mut bobs = Vec::new();
            for _ in 0..6 {
                let bob = Second::client(server.addr, &["--name", "bob"]);
                bob.event("welcome");
                bobs.push(bob);
            }
            let late = Second::client(server.addr, &["--name", "bob"]);
            assert_eq!(late.event("bye")["code"], 7);
            server.event("fighting");
            expect_kinds(
                &server.stop(),
                "fighting health listening offline online promise rejected stopped",
            );
        }),
        ("connect", || {
            let (mut second, addr) = Second::server(&QUICK_MS);
            let own = ["--rtt", "200ms", "--promise", "1s", "--retry", "100ms"];
            let args = [&QUICK[..], &own].concat();
            let client = Client::start_plain(addr, &args);
            client.event("rtt");
            second.obey("health 1");
            client.event("health");
            second.obey("notice 1");
            client.event("too_fast");
            second.obey("bye 1 1");
            client.event("waiting");
            client.events.first_events("online", 2);
            expect_kinds(
                &client.stop(),
                "closed connecting health offline online promising rtt starting too_fast waiting",
            );
        }),
    ]);
}
