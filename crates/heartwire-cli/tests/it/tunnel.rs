//! `heartwire tunnel` between a program and a service that the test plays.

mod attacks;
mod ends;
mod outages;
mod places;
mod refusals;

use core::net::SocketAddr;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use heartwire_testkit::{LineEvent as Event, Lines, PATIENCE, Process, ms};
use rustix::process::Signal;
use socket2::SockRef;

use crate::program::heartwire;

/// One of the two ends, with its lines.
struct Sidecar {
    process: Process,
    log: Lines,
    /// Where it listens, and what `listening` says.
    listening: Event,
}

impl Sidecar {
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        Self::spawn(heartwire(&["tunnel"]).args(args).args(["--format", "json"]))
    }

    #[track_caller]
    fn spawn(command: &mut Command) -> Self {
        let mut process = Process::spawn(command.stderr(Stdio::piped()));
        let log = Lines::of(process.0.stderr.take().unwrap());
        let listening = log.event("listening");
        Self { process, log, listening }
    }

    fn far(service: &str, args: &[&str]) -> Self {
        let program = ["serve", "--listen", "127.0.0.1:0", "--service", service];
        Self::start(&[&program[..], args].concat())
    }

    fn near(far: SocketAddr, service: &str, args: &[&str]) -> Self {
        let program = ["connect", &far.to_string(), service, "--listen", "127.0.0.1:0"];
        Self::start(&[&program[..], args].concat())
    }

    #[track_caller]
    fn addr(&self) -> SocketAddr {
        self.listening["addresses"][0].as_str().unwrap().parse().unwrap()
    }

    /// The event of that name of a session.
    #[track_caller]
    fn event_of(&self, name: &str, session: u64) -> Event {
        self.log.event_where(name, |event| event["session"] == session)
    }

    /// How a session's connection was closed, as this end says.
    #[track_caller]
    fn how(&self, session: u64) -> String {
        self.event_of("closed", session).text("how").to_owned()
    }

    #[track_caller]
    fn stop(mut self) -> Vec<Event> {
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.exit_code(), Some(0));
        self.log.all_events()
    }

    /// Its open descriptors.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.0.id())).unwrap().count()
    }
}

/// Both ends, and a service for which the test listens.
struct Tunnel {
    far: Sidecar,
    near: Sidecar,
    service: TcpListener,
}

impl Tunnel {
    #[track_caller]
    fn start(args: &[&str]) -> Self {
        let service = listen();
        let named = format!("s={}", service.local_addr().unwrap());
        let far = Sidecar::far(&named, args);
        let near = Sidecar::near(far.addr(), "s", args);
        Self { far, near, service }
    }

    /// A connection of a program, and the service's end of it.
    #[track_caller]
    fn open(&self) -> Opened {
        let program = connect(self.near.addr());
        let service = accept(&self.service);
        let peer = program.local_addr().unwrap().to_string();
        let opened = self.near.log.event_where("opened", |event| event["peer"] == *peer);
        Opened { program, service, session: opened.count("session") }
    }
}

struct Opened {
    program: TcpStream,
    service: TcpStream,
    session: u64,
}

/// With short buffers, so that a window is full soon.
fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_recv_buffer_size(64 * 1024).unwrap();
    SockRef::from(&listener).set_send_buffer_size(64 * 1024).unwrap();
    SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).unwrap();
    listener
}

#[track_caller]
fn accept(listener: &TcpListener) -> TcpStream {
    patient(listener.accept().unwrap().0)
}

#[track_caller]
fn connect(to: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(to).unwrap())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Closes it with a reset.
fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(ms(0))).unwrap();
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Reads to the end, which is a reset. Returns how much came before.
#[track_caller]
fn expect_reset(mut stream: &TcpStream) -> usize {
    let (mut bytes, mut all) = (vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => panic!("a clean end after {all} bytes"),
            Ok(len) => all += len,
            Err(error) => {
                assert!(is_reset(error.kind()), "{error} after {all} bytes");
                return all;
            }
        }
    }
}

/// Reads to the end, which is a clean one.
#[track_caller]
fn expect_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[track_caller]
fn expect_bytes(mut stream: impl Read, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert!(bytes == expected, "other bytes");
}

/// Bytes that repeat nowhere near.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::try_from(state >> 24).unwrap()
    };
    core::iter::repeat_with(next).take(len).collect()
}

/// Writes until nothing more is taken for a while: all windows on the way are full.
#[track_caller]
fn fill(mut stream: &TcpStream) -> usize {
    stream.set_write_timeout(Some(ms(500))).unwrap();
    let (chunk, mut all) = (pattern(64 * 1024), 0);
    let begun = Instant::now();
    loop {
        match stream.write(&chunk) {
            Ok(len) => all += len,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                return all;
            }
            Err(error) => panic!("{error}"),
        }
        // upper bound: something reads, without end.
        assert!(begun.elapsed() < PATIENCE, "{all} bytes and more");
    }
}

/// Writes all of it meanwhile, as far as it is taken.
fn write_meanwhile(stream: &TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<std::io::Result<()>> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || stream.write_all(&bytes))
}
