//! Our `connect` with our `serve`.

use std::collections::BTreeSet;
use std::thread;

use heartwire_testkit::{Got, LineEvent as Event, Listener, Peer, data, lasting_address, ms};
use serde_json::Value;

use crate::program::{Client, Server};
use crate::side_by_side;

#[test]
fn lines_go_both_ways() {
    for (on_data, answers) in [("echo", ["one", "", "Drei ß"]), ("upper", ["ONE", "", "DREI ß"])]
    {
        let server = Server::start(&["--on-data", on_data]);
        let mut client = Client::start(server.addr, &[]);
        client.type_in("one\n\nDrei ß\n");
        let printed: Vec<_> = client.output.first(3).into_iter().map(|line| line.text).collect();
        assert_eq!(printed, answers);
        let data = server.events.first_events("data", 3);
        let previews: Vec<_> = data.iter().map(|event| event.text("preview")).collect();
        assert_eq!(previews, ["\"one\"", "\"\"", "\"Drei ß\""]);
        client.stop();
    }
}

#[test]
fn a_client_can_answer_its_server() {
    let listener = Listener::new();
    let client = Client::start(listener.addr(), &["--on-data", "upper"]);
    let mut server = listener.accept();
    server.send(&data(b"abc"));
    assert_eq!(server.receive_data(), b"ABC");
    drop(server);
    assert_eq!(client.event("offline")["reason"], "closed_by_peer");
    assert!(client.output.so_far().is_empty(), "data went back, not to standard output");
}

#[test]
fn the_end_of_input_ends_the_connection_unless_it_is_to_stay() {
    let server = Server::start(&[]);
    let mut leaving = Client::start(server.addr, &[]);
    leaving.type_in("last words");
    leaving.end_input();
    assert_eq!(leaving.process.exit_code(), Some(0));
    assert_eq!(server.event("data")["preview"], "\"last words\"");
    assert_eq!(server.event("offline")["reason"], "closed_by_peer");
    assert_eq!(names(&leaving.events.all_events()).last(), Some(&"closed"));

    let listener = Listener::new();
    let args = ["--interval", "100ms", "--timeout", "20s", "--stay"];
    let mut staying = Client::start(listener.addr(), &args);
    let mut server = listener.accept();
    staying.end_input();
    for _ in 0..10 {
        assert_eq!(server.next(), Got::Heart);
    }
    staying.stop();
}

#[test]
fn a_client_that_may_not_retry_says_why_it_left() {
    side_by_side(&[
        ("no server listens: 4", || {
            let mut client = Client::start(lasting_address(), &["--retry", "never"]);
            assert_eq!(client.process.exit_code(), Some(4));
            let events = client.events.all_events();
            assert_eq!(names(&events), ["starting", "connecting", "failed", "closed"]);
            assert_eq!(client.event("failed")["retryable"], true);
        }),
        ("no server listens, and the input has ended: 4", || {
            for _ in 0..10 {
                let args = ["--retry", "never"];
                let mut client = Client::start_with_input(lasting_address(), &args, "unsent\n");
                assert_eq!(client.process.exit_code(), Some(4));
            }
        }),
        ("no server listens, and there is no input: 4", || {
            for retry in [&["--retry", "never"][..], &[]] {
                // It takes a moment to find the address, and the input has ended by then.
                let target = format!("localhost:{}", lasting_address().port());
                let mut client = Client::start_with_input(target, retry, "");
                assert_eq!(client.process.exit_code(), Some(4), "{retry:?}");
            }
        }),
        ("the server accepts, and there is no input: 0", || {
            let server = Server::start(&[]);
            let mut client = Client::start_with_input(server.addr, &["--retry", "never"], "");
            assert_eq!(client.process.exit_code(), Some(0));
            assert_eq!(server.event("offline")["reason"], "closed_by_peer");
        }),
        ("closed by the server: 4", || {
            let server = Server::start(&[]);
            let mut client = Client::start(server.addr, &["--retry", "never"]);
            client.event("online");
            server.stop();
            assert_eq!(client.process.exit_code(), Some(4));
            // It is reset if it happened to send something in that moment.
            let offline = client.event("offline");
            assert!(["closed_by_peer", "reset"].contains(&offline.text("reason")), "{offline:?}");
        }),
        ("a target that makes no sense: 2, before anything starts", || {
            let mut client = Client::start_at("nowhere:port", &[]);
            assert_eq!(client.process.exit_code(), Some(2));
        }),
    ]);
}

#[test]
fn input_without_a_connection_waits_or_is_dropped() {
    side_by_side(&[
        ("queue", || {
            let addr = lasting_address();
            let mut client = Client::start(addr, &["--retry", "100ms"]);
            client.event("failed");
            client.type_in("one\ntwo\n");
            client.events.first_events("failed", 3);
            let server = Server::start_on(&addr.to_string(), &[]);
            client.type_in("three\n");
            let data = server.events.first_events("data", 3);
            let previews: Vec<_> = data.iter().map(|event| event.text("preview")).collect();
            assert_eq!(previews, ["\"one\"", "\"two\"", "\"three\""]);
        }),
        ("refuse", || {
            let addr = lasting_address();
            let args = ["--retry", "100ms", "--offline", "drop"];
            let mut client = Client::start(addr, &args);
            client.event("failed");
            client.type_in("one\ntwo\n");
            client.events.line("input is dropped: ");
            client.events.first_events("failed", 3);
            let server = Server::start_on(&addr.to_string(), &[]);
            client.event("online");
            client.type_in("three\n");
            assert_eq!(server.event("data")["preview"], "\"three\"");
            client.events.line("sending again");
            let dropped =
                client.events.so_far().iter().filter(|line| line.text.contains("dropped")).count();
            assert_eq!(dropped, 1, "it is said once");
        }),
    ]);
}

#[test]
fn events_of_v0_all_come() {
    side_by_side(&[("serve", events_of_serve), ("connect", events_of_connect)]);
}

fn events_of_serve() {
    let server = Server::start(&["--max-sessions", "1", "--interval", "250ms", "--timeout", "20s"]);
    let mut talker = Peer::connect(server.addr);
    talker.send(&data(b"hello"));
    server.event("data");
    drop(talker);
    assert_eq!(server.event("offline")["violation"], Value::Null);
    let mut breaker = Peer::connect(server.addr);
    breaker.send(b"GET / HTTP/1.1\r\n\r\n");
    let offline = server.event_of("offline", breaker.addr());
    assert_eq!(offline["reason"], "protocol_error");
    assert_eq!(offline["violation"], "unknown_type");
    drop(breaker);

    let holder = Peer::connect(server.addr);
    let addr = holder.addr();
    server.event_of("online", addr);
    let _refused = Peer::connect(server.addr);
    server.event("refusing");
    drop(holder);
    server.event_of("offline", addr);

    // `accepting` takes a second without refusals.
    thread::sleep(ms(1100));
    let _accepted = Peer::connect(server.addr);
    server.event("accepting");
    server.process.stand_still(ms(1500));
    server.event("paused");

    // On another server, because the one place of this one was held for as long as it took.
    let hasty = Server::start(&["--interval", "250ms", "--timeout", "1s"]);
    let silent = Peer::connect(hasty.addr);
    hasty.event_of("verdict", silent.addr());
    hasty.event_of("offline", silent.addr());
    expect_kinds(
        &[server.stop(), hasty.stop()].concat(),
        "accepting data listening offline online paused refusing stopped verdict",
    );
}

fn events_of_connect() {
    let addr = lasting_address().to_string();
    let server = Server::start_on(&addr, &["--interval", "250ms", "--timeout", "20s"]);
    let args = ["--interval", "250ms", "--timeout", "3s", "--retry", "100ms"];
    let client = Client::start(server.addr, &args);
    client.event("online");
    client.process.stand_still(ms(1500));
    client.event("paused");
    server.process.freeze();
    client.events.event_where("offline", |event| event["reason"] == "dead");
    drop(server);
    client.event("failed");
    client.event("waiting");

    let _server = Server::start_on(&addr, &["--interval", "250ms", "--timeout", "20s"]);
    client.events.first_events("online", 2);
    let events = client.stop();
    // A frozen server's kernel accepts the client again, as often as the test is held up.
    let reasons: Vec<_> = events.iter().filter_map(|event| event["reason"].as_str()).collect();
    assert_eq!((reasons[0], reasons[reasons.len() - 1]), ("dead", "shutdown"), "{reasons:?}");
    expect_kinds(&events, "closed connecting failed offline online paused starting waiting");
}

/// Events of each of these kinds came, and no others; a busy machine adds pauses, even where none
/// are asked for.
#[track_caller]
pub(crate) fn expect_kinds(events: &[Event], kinds: &str) {
    let came: BTreeSet<_> = events.iter().map(Event::name).collect();
    let expected: BTreeSet<_> = kinds.split(' ').collect();
    assert!(expected.is_subset(&came), "{came:?}");
    // A busy machine pauses; and a server with one place is short of it, if it is full when it
    // looks, each second.
    let by_chance = ["paused", "resource"];
    let is_known = |kind: &&str| by_chance.contains(kind) || expected.contains(kind);
    assert!(came.iter().all(is_known), "{came:?}");
}

/// Without the pauses of a busy machine.
fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::name).filter(|&name| name != "paused").collect()
}
