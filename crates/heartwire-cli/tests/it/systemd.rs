//! Under a service manager, which the test plays: what it is told, and the sockets that it passes.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram};
use std::process::{Command, Stdio};

use heartwire_testkit::{BEAT, Lines, PATIENCE, Peer, Process, lasting_address, skip};
use rustix::process::Signal;

use crate::program::{PROGRAM, heartwire};

/// The socket that a service tells things.
struct Manager {
    socket: UnixDatagram,
    name: String,
    _directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::of(socket, path.to_str().unwrap().to_owned(), directory)
    }

    fn abstract_one() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().to_str().unwrap();
        let address = net::SocketAddr::from_abstract_name(name).unwrap();
        Self::of(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"), directory)
    }

    fn of(socket: UnixDatagram, name: String, directory: tempfile::TempDir) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, name, _directory: directory }
    }

    /// The lines of the next message.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).unwrap();
        str::from_utf8(&bytes[..len]).unwrap().lines().map(str::to_owned).collect()
    }

    /// The next message that is not a status alone.
    #[track_caller]
    fn next_state(&self) -> Vec<String> {
        loop {
            let lines = self.next();
            if lines.iter().any(|line| !line.starts_with("STATUS=")) {
                return lines;
            }
        }
    }
}

fn under(manager: &Manager, args: &[&str]) -> Command {
    let mut command = heartwire(args);
    command.env("NOTIFY_SOCKET", &manager.name);
    command
}

/// Starts a program with these sockets as descriptors 3 and 4, as a service manager does.
fn with_sockets(sockets: [&TcpListener; 2], names: Option<&str>, args: &[&str]) -> Command {
    let [first, second] = sockets.map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
    let script = "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 4<&2 0</dev/null 2>/dev/null";
    let mut command = Command::new("sh");
    command.args(["-c", script, PROGRAM]).args(args);
    command.stdin(Stdio::from(first)).stderr(Stdio::from(second)).stdout(Stdio::piped());
    command.env("LISTEN_FDS", "2");
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    command
}

fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

const SERVE: [&str; 5] = ["serve", "--protocol", "v0", "--on-data", "echo"];

#[track_caller]
fn expect_served(addr: SocketAddr) {
    let mut peer = Peer::connect(addr);
    peer.send(&BEAT);
    peer.expect_echo(b"served");
}

#[test]
fn ready_is_told_once_clients_are_served_and_stopping_before_anything_else_of_a_drain() {
    for manager in [Manager::new(), Manager::abstract_one()] {
        let addr = lasting_address();
        let listen = ["--listen", &addr.to_string(), "--drain", "3m"];
        let mut process =
            Process::spawn(under(&manager, &[&SERVE[..], &listen].concat()).stdout(Stdio::null()));
        assert_eq!(manager.next_state(), ["READY=1"]);
        // At once, and without the line that says so.
        let mut peer = Peer::of(TcpStream::connect(addr).unwrap());
        peer.send(&BEAT);
        peer.expect_echo(b"hello");

        process.signal(Signal::TERM);
        // 180 s and what closing may take: longer than systemd waits by itself.
        assert_eq!(manager.next_state(), ["STOPPING=1", "EXTEND_TIMEOUT_USEC=181000000"]);
        peer.read_to_end();
        drop(peer);
        assert_eq!(process.exit_code(), Some(0));
    }
}

#[test]
fn status_is_the_number_of_sessions() {
    let manager = Manager::new();
    let addr = lasting_address();
    let listen = ["--listen", &addr.to_string()];
    let args = [&SERVE[..], &listen].concat();
    let _process = Process::spawn(under(&manager, &args).stdout(Stdio::null()));
    assert_eq!(manager.next_state(), ["READY=1"]);
    assert_eq!(manager.next(), ["STATUS=0 sessions"]);
    let _peer = Peer::connect(addr);
    assert_eq!(manager.next(), ["STATUS=1 session"]);
}

#[test]
fn reload_is_told_with_its_time_and_its_end() {
    let manager = Manager::new();
    let args = [&SERVE[..], &["--listen", "127.0.0.1:0"]].concat();
    let process = Process::spawn(under(&manager, &args).stdout(Stdio::null()));
    assert_eq!(manager.next_state(), ["READY=1"]);
    process.signal(Signal::HUP);
    let told = manager.next_state();
    assert_eq!(told[0], "RELOADING=1");
    let time = told[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0, "{time}");
    assert_eq!(manager.next_state(), ["READY=1"]);
}

#[test]
fn watchdog_is_fed_in_the_time_that_the_manager_asks_for() {
    let manager = Manager::new();
    let args = [&SERVE[..], &["--listen", "127.0.0.1:0"]].concat();
    let mut command = under(&manager, &args);
    let _fed = Process::spawn(command.env("WATCHDOG_USEC", "100000").stdout(Stdio::null()));
    assert_eq!(manager.next_state(), ["READY=1"]);
    for _ in 0..3 {
        assert_eq!(manager.next_state(), ["WATCHDOG=1"]);
    }
}

#[test]
fn passed_sockets_are_served_instead_of_an_address() {
    for names in [None, Some("heartwire:heartwire.socket")] {
        let ((first, a), (second, b)) = (socket(), socket());
        let args = [&SERVE[..], &["--format", "json"]].concat();
        let mut process = Process::spawn(&mut with_sockets([&first, &second], names, &args));
        let events = Lines::of(process.0.stdout.take().unwrap());
        let listening = events.event("listening");
        let both = [a.to_string(), b.to_string()];
        assert_eq!(listening["addresses"].as_array().unwrap(), &both);
        assert_eq!(listening["passed"], listening["addresses"]);
        expect_served(a);
        expect_served(b);
        process.signal(Signal::TERM);
        assert_eq!(process.exit_code(), Some(0));
    }
}

#[test]
fn passed_socket_for_http_is_one() {
    let ((sessions, a), (http, b)) = (socket(), socket());
    let args = [&SERVE[..], &["--format", "json"]].concat();
    let names = Some("heartwire:http");
    let mut process = Process::spawn(&mut with_sockets([&sessions, &http], names, &args));
    let listening = Lines::of(process.0.stdout.take().unwrap()).event("listening");
    assert_eq!(listening["addresses"].as_array().unwrap(), &[a.to_string()]);
    assert_eq!(listening["http"], format!("http://{b}"));
    expect_served(a);
    let mut client = TcpStream::connect(b).unwrap();
    let request = format!("GET /livez HTTP/1.1\r\nHost: {b}\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let args = [&SERVE[..], &["--http", "127.0.0.1:0"]].concat();
    let mut command = with_sockets([&sessions, &http], names, &args);
    assert_eq!(Process::spawn(&mut command).exit_code(), Some(2), "which of the two?");
}

#[test]
fn restart_with_a_passed_socket_refuses_no_client() {
    let ((first, addr), (second, _)) = (socket(), socket());
    for _ in 0..2 {
        // Nothing accepts yet.
        let mut early = Peer::connect(addr);
        early.send(&BEAT);
        let mut process = Process::spawn(&mut with_sockets([&first, &second], None, &SERVE));
        early.expect_echo(b"early");
        process.signal(Signal::TERM);
        early.read_to_end();
        drop(early);
        assert_eq!(process.exit_code(), Some(0));
    }
}

#[test]
fn passed_socket_with_a_name_of_another_use_is_refused() {
    let ((first, _), (second, _)) = (socket(), socket());
    let mut command = with_sockets([&first, &second], Some("heartwire:smtp"), &SERVE);
    let mut process = Process::spawn(&mut command);
    assert_eq!(process.exit_code(), Some(2));
}

#[test]
fn systemd_can_activate_a_server() {
    let addr = lasting_address();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", &addr.to_string(), PROGRAM]).args(SERVE);
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    let Ok(child) = command.spawn() else {
        return skip("systemd-socket-activate is not installed");
    };
    let _process = Process(child);
    heartwire_testkit::wait_until("it listens", || TcpStream::connect(addr).is_ok());
    expect_served(addr);
}

#[test]
fn tunnel_tells_the_manager_and_takes_its_sockets() {
    let manager = Manager::new();
    let ((first, a), (second, b)) = (socket(), socket());
    let args = ["tunnel", "serve", "--service", "x=127.0.0.1:9", "--drain", "1s"];
    let mut command = with_sockets([&first, &second], None, &args);
    let mut process = Process::spawn(command.env("NOTIFY_SOCKET", &manager.name));
    assert_eq!(manager.next_state(), ["READY=1"]);
    for addr in [a, b] {
        drop(TcpStream::connect(addr).unwrap());
    }
    process.signal(Signal::TERM);
    assert_eq!(manager.next_state(), ["STOPPING=1"]);
    assert_eq!(process.exit_code(), Some(0));
}
