//! The examples of the C library with the real server. They run under AddressSanitizer and
//! UndefinedBehaviorSanitizer where the compiler has them.

use core::net::SocketAddr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use heartwire::v1::{Bye, ByeCode, Offer, RetryHint, Terms};
use heartwire_testkit::{
    BEAT, Got, LineEvent as Event, Lines, Listener, PAD, Peer, Process, Proxy, SANITIZERS,
    c_sources, cc_has, compile_c, data, lasting_address, ms, policy, skip, wait_until,
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

#[test]
fn c_client_loses_nothing_of_what_it_is_sent_over_connections_that_are_cut() {
    if posix().is_none() {
        return;
    }
    let mut server =
        Server::start_with_input(&[&SERVER[..], &["--commands"]].concat(), Stdio::piped());
    let proxy = Proxy::plain(server.addr);
    let args = [&CLIENT[..], &["-n", "bob", "-g", "60000"]].concat();
    let client = Client::start(proxy.addr, &args);
    assert_eq!(server.event("online")["grace_ms"], 60_000.0);
    // Before its first heartbeat no session is kept.
    let came = proxy.came();
    wait_until("it beats", || proxy.came() > came + 100);

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

/// `examples/upper.c`, as `reference` plays it with our own client: keepalive, no headers, and it
/// starts over after each end.
#[test]
fn c_client_of_the_tutorials_kernel_variant_sends_back_capitals() {
    let options = if sanitizes() { &SANITIZERS[..] } else { &[] };
    let source = c_sources().join("examples/upper.c");
    let Some(program) = compile_c(&source, options, &built("upper")) else {
        return skip("cc is not installed");
    };
    let listener = Listener::new();
    let (client, _output) = Client::start_unread(&mut Command::new(program), listener.addr(), &[]);
    let sent = "straße 39002, BEAT\n".as_bytes();
    for _ in 0..3 {
        let mut server = listener.accept();
        server.send(sent);
        assert_eq!(server.read(sent.len()), sent.to_ascii_uppercase(), "ASCII letters only");
        #[cfg(target_os = "linux")]
        {
            let port = server.stream.peer_addr().unwrap().port();
            wait_until("the first probe is due in 6 s", || {
                keepalive_ms(port).is_some_and(|ms| (1..=6_000).contains(&ms))
            });
        }
    }
    client.events.line("keepalive after 6 s, every 1 s, 6 times; user timeout 12000 ms");
}

/// When the kernel sends a probe on the connection from this port of the IPv4 loopback; `None` if
/// its timer is another.
#[cfg(target_os = "linux")]
fn keepalive_ms(port: u16) -> Option<u64> {
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let from = format!("0100007F:{port:04X}");
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let socket = sockets.lines().map(fields).find(|fields| fields[1] == from)?;
    // Timer 2 is keepalive; in hundredths of a second.
    let due = socket[5].strip_prefix("02:")?;
    Some(u64::from_str_radix(due, 16).unwrap() * 10)
}

/// `examples/hello.cc`.
#[test]
fn cpp_client_talks_and_finds_a_server_that_hangs() {
    let options = if sanitizes() { &SANITIZERS[..] } else { &[] };
    let source = c_sources().join("examples/hello.cc");
    let Some(program) = compile_c(&source, options, &built("hello")) else {
        return skip("c++ is not installed");
    };
    let server = Server::start_plain(&[&SERVER[..], &["--on-data", "upper"]].concat());
    let mut command = Command::new(program);
    command.args([server.addr.ip().to_string(), server.addr.port().to_string()]);
    let mut client = Process::spawn(command.arg("pump-7").stdout(Stdio::piped()));
    let output = Lines::of(client.0.stdout.take().unwrap());
    let first: Vec<_> = output.first(2).into_iter().map(|line| line.text).collect();
    assert_eq!(first, ["online, and the server is dead after 3000 ms", "HELLO"]);
    assert_eq!(server.event("online")["name"], "pump-7");
    server.process.freeze();
    let verdict = output.line("dead: silent for ").text;
    let silence = verdict.split(' ').nth(3).unwrap().parse::<u32>().unwrap();
    assert!(silence >= 3_000, "{verdict}");
    assert_eq!(client.exit_code(), Some(5));
    server.process.thaw();
}

/// Memory that is not initialised, which sanitizers do not see.
#[test]
fn c_client_is_clean_under_valgrind() {
    let source = c_sources().join("examples/posix.c");
    let Some(program) = compile_c(&source, &[], &built("posix-plain")) else {
        return skip("cc is not installed");
    };
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|it| it.status.success()) {
        return skip("valgrind is not installed");
    }
    let mut server = Server::start_with_input(&["--commands", "--on-data", "echo"], Stdio::piped());
    for args in [&["-n", "pump-7", "-g", "60000"][..], &["-n", "pump-8"], &["-0"]] {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]).arg(&program);
        let (mut client, output) = Client::start_unread(&mut valgrind, server.addr, args);
        client.event("online");
        // The first client only receives.
        client.type_in("one\n");
        let output = Lines::of(output);
        if args.contains(&"-g") {
            server.type_in("/all two\n");
            output.line("two");
        } else {
            output.line("one");
        }
        client.stop();
    }
}

/// What makes the other tests here check more than they say.
#[test]
fn c_programs_are_stopped_at_their_first_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("mistake.c");
    fs::write(&source, MISTAKES).unwrap();
    let program = directory.path().join("mistake");
    if !sanitizes() {
        return skip("cc has no sanitizers");
    }
    let program = compile_c(&source, &SANITIZERS, &program).unwrap();
    for (mistake, report) in
        [("rx", "heap-buffer-overflow"), ("sum", "signed integer overflow"), ("leak", "leaked")]
    {
        let output = Command::new(&program).arg(mistake).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(report), "{mistake}: {said}");
    }
    assert!(Command::new(&program).arg("none").status().unwrap().success());
}

const MISTAKES: &str = r#"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    int sum = INT_MAX;
    char *rx = malloc((size_t)argc * 100);
    if (rx == NULL) return 1;
    memset(rx, 0, (size_t)argc * 100 + (argv[1][0] == 'r'));
    if (argv[1][0] == 's') sum += argc;
    if (argv[1][0] != 'l') free(rx);
    rx = NULL;
    return sum == 0;
}
"#;
