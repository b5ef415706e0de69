//! The client on lwIP's raw API (`examples/lwip.c`) and real servers: lwIP itself, as in Debian's
//! package, on a tap device in a network namespace. On the other side of the device is the kernel's
//! network, with the server in it.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;

use heartwire_testkit::{Lines, Peer, Process, c_sources, cc_has, ms, skip};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use super::{Dead, compile, expect_count};
use crate::program::Server;

/// The addresses on both sides of the tap device.
const SERVER: &str = "10.73.0.1";
const DEVICE: &str = "10.73.0.2";
/// Where a server listens, on a port that the system chooses.
const LISTEN: &str = "10.73.0.1:0";

/// A network namespace with a tap device.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        // Not with an assertion, because the test may be failing already.
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
    }
}

impl Namespace {
    /// `None` where none can be made.
    fn make() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hw-lwip-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            return None;
        }
        let this = Self(name);
        let tap = ["tuntap", "add", "dev", "tap0", "mode", "tap"];
        if !this.ip(&tap) {
            return None;
        }
        assert!(this.ip(&["address", "add", &format!("{SERVER}/24"), "dev", "tap0"]));
        this.set_link("up");
        Some(this)
    }

    fn ip(&self, args: &[&str]) -> bool {
        let done = Command::new("ip").args(["-n", &self.0]).args(args).output();
        done.is_ok_and(|done| done.status.success())
    }

    /// Pulls the cable, or puts it back.
    #[track_caller]
    fn set_link(&self, state: &str) {
        assert!(self.ip(&["link", "set", "tap0", state]), "{state}");
    }

    /// A server that the test plays by hand, in here.
    fn listen(&self) -> TcpListener {
        let space = File::open(format!("/run/netns/{}", self.0)).unwrap();
        let listen = move || {
            // A socket stays in the namespace of the thread that made it.
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind((SERVER, 0)).unwrap()
        };
        thread::spawn(listen).join().unwrap()
    }

    /// The device, with these settings.
    fn start(&self, program: &Path, server: SocketAddr, settings: [(&str, &str); 4]) -> Device {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program).envs(settings);
        command.env("TAP", "tap0").env("SERVER", SERVER).env("DEVICE", DEVICE);
        command.env("HOST", SERVER);
        command.env("PORT", server.port().to_string()).stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let printed = Lines::of(process.0.stdout.take().unwrap());
        Device { process, printed }
    }
}

/// The program on lwIP.
struct Device {
    process: Process,
    printed: Lines,
}

/// Compiles the example on lwIP.
fn device() -> Option<(TempDir, PathBuf, Namespace)> {
    build("examples/lwip.c", &["tests/lwip/board.c"], &[])
}

/// Compiles an example with lwIP; `None`, having said so, where lwIP or a right is missing.
fn build(
    example: &str,
    sources: &[&str],
    options: &[&str],
) -> Option<(TempDir, PathBuf, Namespace)> {
    const LWIP: [&str; 5] = [
        "-isystem",
        "/usr/include/lwip",
        "-Wl,--no-as-needed",
        "-llwip",
        "-D_POSIX_C_SOURCE=200809L",
    ];
    let why = if !cc_has(&LWIP) || !Path::new("/usr/include/lwip/lwip/tcp.h").exists() {
        "lwIP is not installed (Debian: liblwip-dev)"
    } else if !Path::new("/dev/net/tun").exists() {
        "there are no tap devices here"
    } else if let Some(namespace) = Namespace::make() {
        let directory = tempfile::tempdir().unwrap();
        let sources = [sources, &["tests/lwip/tap.c"]].concat();
        let options = [&LWIP[..], options].concat();
        let program = directory.path().join("device");
        let program = compile(example, &sources, &options, &program).unwrap();
        return Some((directory, program, namespace));
    } else {
        "no network namespace with a tap device can be made (ip and root's rights)"
    };
    skip(why);
    None
}

const BEATS: [&str; 6] = ["--interval", "200ms", "--timeout", "2s", "--min-interval", "100ms"];

/// Of the client: its clock starts anew in the third second.
const V1: [(&str, &str); 4] =
    [("PROTOCOL", "v1"), ("INTERVAL", "200"), ("TIMEOUT", "3000"), ("KEEPALIVE", "0")];

#[test]
fn lwip_client_is_served_and_finds_each_fault() {
    let Some((_directory, program, namespace)) = device() else { return };
    let args = [&BEATS[..], &["--protocol", "v1", "--on-data", "echo", "--commands"]].concat();
    let mut server = Server::start_in(&namespace.0, LISTEN, &args);
    let device = namespace.start(&program, server.addr, V1);

    assert_eq!(server.event("online").text("name"), "lwip");
    device.printed.line("welcome");
    device.printed.line("data hello");
    server.type_in("/all good morning\n");
    device.printed.line("data good morning");
    // Longer than both timeouts, and over the end of the clock's 32 bits.
    thread::sleep(ms(6_500));
    assert_eq!(server.events.events_so_far("offline").len(), 0);
    assert_eq!(device.printed.so_far().len(), 3, "{:?}", device.printed.so_far());

    server.process.freeze();
    expect_count(&device.printed, "dead", 1);
    Dead::nth(&device.printed, 0).expect_bound();
    server.process.thaw();
    expect_count(&device.printed, "welcome", 2);
    server.events.first_events("online", 2);

    device.process.freeze();
    let offline = server.events.first_events("offline", 2);
    offline[1].expect_silence_of(2_000.0);
    device.process.thaw();
    // It finds a connection that the server has closed, and no dead server: it was paused itself.
    expect_count(&device.printed, "welcome", 3);
    expect_count(&device.printed, "dead", 1);

    namespace.set_link("down");
    server.events.first_events("offline", 3)[2].expect_silence_of(2_000.0);
    expect_count(&device.printed, "dead", 2);
    Dead::nth(&device.printed, 1).expect_bound();
    namespace.set_link("up");
    expect_count(&device.printed, "welcome", 4);
}

#[test]
fn lwip_client_of_v0_finds_a_frozen_server_and_is_found() {
    let Some((_directory, program, namespace)) = device() else { return };
    let args = [&BEATS[..4], &["--protocol", "v0", "--on-data", "echo"]].concat();
    let server = Server::start_in(&namespace.0, LISTEN, &args);
    let device = namespace.start(&program, server.addr, with("PROTOCOL", "v0"));
    device.printed.line("data hello");
    server.process.freeze();
    expect_count(&device.printed, "dead", 1);
    Dead::nth(&device.printed, 0).expect_bound();
    server.process.thaw();
    expect_count(&device.printed, "data hello", 2);
    device.process.freeze();
    server.events.first_events("offline", 2)[1].expect_silence_of(2_000.0);
}

#[test]
fn lwip_client_that_is_busy_keeps_its_server_waiting_and_loses_nothing() {
    let Some((_directory, program, namespace)) = device() else { return };
    let args = [&BEATS[..], &["--protocol", "v1", "--commands"]].concat();
    let mut server = Server::start_in(&namespace.0, LISTEN, &args);
    let device = namespace.start(&program, server.addr, V1);
    device.printed.line("welcome");
    device.process.signal(Signal::USR1);
    // More than lwIP's window and its own buffer take.
    let text = "x".repeat(400);
    for number in 0..400 {
        server.type_in(&format!("/all {number} {text}\n"));
    }
    // Longer than both timeouts.
    thread::sleep(ms(6_500));
    assert_eq!(device.printed.so_far().len(), 1, "it is busy");
    device.process.signal(Signal::USR2);
    expect_count(&device.printed, "data", 400);
    let lines = device.printed.so_far();
    for (number, line) in lines[1..].iter().enumerate() {
        assert_eq!(line.text, format!("data {number} {text}"));
    }
    assert_eq!(server.events.events_so_far("offline").len(), 0);
}

#[test]
fn lwip_client_with_the_tutorials_kernel_keepalive_finds_a_cut() {
    let Some((_directory, program, namespace)) = device() else { return };
    let listener = namespace.listen();
    let mut settings = with("PROTOCOL", "raw");
    (settings[1].1, settings[2].1, settings[3].1) = ("0", "0", "3000");
    let device = namespace.start(&program, listener.local_addr().unwrap(), settings);
    let mut peer = Peer::of(listener.accept().unwrap().0);
    peer.send(b"abc");
    assert_eq!(peer.read(3), b"ABC");
    expect_many_upper(&mut peer);
    // Longer than it takes to find a dead machine.
    thread::sleep(ms(6_500));
    assert!(device.printed.so_far().is_empty());

    namespace.set_link("down");
    device.printed.line("closed");
    namespace.set_link("up");
    let mut peer = Peer::of(listener.accept().unwrap().0);
    peer.send(b"again");
    assert_eq!(peer.read(5), b"AGAIN");
}

/// Checks that all of a long text comes back, though this end does not read it at first.
#[track_caller]
fn expect_many_upper(peer: &mut Peer) {
    let text = "long text, ".repeat(60_000);
    let (mut typist, sent) = (Peer::of(peer.stream.try_clone().unwrap()), text.clone());
    let typist = thread::spawn(move || typist.send(sent.as_bytes()));
    // It fills the buffers of both ends meanwhile, unless this machine is busy.
    thread::sleep(ms(500));
    assert!(peer.read(text.len()) == text.to_uppercase().as_bytes());
    typist.join().unwrap();
}

/// Compiles the FreeRTOS task on lwIP's sockets.
fn task() -> Option<(TempDir, PathBuf, Namespace)> {
    let sources = [
        "tests/lwip/net_lwip.c",
        "tests/lwip/sockets.c",
        "tests/freertos/main.c",
        "tests/freertos/posix/kernel.c",
    ];
    let include = format!("-I{}", c_sources().join("tests/freertos/posix").display());
    build("examples/freertos.c", &sources, &[&include])
}

#[test]
fn lwip_sockets_carry_the_freertos_task() {
    let Some((_directory, program, namespace)) = task() else { return };
    let args = [&BEATS[..], &["--protocol", "v1", "--on-data", "echo"]].concat();
    let server = Server::start_in(&namespace.0, LISTEN, &args);
    let device = namespace.start(&program, server.addr, V1);
    for line in ["welcome", "data press 1", "data press 2", "data press 3"] {
        device.printed.line(line);
    }
    server.process.freeze();
    expect_count(&device.printed, "dead", 1);
    Dead::nth(&device.printed, 0).expect_bound();
    server.process.thaw();
    server.events.first_events("online", 2);
    namespace.set_link("down");
    server.events.first_events("offline", 2)[1].expect_silence_of(2_000.0);
    expect_count(&device.printed, "dead", 2);
    namespace.set_link("up");
    server.events.first_events("online", 3);
}

#[test]
fn lwip_sockets_hold_back_a_freertos_task_whose_server_does_not_read() {
    let Some((_directory, program, namespace)) = task() else { return };
    let listener = namespace.listen();
    let mut settings = with("PROTOCOL", "raw");
    (settings[1].1, settings[2].1) = ("0", "0");
    let device = namespace.start(&program, listener.local_addr().unwrap(), settings);
    expect_many_upper(&mut Peer::of(listener.accept().unwrap().0));
    device.printed.line("closed");
}

/// The settings of [`V1`] with another one.
fn with(name: &str, value: &'static str) -> [(&'static str, &'static str); 4] {
    V1.map(|(setting, usual)| (setting, if setting == name { value } else { usual }))
}
