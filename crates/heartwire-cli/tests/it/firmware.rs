//! The examples of the C library. They run under AddressSanitizer and UndefinedBehaviorSanitizer
//! where the compiler has them.

mod played;
mod programs;

use core::net::SocketAddr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use heartwire_testkit::{
    LineEvent as Event, Lines, Process, Proxy, SANITIZERS, c_sources, cc_has, compile_c,
    lasting_address, ms, skip, wait_until,
};
use rustix::process::Signal;
use serde_json::json;

use crate::program::Server;
use crate::side_by_side;
use crate::v1::tokens::{OTHER_TOKEN, TOKEN, file};

/// A client is dead after 2 s.
const SERVER: [&str; 6] = ["--interval", "500ms", "--timeout", "2s", "--min-interval", "100ms"];

/// A server is dead after 3 s.
const CLIENT: [&str; 6] = ["-i", "500", "-t", "3000", "-m", "100"];

/// Where the programs of these tests lie.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Whether the compiler can check each access at run time.
fn sanitizes() -> bool {
    static SANITIZES: OnceLock<bool> = OnceLock::new();
    *SANITIZES.get_or_init(|| cc_has(&SANITIZERS))
}

/// `examples/posix.c`, or `None` after a word.
fn posix() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let options = if sanitizes() { &SANITIZERS[..] } else { &[] };
    let source = c_sources().join("examples/posix.c");
    let program = PROGRAM.get_or_init(|| compile_c(&source, options, &built("posix")));
    if program.is_none() {
        skip("cc is not installed");
    }
    program.as_deref()
}

/// A client in C.
struct Client {
    process: Process,
    stdin: Option<ChildStdin>,
    output: Option<Lines>,
    events: Lines,
}

impl Client {
    #[track_caller]
    fn start(to: SocketAddr, args: &[&str]) -> Self {
        let (mut this, output) = Self::start_unread(&mut Command::new(posix().unwrap()), to, args);
        this.output = Some(Lines::of(output));
        this
    }

    /// With its output in a pipe that nothing reads.
    #[track_caller]
    fn start_unread(program: &mut Command, to: SocketAddr, args: &[&str]) -> (Self, ChildStdout) {
        program.args(args).args([to.ip().to_string(), to.port().to_string()]);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::spawn(program);
        let output = process.0.stdout.take().unwrap();
        let events = Lines::of(process.0.stderr.take().unwrap());
        (Self { stdin: process.0.stdin.take(), process, output: None, events }, output)
    }

    #[track_caller]
    fn printed(&self, count: usize) -> Vec<String> {
        let lines = self.output.as_ref().unwrap().first(count);
        lines.into_iter().map(|line| line.text).collect()
    }

    #[track_caller]
    fn type_in(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn event(&self, name: &str) -> Event {
        self.events.event(name)
    }

    /// Stops it, and returns what it said. A sanitizer's report would have another exit code.
    #[track_caller]
    fn stop(mut self) -> Vec<Event> {
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.exit_code(), Some(0), "{:?}", self.events.all());
        self.events.all_events()
    }
}

#[test]
fn c_client_does_as_the_protocol_says_with_the_real_server() {
    if posix().is_none() {
        return;
    }
    side_by_side(&[
        ("v1", || agree_beat_and_talk(&CLIENT, &[])),
        ("v1, and heartbeats wait in the kernel", || {
            agree_beat_and_talk(&CLIENT, &["--coalesce", "5"]);
        }),
        ("v0", || agree_beat_and_talk(&["-0", "-i", "500", "-t", "3000"], &[])),
        ("it hangs", it_hangs),
        ("its server hangs", its_server_hangs),
        ("its server is away, and drains, and is killed", its_server_is_away),
        ("its session is lost", its_session_is_lost),
        ("it is kicked", it_is_kicked),
        ("its name is taken over", its_name_is_taken_over),
        ("its token is wrong", its_token_is_wrong),
        ("it promises", it_promises),
    ]);
}

/// Long enough for three verdicts, if heartbeats did not come.
fn agree_beat_and_talk(args: &[&str], server_args: &[&str]) {
    let server = Server::start_plain(&[&SERVER[..], &["--on-data", "echo"], server_args].concat());
    let mut client = Client::start(server.addr, args);
    let (here, there) = (client.event("online"), server.event("online"));
    let is_v1 = here["protocol"] == "v1";
    assert_eq!(here["protocol"], there["protocol"]);
    if is_v1 {
        assert_eq!(here["to_server"], json!({ "interval_ms": 500, "timeout_ms": 2000 }));
        assert_eq!(here["to_client"], json!({ "interval_ms": 500, "timeout_ms": 3000 }));
        assert_eq!(there["to_server"], json!({ "interval_ms": 500.0, "timeout_ms": 2000.0 }));
        assert_eq!(there["to_client"], json!({ "interval_ms": 500.0, "timeout_ms": 3000.0 }));
        assert_eq!(here["wake_bytes"], there["wake_bytes"]);
        assert_eq!(here["earliest_ms"], 3000);
    }
    client.type_in("one\n\nDrei ß\n");
    assert_eq!(client.printed(3), ["one", "", "Drei ß"]);
    thread::sleep(ms(6_500));
    let long = "x".repeat(8_000);
    client.type_in(&format!("{long}\n"));
    assert_eq!(client.printed(4)[3], long);

    let events = client.stop();
    let names: Vec<_> = events.iter().map(Event::name).collect();
    assert_eq!(names, ["connecting", "online", "offline", "closed"], "{events:?}");
    assert_eq!(events[2]["reason"], "shutdown");
    let there = server.event("offline");
    assert_eq!(there["reason"], if is_v1 { "bye" } else { "closed_by_peer" });
    for beats in [events[2].count("beats"), there.count("beats")] {
        assert!(beats >= 4, "{events:?} {there:?}");
    }
    assert!(server.events.events_so_far("verdict").is_empty());
}

fn it_hangs() {
    let server = Server::start_plain(&SERVER);
    let client = Client::start(server.addr, &CLIENT);
    client.event("online");
    client.process.freeze();
    server.event("verdict").expect_silence_of(2_000.0);
    // Nothing comes from a server that has ended the session: here, too, for longer than the
    // timeout.
    thread::sleep(ms(3_500));
    client.process.thaw();
    client.events.first_events("online", 2);
    let events = client.stop();
    let reasons: Vec<_> = events
        .iter()
        .filter(|event| event.name() == "offline")
        .map(|end| end.text("reason"))
        .collect();
    assert_eq!(reasons, ["reset", "shutdown"]);
}

fn its_server_hangs() {
    for args in [&CLIENT[..], &["-0", "-i", "500", "-t", "3000"]] {
        let server = Server::start_plain(&SERVER);
        let mut client = Client::start(server.addr, &[args, &["-1"]].concat());
        client.event("online");
        server.event("online");
        server.process.freeze();
        let offline = client.event("offline");
        assert_eq!((&offline["reason"], &offline["cause"]), (&"dead".into(), &"silence".into()));
        // It is up to 100 ms late, and a millisecond is a millisecond old when it is read.
        let [earliest, latest, silence, paused] =
            ["earliest_ms", "latest_ms", "silence_ms", "paused_ms"].map(|name| offline.count(name));
        assert!(earliest == 3_000 && (3_101..3_110).contains(&latest), "{offline:?}");
        assert!((earliest..=latest).contains(&(silence - paused)), "{offline:?}");
        assert_eq!(client.process.exit_code(), Some(5));
        // It has been reset, so that a server that lives after all learns of it.
        server.process.thaw();
        assert_eq!(server.event("offline")["reason"], "reset");
    }
}

fn its_server_is_away() {
    let addr = lasting_address();
    let start =
        || Server::start_plain_on(&addr.to_string(), &[&SERVER[..], &["--drain", "2s"]].concat());
    let client = Client::start(addr, &CLIENT);
    let failed = client.events.first_events("failed", 3);
    assert_eq!(
        (&failed[2]["error"], &failed[2]["retryable"]),
        (&"Connection refused".into(), &true.into())
    );
    let server = start();
    client.event("online");
    server.stop();
    let offline = client.event("offline");
    assert_eq!(offline["reason"], "bye");
    assert_eq!(
        offline["bye"],
        json!({
            "code": "draining", "number": 1, "detail": offline.fields["bye"]["detail"],
            "retry": "within", "earliest_ms": null, "latest_ms": 2000,
        })
    );
    let server = start();
    client.events.first_events("online", 2);
    drop(server);
    client.events.first_events("offline", 2);
    let _server = start();
    client.events.first_events("online", 3);
    client.stop();
}

fn its_session_is_lost() {
    let addr = lasting_address();
    let start = || Server::start_plain_on(&addr.to_string(), &SERVER);
    let server = start();
    let client = Client::start(addr, &[&CLIENT[..], &["-n", "bob", "-g", "60000"]].concat());
    let first = client.event("online");
    assert_eq!((&first["resumed"], &first["lost"]), (&false.into(), &false.into()));
    drop(server);
    client.event("offline");
    let _server = start();
    let second = &client.events.first_events("online", 2)[1];
    assert_eq!((&second["resumed"], &second["lost"]), (&false.into(), &true.into()));
    client.stop();
}

fn it_is_kicked() {
    let mut server = Server::start_with_input(&["--commands"], Stdio::piped());
    let mut client = Client::start(server.addr, &["-n", "bob"]);
    client.event("online");
    server.type_in("/send bob for one\n/kick bob go \u{1b}away\n");
    assert_eq!(client.printed(1), ["for one"]);
    assert_eq!(client.process.exit_code(), Some(4), "it does not come back");
    let bye = client.event("offline")["bye"].clone();
    assert_eq!((&bye["code"], &bye["retry"]), (&"kicked".into(), &"never".into()));
    assert_eq!(bye["detail"], "go \u{1b}away");
}

fn its_name_is_taken_over() {
    let server = Server::start_plain(&[]);
    let mut older = Client::start(server.addr, &["-n", "bob"]);
    let first = older.event("online");
    let newer = Client::start(server.addr, &["-n", "bob"]);
    assert!(newer.event("online").count("epoch") > first.count("epoch"));
    assert_eq!(older.process.exit_code(), Some(4), "it does not come back");
    assert_eq!(older.event("offline")["bye"]["code"], "taken_over");
    newer.stop();
}

fn its_token_is_wrong() {
    let tokens = file("firmware", &format!("pump-7 {TOKEN}\n"));
    let (right, wrong) = (file("firmware-right", TOKEN), file("firmware-wrong", OTHER_TOKEN));
    let server = Server::start_plain(&["--tokens", &tokens]);
    let client = Client::start(server.addr, &["-n", "pump-7", "-f", &right]);
    client.event("online");
    let mut stranger = Client::start(server.addr, &["-n", "pump-7", "-f", &wrong]);
    assert_eq!(stranger.process.exit_code(), Some(4), "it does not come back");
    let failed = stranger.event("failed");
    assert_eq!((&failed["error"], &failed["retryable"]), (&"unauthorized".into(), &false.into()));
    client.stop();
}

fn it_promises() {
    let server = Server::start_plain(&SERVER);
    let client = Client::start(server.addr, &[&CLIENT[..], &["-p", "1500"]].concat());
    let promise = server.event("promise");
    assert_eq!(promise["interval_ms"], 1500.0);
    // Longer than the timeout that was agreed.
    thread::sleep(ms(4_000));
    assert!(server.events.events_so_far("verdict").is_empty());
    client.stop();
}

#[test]
fn c_client_loses_nothing_of_what_it_is_sent_over_connections_that_are_cut() {
    if posix().is_none() {
        return;
    }
    let mut server =
        Server::start_with_input(&[&SERVER[..], &["--commands"]].concat(), Stdio::piped());
    let proxy = Proxy::plain(server.addr);
    let args = [&CLIENT[..], &["-n", "bob", "-g", "60000", "-p", "600"]].concat();
    let client = Client::start(proxy.addr, &args);
    assert_eq!(server.event("online")["grace_ms"], 60_000.0);
    // Before the server has read its first heartbeat no session is kept; of a promise it tells.
    server.event("promise");

    let mut number = 0;
    let mut send = |count| {
        let lines: String =
            (number..number + count).map(|n| format!("/send bob {n:060}\n")).collect();
        number += count;
        lines
    };
    for round in 0..3 {
        server.type_in(&send(20));
        client.printed((round * 60) + 20);
        // The proxy's kernel acknowledges these, and the proxy drops them.
        proxy.silence();
        let came = proxy.came_back();
        server.type_in(&send(20));
        // With their headers. A few heartbeats may be among them.
        wait_until("they are sent", || proxy.came_back() >= came + 20 * 68);
        proxy.hang_up();
        server.events.first_events("away", round + 1);
        server.type_in(&send(20));
        client.printed((round + 1) * 60);
        assert!(server.events.first_events("back", round + 1)[round].count("replayed") >= 10);
    }
    let expected: Vec<_> = (0..180).map(|n| format!("{n:060}")).collect();
    assert_eq!(client.printed(180), expected);
    let events = client.stop();
    let online: Vec<_> = events.iter().filter(|event| event.name() == "online").collect();
    let resumed: Vec<_> = online.iter().map(|event| event["resumed"] == true).collect();
    assert_eq!(resumed, [false, true, true, true]);
    assert!(online.iter().all(|event| event["lost"] == false), "{online:?}");
    assert_eq!(server.event("offline")["reason"], "bye");
}
