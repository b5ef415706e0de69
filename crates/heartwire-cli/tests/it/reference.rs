//! The tutorial's programs, played by hand, with ours at the other end.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use heartwire_testkit::{BEAT, Got, LineEvent as Event, Listener, PATIENCE, Peer, data, ms};
use serde_json::Value;

use crate::program::{Client, Server};
use crate::side_by_side;

#[test]
fn the_tutorials_programs_work_with_ours() {
    side_by_side(&[
        ("its client is held, and called dead within the bound", its_client),
        ("its server keeps our client", its_server),
        ("its answering client is held until it stops", its_answering_client),
        ("its asking server is held until it stops", its_asking_server),
        ("its kernel variant gets its letters back", its_kernel_variant),
    ]);
}

/// Connects, sends a BEAT every 3 s from a thread of its own, and reads nothing. Data may travel on
/// the same connection.
fn its_client() {
    let server = Server::start(&["--preset", "tutorial"]);
    let mut client = Peer::connect(server.addr);
    let addr = client.addr();
    client.send(&BEAT);
    client.send(&data(b"between two beats"));
    thread::sleep(ms(3000));
    // Noted before the write: the byte must not seem younger than it is.
    let last_byte_at = Instant::now();
    client.send(&BEAT);

    let verdict = server.event_of("verdict", addr);
    let offline = server.event_of("offline", addr);
    assert!(verdict.at - last_byte_at >= ms(15_000), "called dead too early: {verdict:?}");
    verdict.expect_silence_of(15_000.0);
    assert_eq!(verdict["cause"], "silence");
    assert_eq!(offline["reason"], "dead");
    assert_eq!(offline["beats"], 2);
    assert_eq!(server.event("data")["bytes"], 17);
    assert_eq!(client.read_to_end().0, b"", "the tutorial's client expects nothing");
    assert_eq!(server.events.events_so_far("offline").len(), 1);
}

/// One thread, one client: receives headers of 8 bytes, counts a miss for each 3 s without one,
/// closes at 5, and never sends.
fn its_server() {
    let listener = Listener::new();
    let addr = listener.addr();
    let (hearts, seen) = mpsc::channel();
    let server = thread::spawn(move || {
        let Peer { mut stream, .. } = listener.accept();
        stream.set_read_timeout(Some(ms(3000))).unwrap();
        let mut missed = 0;
        while missed < 5 {
            let mut header = [0xff; 8];
            match stream.read(&mut header) {
                Ok(0) => return "the client closed",
                Ok(8) => {
                    missed = 0;
                    hearts.send((Instant::now(), header)).unwrap();
                }
                Ok(len) => panic!("{len} bytes came, not a header"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => missed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        "the client was offline"
    });

    let started_at = Instant::now();
    let client = Client::start(addr, &["--preset", "tutorial"]);
    for sent_before in 0..3 {
        let (at, header) = seen.recv_timeout(PATIENCE).unwrap();
        assert_eq!(header, BEAT);
        assert!(at - started_at >= ms(3000) * sent_before, "beat {sent_before} came early");
    }
    let events = client.stop();
    assert_eq!(server.join().unwrap(), "the client closed");
    assert_eq!(names(&events), ["starting", "connecting", "online", "offline", "closed"]);
    let offline = events.iter().find(|event| event.name() == "offline").unwrap();
    assert_eq!((&offline["reason"], &offline["beats"]), (&"shutdown".into(), &0.into()));
}

/// Answers each empty packet with the same packet.
fn its_answering_client() {
    let server = Server::start(&["--interval", "300ms", "--timeout", "3s"]);
    let mut client = Peer::connect(server.addr);
    for _ in 0..6 {
        assert_eq!(client.next(), Got::Heart);
        client.send(&BEAT);
    }
    assert_eq!(client.next(), Got::Heart);
    let last_byte_at = Instant::now();
    client.send(&BEAT);

    let verdict = server.event_of("verdict", client.addr());
    assert!(verdict.at - last_byte_at >= ms(3000), "called dead too early: {verdict:?}");
    verdict.expect_silence_of(3000.0);
    let offline = server.event_of("offline", client.addr());
    assert_eq!(offline["reason"], "dead");
    assert_eq!(offline["beats"], 7);
    // It was asked until the end, and only asked.
    let asked = client.read_to_end().0;
    assert_eq!(asked, vec![0; asked.len()]);
}

/// Sends the empty packet on a timer, and waits for the same packet as an answer.
fn its_asking_server() {
    let listener = Listener::new();
    let args = ["--interval=off", "--echo", "--timeout", "3s", "--retry", "never"];
    let mut client = Client::start(listener.addr(), &args);
    let mut server = listener.accept();
    // It answers, and does not begin.
    let mut last_byte_at = Instant::now();
    for beat in 0..6 {
        if beat > 0 {
            thread::sleep(ms(300));
        }
        last_byte_at = Instant::now();
        server.send(&BEAT);
        assert_eq!(server.next(), Got::Heart);
    }

    let offline = client.event("offline");
    assert!(offline.at - last_byte_at >= ms(3000), "called dead too early: {offline:?}");
    assert_eq!(offline["reason"], "dead");
    assert_eq!(offline["cause"], "silence");
    offline.expect_silence_of(3000.0);
    assert_eq!(offline["beats"], 6);
    assert_eq!(client.process.exit_code(), Some(5));
    assert_eq!(server.read_to_end().0, b"", "each packet is answered once");
}

/// Keepalive of 3 s, 3 s and 3, no headers; reads, sends back in upper case, and starts over 100 ms
/// after each end.
fn its_kernel_variant() {
    let listener = Listener::new();
    let args = ["--raw", "--on-data", "upper", "--keepalive", "3s,3s,3", "--retry", "100ms"];
    let client = Client::start(listener.addr(), &args);
    // Its server may be silent forever: only keepalive declares it dead.
    assert_eq!(client.event("starting")["policy"]["timeout_ms"], Value::Null);

    let sent = "straße 39002, BEAT\n".as_bytes();
    let mut closed_at = None;
    for _ in 0..4 {
        let mut server = listener.accept();
        if let Some(closed_at) = closed_at.replace(Instant::now()) {
            let waited = Instant::now() - closed_at;
            assert!(waited >= ms(100), "came back after {waited:?}");
        }
        server.stream.write_all(sent).unwrap();
        let mut answer = vec![0; sent.len()];
        server.stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, sent.to_ascii_uppercase(), "ASCII letters only, and no headers");
        closed_at = Some(Instant::now());
    }

    let online = client.event("online");
    let kernel = online.text("kernel");
    assert!(kernel.contains("keepalive after 3s, every 3s, 3 times (12s in all)"), "{kernel}");
    assert!(kernel.contains("nodelay on"), "{kernel}");
    for waiting in client.events.first_events("waiting", 3) {
        assert_eq!(waiting["wait_ms"], 100.0);
    }
}

/// Without the pauses of a busy machine.
fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(Event::name).filter(|&name| name != "paused").collect()
}
