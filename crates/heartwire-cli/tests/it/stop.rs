//! How the program ends: in time, with nothing lost, whatever its peers and its readers do.

use core::net::SocketAddr;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{ChildStdout, Command, Stdio};
use std::thread;
use std::time::Instant;

use heartwire_testkit::{
    BEAT, LineEvent as Event, Lines, Listener, Peer, Process, data, lasting_address, ms, wait_until,
};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

use crate::program::{Client, PROGRAM, Server, address, heartwire};
use crate::side_by_side;

#[test]
fn a_stop_says_goodbye_to_all_clients() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&["--drain", "2s", "--on-data", "echo"]);
        let mut peers: Vec<Peer> = (0..20).map(|_| Peer::connect(server.addr)).collect();
        for peer in &mut peers[..10] {
            peer.send(&BEAT);
            peer.expect_echo(b"hello");
        }
        drop(peers.pop());
        server.event("offline");
        server.events.first_events("online", 20);

        server.process.signal(signal);
        assert_eq!(server.process.exit_code(), Some(0), "{signal:?}");
        TcpStream::connect(server.addr).expect_err("the listening socket is gone");
        for peer in &mut peers {
            peer.read_to_end();
        }

        let events = server.events.all_events();
        assert_eq!(events.last().unwrap().name(), "stopped");
        assert_eq!(events.iter().filter(|event| event.name() == "stopped").count(), 1);
        assert_eq!(events.last().unwrap()["shutdown"], 19);
        let mut reasons = ends(&events);
        reasons.sort_unstable();
        let mut expected = vec!["shutdown"; 19];
        expected.insert(0, "closed_by_peer");
        assert_eq!(reasons, expected);
    }
}

/// The reason for the end of each session that was online; each has exactly one, and none has more
/// events after it.
#[track_caller]
fn ends(events: &[Event]) -> Vec<&str> {
    let mut ends: HashMap<&str, Option<&str>> = HashMap::new();
    for event in events {
        let Some(session) = event["session"].as_str() else { continue };
        if event.name() == "online" {
            assert_eq!(ends.insert(session, None), None, "{session} came twice");
            continue;
        }
        let end = ends.get_mut(session).unwrap_or_else(|| panic!("{event:?} of no session"));
        assert_eq!(*end, None, "{event:?} after the end");
        if event.name() == "offline" {
            *end = Some(event.text("reason"));
        }
    }
    ends.iter().map(|(id, end)| end.unwrap_or_else(|| panic!("{id} has no end"))).collect()
}

/// More than the sockets of both ends take in.
const MUCH: usize = 8 << 20;

#[test]
fn a_stop_waits_for_queued_bytes_but_not_forever() {
    side_by_side(&[
        ("a client that reads gets everything", || {
            let mut server = slow_readers_server("10s");
            let (mut peer, sent) = with_much_queued(&server);
            server.process.signal(Signal::TERM);
            wait_until_gone(server.addr);
            assert!(server.process.0.try_wait().unwrap().is_none(), "it did not wait");
            let got = peer.read_to_end().0;
            assert_eq!(got.len(), sent.len());
            assert!(got == sent, "what came is not what was sent");
            assert_eq!(server.process.exit_code(), Some(0));
            assert_eq!(server.event_of("offline", peer.addr())["reason"], "shutdown");
            ends(&server.events.all_events());
        }),
        ("a client that does not read is left behind", || {
            let mut server = slow_readers_server("1s");
            let (_peer, _) = with_much_queued(&server);
            let start = Instant::now();
            server.process.signal(Signal::TERM);
            assert_eq!(server.process.exit_code(), Some(0));
            assert!(start.elapsed() >= ms(1000), "it did not wait for --drain");
            let events = server.events.all_events();
            assert_eq!(ends(&events), ["unacknowledged"]);
            assert_eq!(events.last().unwrap().name(), "stopped");
        }),
        ("a second signal is obeyed at once, and one that comes twice is no second one", || {
            let mut server = slow_readers_server("60s");
            let (_peer, _) = with_much_queued(&server);
            let start = Instant::now();
            server.process.signal(Signal::TERM);
            wait_until_gone(server.addr);
            server.process.signal(Signal::INT);
            // upper bound: a signal that comes later is another one, and asks for nothing here.
            let is_same = start.elapsed() < ms(200);
            thread::sleep(ms(300));
            assert!(!is_same || server.process.0.try_wait().unwrap().is_none());
            server.process.signal(Signal::TERM);
            assert_eq!(server.process.exit_code(), Some(0));
        }),
    ]);
}

fn slow_readers_server(drain: &str) -> Server {
    let max_queue = (2 * MUCH).to_string();
    Server::start(&["--on-data", "echo", "--max-queue", &max_queue, "--drain", drain])
}

/// A client that had much to say, has read none of the echo, and what that is.
#[track_caller]
fn with_much_queued(server: &Server) -> (Peer, Vec<u8>) {
    let mut peer = Peer::connect_narrow(server.addr);
    let frame = data(&[b'x'; 60_000]);
    let frames = MUCH / frame.len();
    for _ in 0..frames {
        peer.send(&frame);
    }
    // All of it has been received, and what could be sent at once has been.
    server.events.first_events("data", frames);
    (peer, frame.repeat(frames))
}

#[track_caller]
fn wait_until_gone(server: SocketAddr) {
    wait_until("it listens no more", || TcpStream::connect(server).is_err());
}

#[test]
fn a_signal_right_after_the_first_line_is_a_stop_too() {
    for signal in [Signal::TERM, Signal::INT] {
        for _ in 0..20 {
            let mut server = Server::start(&[]);
            server.process.signal(signal);
            assert_eq!(server.process.exit_code(), Some(0));
        }
    }
}

/// A server whose standard output has been read up to the first line.
fn server_with_output(command: &mut Command) -> (Process, BufReader<ChildStdout>, Event) {
    let mut process = Process::spawn(command.stdout(Stdio::piped()));
    let mut output = BufReader::new(process.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let listening = Event { at: Instant::now(), fields: serde_json::from_str(&line).unwrap() };
    (process, output, listening)
}

const SERVE: &[&str] = &[
    "serve",
    "--protocol",
    "v0",
    "--listen",
    "127.0.0.1:0",
    "--format",
    "json",
    "--on-data",
    "echo",
];

#[test]
fn a_reader_that_leaves_does_not_end_the_server_unless_it_is_told_so() {
    let gone = |more: &[&str]| {
        let mut command = heartwire(SERVE);
        let command =
            command.args(["--accept-rate-per-address", "off", "--accept-rate", "off"]).args(more);
        let (mut process, output, listening) = server_with_output(command.stderr(Stdio::piped()));
        let said = Lines::of(process.0.stderr.take().unwrap());
        drop(output);
        (process, said, Peer::connect(address(&listening)), address(&listening))
    };
    // Noticed with an event: not the first, while a process that another test starts has the pipe
    // too.
    let noticed = |said: &Lines, addr, words: &str| {
        wait_until(words, || {
            drop(TcpStream::connect(addr));
            said.so_far().iter().any(|line| line.text.contains(words))
        });
    };
    let (mut process, said, mut peer, addr) = gone(&[]);
    noticed(&said, addr, "standard output cannot be written, and is tried again each second");
    peer.expect_echo(b"still there");
    Peer::connect(addr).expect_echo(b"let in");
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(), Some(0));

    let (mut process, said, mut peer, addr) = gone(&["--exit-with-reader"]);
    noticed(&said, addr, "stopping, because the reader of the events has exited");
    peer.read_to_end();
    assert_eq!(process.exit_code(), Some(1));
}

#[test]
fn a_reader_that_leaves_ends_the_other_commands_without_a_complaint() {
    // A man page and completions end with their reader, too.
    for args in [["completions", "zsh"], ["man", "--log-level=warn"], ["help", "serve"]] {
        let mut process = Process::spawn(heartwire(&args).stdout(Stdio::piped()));
        drop(process.0.stdout.take());
        assert_eq!(process.exit_code(), Some(0), "{args:?}");
    }
}
#[test]
fn a_reader_that_does_not_read_cannot_delay_a_clients_stop() {
    let listener = Listener::new();
    let addr = listener.addr().to_string();
    let mut command = heartwire(&["connect", &addr]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::spawn(command.stderr(Stdio::null()));
    let mut server = listener.accept();
    server.fill(&data(&[b'x'; 1000]).repeat(100));
    process.signal(Signal::TERM);
    assert_eq!(process.exit_code(), Some(0));
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_stop() {
    let without_reader = || {
        let mut command = heartwire(SERVE);
        let mut parts = server_with_output(command.stderr(Stdio::piped()));
        drop(parts.0.0.stderr.take());
        parts
    };
    let closed = || {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 2>&-", PROGRAM]).args(SERVE);
        server_with_output(command.stdin(Stdio::null()))
    };
    for parts in [without_reader(), closed()] {
        let (mut process, output, listening) = parts;
        let events = Lines::of(output);
        // Each is worth a line of the log, on whichever shard.
        for _ in 0..20 {
            let mut peer = Peer::connect(address(&listening));
            peer.send(b"GET / HTTP/1.1\r\n\r\n");
            peer.read_to_end();
        }
        for _ in 0..20 {
            Peer::connect(address(&listening)).expect_echo(b"still there");
        }
        process.signal(Signal::TERM);
        assert_eq!(process.exit_code(), Some(0));
        let events = events.all_events();
        assert_eq!(ends(&events).len(), 40);
        assert_eq!(events.last().unwrap()["protocol_error"], 20);
    }
}

#[test]
fn a_client_stops_when_told() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start(&[]);
        let mut client = Client::start(server.addr, &[]);
        client.event("online");
        client.process.signal(signal);
        assert_eq!(client.process.exit_code(), Some(0));
        let events = client.events.all_events();
        let offline = events.iter().find(|event| event.name() == "offline").unwrap();
        assert_eq!(offline["reason"], "shutdown");
        assert_eq!(events.last().unwrap().name(), "closed");
        assert_eq!(server.event("offline")["reason"], "closed_by_peer");
    }
    // Also when it is not connected, or waits before the next attempt.
    let mut client = Client::start_at("127.0.0.1:9", &[]);
    client.event("waiting");
    client.process.signal(Signal::TERM);
    assert_eq!(client.process.exit_code(), Some(0));
}

#[test]
fn a_signal_that_the_network_has_changed_cuts_a_wait_short() {
    let client = Client::start(lasting_address(), &["--retry", "1h"]);
    client.events.event_where("waiting", |event| event["attempt"] == 2);
    client.process.signal(Signal::USR1);
    client.events.event_where("connecting", |event| event["attempt"] == 2);
    client.stop();
}

/// More than the kernel of a server that does not read accepts, and less than that and the client's
/// together.
const OPEN_LINES: usize = 1000;

/// A client that has been typed to, and its server, which has read none of it.
#[track_caller]
fn with_open_lines(close_timeout: &str) -> (Client, Peer) {
    let listener = Listener::new();
    let args = ["--close-timeout", close_timeout, "--max-queue", "1000000"];
    let mut client = Client::start(listener.addr(), &args);
    let server = listener.accept();
    client.event("online");
    client.type_in(&format!("{}\n", "x".repeat(599)).repeat(OPEN_LINES));
    (client, server)
}

#[test]
fn a_client_that_leaves_says_when_its_server_has_not_everything() {
    for by_signal in [false, true] {
        let (mut client, _stuck) = with_open_lines("1s");
        if by_signal {
            client.process.signal(Signal::TERM);
        } else {
            client.end_input();
        }
        assert_eq!(client.process.exit_code(), Some(4), "by a signal: {by_signal}");
        let offline = client.event("offline");
        assert_eq!(offline["reason"], "unacknowledged");
        assert!(offline.count("unacknowledged") > 0);
    }
}

#[test]
fn a_signal_while_a_client_closes_is_obeyed_at_once_and_is_no_clean_end() {
    let (mut client, _stuck) = with_open_lines("1h");
    client.end_input();
    while client.process.0.try_wait().unwrap().is_none() {
        thread::sleep(ms(200));
        client.process.signal(Signal::TERM);
    }
    assert_eq!(client.process.exit_code(), Some(4));
}

#[test]
fn a_client_that_leaves_waits_until_a_slow_server_has_everything() {
    let (mut client, mut slow) = with_open_lines("5min");
    client.end_input();
    // Longer than a server that has everything gets for closing.
    thread::sleep(ms(1_500));
    // A socket that is closed would answer this with a reset.
    slow.send(&BEAT);
    let got = slow.read_to_end().0;
    assert_eq!(got.len(), OPEN_LINES * (8 + 599) + BEAT.len());
    drop(slow);
    assert_eq!(client.process.exit_code(), Some(0));
    let offline = client.event("offline");
    assert_eq!((offline.text("reason"), offline.count("unacknowledged")), ("shutdown", 0));
}

#[test]
fn a_signal_while_input_waits_for_a_connection_is_no_clean_end() {
    let mut client = Client::start(lasting_address(), &["--retry", "1h"]);
    client.event("waiting");
    // More than the pipe holds, so some of it has been taken for sending.
    client.type_in(&"not read.\n".repeat(15_000));
    client.process.signal(Signal::TERM);
    assert_eq!(client.process.exit_code(), Some(4));
}

#[test]
fn an_input_that_does_not_wait_is_waited_for() {
    let server = Server::start(&[]);
    let (input, mut typist) = std::io::pipe().unwrap();
    fcntl_setfl(&input, fcntl_getfl(&input).unwrap() | OFlags::NONBLOCK).unwrap();
    let addr = server.addr.to_string();
    let mut command = heartwire(&["connect", "--protocol", "v0", &addr]);
    let command = command.stdin(input).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = Process::spawn(command);
    server.event("online");
    for _ in 0..2 {
        typist.write_all(b"typed\n").unwrap();
        server.event("data");
    }
    drop(typist);
    assert_eq!(client.exit_code(), Some(0));
}
