//! The client in C with servers that a test plays.

use std::fs;
use std::process::Command;
use std::time::Instant;

use heartwire::v1::{Bye, ByeCode, Offer, RetryHint, Terms};
use heartwire_testkit::{BEAT, Got, Lines, Listener, PAD, Peer, Process, data, ms, policy};

use super::{CLIENT, Client, posix};
use crate::side_by_side;

#[test]
fn c_client_with_servers_that_a_test_plays() {
    if posix().is_none() {
        return;
    }
    side_by_side(&[
        ("pads what is shorter than what wakes the server", pads_what_is_short),
        ("comes back when its server wants it back", comes_back_when_it_is_wanted),
        ("lives, and its server too, while its reader is slow", has_a_slow_reader),
        ("answers the tutorial's server, which asks", answers_an_asking_server),
        ("keeps the tutorial's server, which says nothing", keeps_a_silent_server),
        ("speaks raw bytes", speaks_raw_bytes),
        ("rejects a server that breaks the protocol", rejects_a_breach),
    ]);
}

/// A server that accepts a client of these tests, and is woken by so many bytes.
#[track_caller]
fn accept(listener: &Listener, wake_bytes: u32) -> Peer {
    let mut peer = listener.accept();
    let offer = Offer::new(&policy(500, 60_000)).min_interval(Some(ms(100)));
    peer.welcome_by(&Terms::new(offer).wake_bytes(wake_bytes));
    peer
}

fn pads_what_is_short() {
    let listener = Listener::new();
    let mut client = Client::start(listener.addr(), &CLIENT);
    let mut peer = accept(&listener, 200);
    assert_eq!(client.event("online")["wake_bytes"], 200);
    client.type_in("x\n");
    // The first heartbeats are news, and padded as well.
    while peer.next() != Got::Data(b"x".to_vec()) {}
    assert_eq!(peer.next(), Got::Other(PAD));
    client.type_in(&format!("{}\n", "y".repeat(300)));
    assert_eq!(peer.next_but_beats(), Got::Data(vec![b'y'; 300]));
    assert!(matches!(peer.next(), Got::Beat(_)), "nothing was to be padded");
}

fn comes_back_when_it_is_wanted() {
    let listener = Listener::new();
    let client = Client::start(listener.addr(), &CLIENT);
    let mut peer = accept(&listener, 1);
    client.event("online");
    let retry = RetryHint::Within { earliest: ms(1_500), latest: ms(1_600) };
    let mut bye = Bye::new(ByeCode::Draining, retry);
    bye.detail = "at \"ease\"";
    let sent_at = Instant::now();
    peer.send(&bye.encode());
    // It answers, and closes.
    peer.expect_end();
    let told = client.event("offline")["bye"].clone();
    assert_eq!((&told["earliest_ms"], &told["latest_ms"]), (&1_500.into(), &1_600.into()));
    assert_eq!(told["detail"], "at \"ease\"");
    let _peer = accept(&listener, 1);
    assert!(sent_at.elapsed() >= ms(1_500), "it came back early");
    client.events.first_events("online", 2);
    client.stop();
}

/// Its output is a pipe that is full, so it cannot take what comes. Both ends go on beating.
fn has_a_slow_reader() {
    let listener = Listener::new();
    let (client, output) =
        Client::start_unread(&mut Command::new(posix().unwrap()), listener.addr(), &CLIENT);
    let mut peer = accept(&listener, 1);
    client.event("online");
    let frame = data(&[b'z'; 999]);
    let len = peer.fill(&frame);
    let begun = Instant::now();
    let mut beats = 0;
    // More than two timeouts of the client. What it has not read shows that its server lives.
    while begun.elapsed() < ms(7_000) {
        peer.expect_beat();
        beats += 1;
    }
    assert!(beats >= 3, "{beats}");
    assert!(client.events.events_so_far("offline").is_empty());
    #[cfg(target_os = "linux")]
    {
        let used = cpu_time_ms(&client.process);
        assert!(used < 500, "it used a processor for {used} ms");
    }

    let output = Lines::of(output);
    peer.send(&frame[len % frame.len()..]);
    let count = len / frame.len() + 1;
    for line in output.first(count) {
        assert_eq!(line.text.len(), 999);
    }
    peer.data(b"after");
    assert_eq!(output.first(count + 1)[count].text, "after");
    client.stop();
}

/// Of a process, in the user's part and the system's.
#[cfg(target_os = "linux")]
fn cpu_time_ms(process: &Process) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
    // The 14th and 15th field of proc(5), counted behind the name, which may hold anything; in
    // hundredths of a second.
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum()
}

fn answers_an_asking_server() {
    let listener = Listener::new();
    let args = ["-0", "-i", "0", "-e", "-t", "3000", "-1"];
    let mut client = Client::start(listener.addr(), &args);
    let mut peer = listener.accept();
    let mut last_byte_at = Instant::now();
    for _ in 0..5 {
        last_byte_at = Instant::now();
        peer.send(&BEAT);
        peer.expect_heart();
    }
    let offline = client.event("offline");
    assert!(offline.at - last_byte_at >= ms(3_000), "called dead too early: {offline:?}");
    assert_eq!((&offline["reason"], &offline["beats"]), (&"dead".into(), &5.into()));
    assert_eq!(client.process.exit_code(), Some(5));
    assert_eq!(peer.read_to_end().0, b"", "each packet is answered once");
}

fn keeps_a_silent_server() {
    let listener = Listener::new();
    let started_at = Instant::now();
    let mut client = Client::start(listener.addr(), &["-0", "-i", "300", "-t", "0"]);
    let mut peer = listener.accept();
    for sent_before in 0..5 {
        peer.expect_heart();
        assert!(started_at.elapsed() >= ms(300) * sent_before, "beat {sent_before} came early");
    }
    client.type_in("a line\n");
    assert_eq!(peer.receive_data(), b"a line");
    client.stop();
}

fn speaks_raw_bytes() {
    let listener = Listener::new();
    let mut client = Client::start(listener.addr(), &["-r", "-t", "3000", "-1"]);
    let mut peer = listener.accept();
    client.type_in("GET /\n");
    assert_eq!(peer.read(6), b"GET /\n");
    let last_byte_at = Instant::now();
    peer.send(b"200\n404\n");
    assert_eq!(client.printed(2), ["200", "404"]);
    let offline = client.event("offline");
    assert!(offline.at - last_byte_at >= ms(3_000), "called dead too early: {offline:?}");
    assert_eq!(offline["reason"], "dead");
    assert_eq!(client.process.exit_code(), Some(5));
    assert_eq!(peer.read_to_end().0, b"", "there are no heartbeats");
}

fn rejects_a_breach() {
    for (args, breach, violation) in [
        (&CLIENT[..], &b"HTTP/1.1 400 Bad Request\r\n"[..], "unknown_type"),
        (&["-0"], b"\x01\0\0\0\xff\xff\xff\x7f", "too_long"),
        (&["-0"], b"\x01\0\0\0\0\0\0\x80", "negative_length"),
    ] {
        let listener = Listener::new();
        let mut client = Client::start(listener.addr(), &[args, &["-1"]].concat());
        let mut peer = listener.accept();
        peer.send(breach);
        assert_eq!(client.process.exit_code(), Some(4), "{violation}");
        let end = if args == CLIENT { "failed" } else { "offline" };
        assert_eq!(client.event(end)["violation"], violation);
    }
}
