//! Wire v1 as users of the two programs meet it: what they agree on, who comes in, who leaves and why.

mod admission;
mod input;
#[cfg(target_os = "linux")]
mod late;
mod names;
mod page;
mod second;
mod tokens;

use std::process::Stdio;
use std::thread;
use std::time::Instant;

use heartwire_testkit::{
    BEAT, Got, HELLO, LineEvent as Event, Lines, Listener, PAD, Peer, Process, data, ms,
};
use serde_json::{Value, json};

use crate::program::{Client, Server, heartwire, run};
use crate::side_by_side;

#[test]
fn both_programs_speak_v1_by_default_and_show_the_same_contract() {
    let server = Server::start_plain(&["--limit", "20s", "--peer-beat", "5s"]);
    let client = Client::start_plain(server.addr, &[]);
    let (here, there) = (client.event("online"), server.event("online"));
    // The server wants a beat each 5 s, and would send one each 10 s; its floor is 1 s.
    let to_server = json!({ "beat_ms": 5000.0, "limit_ms": 20_000.0 });
    let to_client = json!({ "beat_ms": 10_000.0, "limit_ms": 30_000.0 });
    for online in [&here, &there] {
        assert_eq!(online["wire"], "v1");
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
    assert_eq!(server.event("offline")["detail"], "the peer took its leave: done");
    assert_eq!(beats(&server.stop()), ("bye".to_owned(), 1));
}

#[test]
fn people_are_shown_the_contract_too() {
    let mut server =
        Process::spawn(heartwire(&["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()));
    let output = Lines::of(server.0.stdout.take().unwrap());
    let first = output.line("listening").text;
    let addr = first.split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap();
    let mut client = Process::spawn(
        heartwire(&["connect", addr, "--name", "bob", "--preset", "strict"]).stderr(Stdio::piped()),
    );
    let log = Lines::of(client.0.stderr.take().unwrap());
    let contract = "the client beats every 2.5s, the server calls 30s of silence death; \
                    the server beats every 2.5s, the client calls 8.5s of silence death";
    log.line(contract);
    assert!(output.line(contract).text.contains(" \"bob\": "));
}

#[test]
fn one_port_takes_v1_and_the_tutorials_programs() {
    let server = Server::start_plain(&["--on-data", "echo", "--beat", "10s"]);
    let mut theirs = Peer::connect(server.addr);
    theirs.send(&BEAT);
    let mut theirs_too = Peer::connect(server.addr);
    theirs_too.send(&data(b"data first"));
    assert_eq!(theirs_too.receive_data(), b"data first");
    let mut ours = Client::start_plain(server.addr, &[]);
    let reference = Client::start_plain(server.addr, &["--preset", "reference"]);
    let plain = Client::start_plain(server.addr, &["--wire", "v0"]);
    ours.type_in("hello\n");
    ours.output.line("hello");
    theirs.expect_echo(b"still v0");
    for client in [&reference, &plain] {
        assert_eq!(client.event("online")["wire"], "v0");
    }
    let mut wires: Vec<_> = server
        .events
        .first_events("online", 5)
        .iter()
        .map(|online| online.text("wire").to_owned())
        .collect();
    wires.sort_unstable();
    assert_eq!(wires, ["v0", "v0", "v0", "v0", "v1"]);
}

#[test]
fn a_server_can_insist_on_either_wire() {
    side_by_side(&[
        ("v1 only", || {
            let server = Server::start_plain(&["--require", "v1"]);
            let mut tutorials = Peer::connect(server.addr);
            tutorials.send(&BEAT);
            assert_eq!(tutorials.read_to_end().0, b"", "v0 knows no BYE");
            server.log.line("violation=\"unexpected\"");
            let mut old = Client::start_plain(server.addr, &["--wire", "v0", "--retry", "never"]);
            assert_eq!(old.process.exit_code(), Some(4));
            let client = Client::start_plain(server.addr, &[]);
            client.event("online");
            let events = server.stop();
            assert_eq!(events.iter().filter(|event| event.name() == "online").count(), 1);
            assert_eq!(events.last().unwrap()["protocol_error"], 2);
        }),
        ("v0 only", || {
            let server = Server::start_plain(&["--require", "v0"]);
            let mut client = Client::start_plain(server.addr, &["--retry", "never"]);
            assert_eq!(client.process.exit_code(), Some(4));
            let failed = client.event("failed");
            assert!(failed.text("error").contains("--wire v0"), "{failed:?}");
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
            assert!(failed.text("error").contains("--wire v0"), "{failed:?}");
            assert_eq!(client.process.exit_code(), Some(4));
            drop(silent);
        }),
    ]);
}

#[test]
fn ends_that_cannot_agree_part_with_both_figures() {
    let server = Server::start_plain(&["--no-beat", "--limit", "6s", "--ceiling", "20s"]);
    // However often it may retry: it would be refused again.
    let mut client = Client::start_plain(server.addr, &["--floor", "10s"]);
    assert_eq!(client.process.exit_code(), Some(4));
    let failed = client.event("failed");
    assert_eq!(failed["retryable"], false);
    let error = failed.text("error");
    assert!(error.contains("conflict: one end beats every 10s at most"), "{error}");
    assert!(error.contains("a limit of 30s, and the other agrees to 20s"), "{error}");
    let events = server.stop();
    assert_eq!(events.last().unwrap()["turned_away"], 1);
    assert!(events.iter().all(|event| event.name() != "online"), "{events:?}");
}

#[test]
fn a_client_tells_its_round_trip_and_how_long_it_was_not_heard() {
    let server = Server::start_plain(&["--beat", "200ms", "--limit", "2s", "--floor", "100ms"]);
    let args = ["--beat", "200ms", "--limit", "2s", "--floor", "100ms", "--path", "300ms"];
    let client = Client::start_plain(server.addr, &args);
    // Some of them, because a busy machine may run either end late.
    let is_short = |path: &Event| path["rtt_ms"].as_f64().is_some_and(|rtt| rtt < 200.0);
    let path = client.events.event_where("path", is_short);
    assert!(path.number("unheard_ms") < 2000.0, "{path:?}");
    assert_eq!(path["peer_health"], "ok");
    // The clock of `unheard_ms` runs on when the server stands still.
    server.process.freeze();
    let before = client.events.events_so_far("path").len();
    let later = client.events.first_events("path", before + 4);
    let grown = later.last().unwrap();
    assert!(grown.number("unheard_ms") >= 800.0, "{grown:?}");
    server.process.thaw();
}

#[test]
fn beats_go_on_beside_bulk_data() {
    const FRAMES: usize = 500;
    let listener = Listener::with_buffer(16 * 1024);
    let args = ["--beat", "100ms", "--limit", "20s", "--floor", "50ms", "--wire", "v1"];
    let mut client = Client::start(listener.addr(), &args);
    let mut server = listener.accept();
    assert_eq!(server.next(), Got::Other(HELLO));
    server.send(&WELCOME);
    let typing = thread::spawn(move || {
        for _ in 0..FRAMES {
            client.type_in(&("x".repeat(60 * 1024) + "\n"));
        }
        client
    });
    // At 10 MiB a second at most: what is typed fills every queue on the way.
    let (mut data, mut beats) = (0, 0);
    while data < FRAMES {
        match server.next() {
            Got::Beat(_) => beats += 1,
            Got::Data(_) => {
                data += 1;
                thread::sleep(ms(6));
            }
            Got::Other(PAD) => {}
            other => panic!("{other:?}"),
        }
    }
    // It took three seconds at least, which is 30 beats; the first 8 MiB may have been there before the second.
    assert!(beats >= 10, "{beats} beats came with {data} frames");
    drop(typing.join().unwrap());
}

/// To the server: beat 100 ms, no limit. To the client: beat 5 s, limit 20 s. Floor 50 ms.
const WELCOME: [u8; 43] = [
    3, 0, 0, 0, 35, 0, 0, 0, 0xaa, 0, 1, 1, 1, 2, 0, 3, 0x18, 100, 5, 0x1a, 0, 0x36, 0xee, 0x80, 6,
    0x19, 0x13, 0x88, 7, 0x19, 0x4e, 0x20, 8, 0x1a, 0, 0x36, 0xee, 0x80, 9, 0x18, 50, 10, 1,
];

#[test]
fn options_that_make_no_sense_together_are_refused_before_anything_happens() {
    for (args, says) in [
        (&["connect", "--wire", "v0", "--name", "bob", "127.0.0.1:1"][..], "need v1"),
        (&["connect", "--preset", "reference", "--name", "bob", "127.0.0.1:1"], "need v1"),
        (&["connect", "--echo", "--no-beat", "--wire", "v1", "127.0.0.1:1"], "--echo"),
        (&["connect", "--wire", "v0", "--path", "1s", "127.0.0.1:1"], "--path"),
        (&["connect", "--name", "b\u{1}b", "127.0.0.1:1"], "a name is made of"),
        (&["connect", "--ceiling", "20s", "127.0.0.1:1"], "--ceiling"),
        (&["serve", "--ceiling", "20s", "--listen", "127.0.0.1:0"], "--ceiling"),
        (&["serve", "--require", "v0", "--tokens", "none"], "--tokens"),
    ] {
        let output = run(args);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {complaint}");
        assert!(complaint.contains(says), "{args:?}: {complaint}");
    }
}
