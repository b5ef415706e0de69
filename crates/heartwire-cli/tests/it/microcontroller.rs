//! The C library on a microcontroller: a board in QEMU, whose serial port is a line to the server.

use core::net::SocketAddr;
use core::time::Duration;
use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use heartwire_testkit::{LineEvent as Event, Lines, Process, ms, skip};
use rustix::process::Signal;

use crate::program::Server;
use crate::side_by_side;

const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../heartwire-ffi/firmware/build");
const KERNEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/firmware/resume/modem.elf");

/// What the firmware is built with.
const INTERVAL_MS: u64 = 1000;
const TIMEOUT_MS: f64 = 4000.0;

/// How long the board beats. A minute was tried by hand.
const CALM: Duration = Duration::from_secs(5);

/// A board with the firmware. Its clock is this machine's: it goes on while the board is frozen.
struct Board {
    started: Instant,
    process: Process,
    events: Lines,
}

impl Board {
    #[track_caller]
    fn start(server: SocketAddr) -> Self {
        let modem =
            format!("socket,id=modem,host={},port={},reconnect=1", server.ip(), server.port());
        let started = Instant::now();
        let board = ["-M", "mps2-an386", "-display", "none", "-monitor", "none"];
        let mut process = Process::spawn(
            Command::new("qemu-system-arm")
                .args(board)
                .args(["-chardev", &modem, "-serial", "chardev:modem", "-serial", "stdio"])
                .args(["-kernel", KERNEL])
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
        );
        let events = Lines::of(process.0.stdout.take().unwrap());
        Self { started, process, events }
    }

    /// Checks the board's clock by what it printed after `then`, and what it had printed before.
    #[track_caller]
    fn keeps_time(&self, before: &Event, then: Instant, after: &Event) {
        let [before_ms, after_ms] = [before, after].map(|event| ms(event.count("at_ms")));
        assert!(after_ms <= after.at - self.started, "it is fast: {after:?}");
        let passed = after_ms.saturating_sub(before_ms) + ms(1);
        assert!(passed >= then - before.at, "it is slow: {after:?}");
    }
}

/// Builds the firmware, if what that needs is here.
#[track_caller]
fn is_built() -> bool {
    if Command::new("qemu-system-arm").arg("--version").stdout(Stdio::null()).status().is_err() {
        skip("qemu-system-arm is not installed");
        return false;
    }
    let build = Command::new(BUILD).output().unwrap();
    let said = String::from_utf8_lossy(&build.stderr);
    match build.status.code() {
        Some(0) => true,
        Some(3) => {
            skip(said.trim().trim_start_matches("skipped: "));
            false
        }
        _ => panic!("{BUILD}: {said}"),
    }
}

#[test]
fn a_board_keeps_its_promises_and_finds_a_dead_server() {
    if !is_built() {
        return;
    }
    side_by_side(&[
        ("a board beats, and messages go both ways", messages_and_beats),
        ("a frozen board is found, and comes back", a_frozen_board),
        ("a board blames no server for its pause", a_board_after_a_pause),
        ("a board finds its server dead, and comes back", a_frozen_server),
        ("a board leaves when it is told to, and comes back", a_server_that_restarts),
    ]);
}

fn messages_and_beats() {
    let args = ["--interval", "1s", "--timeout", "30s", "--on-data", "upper", "--commands"];
    let mut server = Server::start_with_input(&args, Stdio::piped());
    let started = Instant::now();
    let board = Board::start(server.addr);
    let online = server.event("online");
    assert_eq!(online["name"], "board");
    assert_eq!(online["agent"], "mps2-an386");
    let welcomed = board.events.event("online");
    assert_eq!(welcomed.count("interval_ms"), INTERVAL_MS);

    assert_eq!(server.event("data")["preview"], "\"hello from the board\"");
    assert_eq!(board.events.event("data")["text"], "HELLO FROM THE BOARD");
    server.type_in("/send board open the valve\n");
    let is_sent = |event: &Event| event["text"] == "open the valve";
    board.events.event_where("data", is_sent);

    let calm = env::var("HEARTWIRE_BOARD_SECONDS")
        .map_or(CALM, |seconds| Duration::from_secs(seconds.parse().unwrap()));
    thread::sleep(calm.saturating_sub(started.elapsed()));
    board.events.first_events("beat", 4);
    let then = Instant::now();
    server.process.signal(Signal::TERM);
    let bye = board.events.event("bye");
    assert_eq!(bye.count("code"), 1, "it drains: {bye:?}");
    board.keeps_time(&welcomed, then, &bye);
    let offline = server.event("offline");
    // Whether the server had read its latest ones when it was told to stop is not known.
    assert!(offline.count("beats") >= 2, "{offline:?}");
    assert!(board.events.events_so_far("verdict").is_empty());
    assert!(server.events.events_so_far("verdict").is_empty());
}

fn a_frozen_board() {
    let server = Server::start_plain(&["--interval", "1s", "--timeout", "3s"]);
    let board = Board::start(server.addr);
    server.event("online");
    board.events.event("beat");
    board.process.freeze();
    server.event("verdict").expect_silence_of(3000.0);
    board.process.thaw();
    server.events.first_events("online", 2);
}

fn a_board_after_a_pause() {
    let args = ["--interval", "1s", "--timeout", "60s", "--commands"];
    let mut server = Server::start_with_input(&args, Stdio::piped());
    let board = Board::start(server.addr);
    server.event("online");
    board.events.event("beat");
    board.process.freeze();
    // More than its memory holds at once; it comes with the server's beats when the board goes on.
    for letter in ["a", "b", "c", "d"] {
        server.type_in(&format!("/send board {}\n", letter.repeat(500)));
    }
    // Longer than its timeout.
    thread::sleep(ms(6000));
    let before = board.events.events_so_far("beat").len();
    board.process.thaw();
    board.events.event_where("data", |event| event["text"] == "d".repeat(500));
    assert_eq!(board.events.events_so_far("data").len(), 4);
    board.events.first_events("beat", before + 4);
    assert!(board.events.events_so_far("verdict").is_empty(), "{:#?}", board.events.so_far());
    assert_eq!(server.events.events_so_far("online").len(), 1);
}

fn a_frozen_server() {
    let server = Server::start_plain(&["--interval", "1s", "--timeout", "30s"]);
    let board = Board::start(server.addr);
    board.events.event("beat");
    server.process.freeze();
    let verdict = board.events.event("verdict");
    let [silence, paused] = ["silence_ms", "paused_ms"].map(|field| verdict.number(field));
    assert_eq!(verdict.number("earliest_ms"), TIMEOUT_MS, "{verdict:?}");
    assert!(silence - paused >= TIMEOUT_MS, "{verdict:?}");
    assert!(silence - paused <= verdict.number("latest_ms"), "{verdict:?}");
    server.process.thaw();
    board.events.first_events("online", 2);
}

fn a_server_that_restarts() {
    let server = Server::start_plain(&["--interval", "1s", "--drain", "1s"]);
    let addr = server.addr;
    let board = Board::start(addr);
    board.events.event("online");
    server.stop();
    board.events.event("bye");
    let _again = Server::start_plain_on(&addr.to_string(), &["--interval", "1s"]);
    board.events.first_events("online", 2);
}
