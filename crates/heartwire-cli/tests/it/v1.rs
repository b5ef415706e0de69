//! Protocol v1 as users of the two programs meet it: what they agree on, who comes in, who leaves
//! and why.

mod admission;
mod age;
mod commands;
mod input;
mod names;
mod outages;
mod page;
mod resuming;
mod second;
pub(crate) mod tokens;

use std::process::Stdio;
use std::time::Instant;

use heartwire::v1::{Hello, LastConnection, Offer};
use heartwire_testkit::{
    BEAT, LineEvent as Event, Lines, Listener, Peer, Process, data, hello, ms, patient,
};
use serde_json::{Value, json};

use crate::program::{Client, Server, heartwire};
use crate::side_by_side;

#[test]
fn both_programs_speak_v1_by_default_and_show_the_same_contract() {
    let server = Server::start_plain(&["--timeout", "20s", "--peer-interval", "5s"]);
    let client = Client::start_plain(server.addr, &[]);
    let (here, there) = (client.event("online"), server.event("online"));
    // The server wants a beat each 5 s, and would send one each 10 s; its minimum interval is 1 s.
    let to_server = json!({ "interval_ms": 5000.0, "timeout_ms": 20_000.0 });
    let to_client = json!({ "interval_ms": 10_000.0, "timeout_ms": 30_000.0 });
    for online in [&here, &there] {
        assert_eq!(online["protocol"], "v1");
        assert_eq!(online["to_server"], to_server);
        assert_eq!(online["to_client"], to_client);
        assert_eq!(online["epoch"], 0);
    }
    assert_eq!(here["wake_bytes"], there["wake_bytes"]);
    assert_eq!(there["name"], Value::Null);
    assert!(there.text("agent").starts_with("heartwire/"), "{there:?}");
    // Each has beaten once, at the start.
    let beats = |events: &[Event]| {
        let offline = events.iter().find(|event| event.name() == "offline").unwrap();
        (offline.text("reason").to_owned(), offline.count("beats"))
    };
    assert_eq!(beats(&client.stop()), ("shutdown".to_owned(), 1));
    assert_eq!(server.event("offline")["detail"], "the peer disconnected: done");
    assert_eq!(beats(&server.stop()), ("bye".to_owned(), 1));
}

#[test]
fn a_server_prints_how_the_last_connection_of_a_client_ended() {
    let server = Server::start_plain(&[]);
    let (peer, _) = Peer::welcomed(server.addr, &hello());
    assert_eq!(server.event_of("online", peer.addr())["last"], Value::Null);
    let mut hello = Hello::new(Offer::new(&patient()));
    let session = Some(3 << 32 | 17);
    hello.last = Some(LastConnection::new("dead\u{202e}\n", ms(12_345), session));
    let (peer, _) = Peer::welcomed(server.addr, &hello.encode());
    let online = server.event_of("online", peer.addr());
    let said = json!({ "reason": "dead\u{202e}\n", "ago_ms": 12_345.0, "session": "0-17-3" });
    assert_eq!(online["last"], said);
    // Escaped, or it would turn the text around that follows.
    server.events.line(r#""reason":"dead\u202e\n""#);
}

#[test]
fn people_are_shown_the_contract_too() {
    let mut server =
        Process::spawn(heartwire(&["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()));
    let output = Lines::of(server.0.stdout.take().unwrap());
    let first = output.line("listening").text;
    let addr = first.split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap();
    let mut client = Process::spawn(
        heartwire(&["connect", addr, "--name", "bob", "--preset", "fast", "--stay"])
            .stderr(Stdio::piped()),
    );
    let log = Lines::of(client.0.stderr.take().unwrap());
    let contract = "client interval 2.5s, server timeout 30s; \
                    server interval 2.5s, client timeout 8.5s";
    log.line(contract);
    assert!(output.line(contract).text.contains(" \"bob\" 127.0.0.1:"));
}

#[test]
fn a_port_takes_v1_and_the_tutorials_programs() {
    let server = Server::start_plain(&["--on-data", "echo", "--interval", "10s"]);
    let mut theirs = Peer::connect(server.addr);
    theirs.send(&BEAT);
    let mut theirs_too = Peer::connect(server.addr);
    theirs_too.send(&data(b"data first"));
    assert_eq!(theirs_too.receive_data(), b"data first");
    let mut ours = Client::start_plain(server.addr, &[]);
    let reference = Client::start_plain(server.addr, &["--preset", "tutorial"]);
    let plain = Client::start_plain(server.addr, &["--protocol", "v0"]);
    ours.type_in("hello\n");
    ours.output.line("hello");
    theirs.expect_echo(b"still v0");
    for client in [&reference, &plain] {
        assert_eq!(client.event("online")["protocol"], "v0");
    }
    let mut protocols: Vec<_> = server
        .events
        .first_events("online", 5)
        .iter()
        .map(|online| online.text("protocol").to_owned())
        .collect();
    protocols.sort_unstable();
    assert_eq!(protocols, ["v0", "v0", "v0", "v0", "v1"]);
}

#[test]
fn a_server_can_insist_on_either_protocol() {
    side_by_side(&[
        ("v1 only", || {
            let server = Server::start_plain(&["--protocol", "v1"]);
            let mut tutorials = Peer::connect(server.addr);
            tutorials.send(&BEAT);
            assert_eq!(tutorials.read_to_end().0, b"", "v0 knows no BYE");
            server.log.line("\"violation\":\"unexpected\"");
            assert_eq!(server.event("rejected")["code"], "version");
            let mut old =
                Client::start_plain(server.addr, &["--protocol", "v0", "--retry", "never"]);
            assert_eq!(old.process.exit_code(), Some(4));
            let client = Client::start_plain(server.addr, &[]);
            client.event("online");
            let events = server.stop();
            assert_eq!(events.iter().filter(|event| event.name() == "online").count(), 1);
            assert_eq!(events.last().unwrap()["protocol_error"], 2);
        }),
        ("v0 only", || {
            let server = Server::start_plain(&["--protocol", "v0"]);
            let mut client = Client::start_plain(server.addr, &["--retry", "never"]);
            assert_eq!(client.process.exit_code(), Some(4));
            let failed = client.event("failed");
            assert!(failed.text("error").contains("v0 only"), "{failed:?}");
            assert_eq!(failed["retryable"], true, "the server may be updated");
            assert_eq!(server.event("offline")["violation"], "unknown_type");
        }),
        ("the tutorial's own, which takes a HELLO for data and says nothing", || {
            let listener = Listener::new();
            let args = ["--retry", "never", "--handshake-timeout", "500ms"];
            let started_at = Instant::now();
            let mut client = Client::start_plain(listener.addr(), &args);
            let silent = listener.accept();
            let failed = client.event("failed");
            assert!(failed.at - started_at >= ms(500), "{failed:?}");
            // upper bound: without the option it would be 5 s, and this machine is not that late.
            assert!(failed.at - started_at < ms(5000), "{failed:?}");
            assert!(failed.text("error").contains("v0 only"), "{failed:?}");
            assert_eq!(client.process.exit_code(), Some(4));
            drop(silent);
        }),
    ]);
}

#[test]
fn ends_that_cannot_agree_part_with_both_figures() {
    let server =
        Server::start_plain(&["--interval=off", "--timeout", "6s", "--max-timeout", "20s"]);
    // However often it may retry: it would be refused again.
    let mut client = Client::start_plain(server.addr, &["--min-interval", "10s"]);
    assert_eq!(client.process.exit_code(), Some(4));
    let failed = client.event("failed");
    assert_eq!(failed["retryable"], false);
    let error = failed.text("error");
    assert!(error.contains("conflict: one end sends beats every 10s at most"), "{error}");
    assert!(error.contains("a timeout of 30s, and the other agrees to 20s"), "{error}");
    let events = server.stop();
    assert_eq!(events.last().unwrap()["rejected"], 1);
    assert!(events.iter().all(|event| event.name() != "online"), "{events:?}");
}
