//! The program under test, as a process that does not outlive its test.

use core::net::SocketAddr;
use std::env;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Output, Stdio};

use heartwire_testkit::{LineEvent as Event, Lines, Process};
use rustix::process::Signal;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_heartwire");

/// The program with some arguments, and nothing of this environment that it would heed.
pub(crate) fn heartwire(args: &[&str]) -> Command {
    isolated(Command::new(PROGRAM), args)
}

/// Most tests are about any client, or about the tutorial's protocol: they use v0 unless they say
/// otherwise.
fn v0_unless<'a>(args: &[&str], flag: &'a str) -> Vec<&'a str> {
    let says_so = args.iter().any(|arg| [flag, "--raw", "--tokens"].contains(arg));
    if says_so { Vec::new() } else { vec![flag, "v0"] }
}

fn isolated(mut command: Command, args: &[&str]) -> Command {
    let settings = env::vars_os().map(|(name, _)| name);
    for name in settings.filter(|name| name.as_encoded_bytes().starts_with(b"HEARTWIRE_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).env_remove("COLUMNS");
    command
}

/// Runs the program to its end.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Output {
    heartwire(args).output().unwrap()
}

/// `heartwire serve --format json`.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) addr: SocketAddr,
    pub(crate) events: Lines,
    /// Standard error.
    pub(crate) log: Lines,
    stdin: Option<ChildStdin>,
}

impl Server {
    /// On a port that the system chooses.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on("127.0.0.1:0", args)
    }

    #[track_caller]
    pub(crate) fn start_on(addr: &str, args: &[&str]) -> Self {
        let protocol = v0_unless(args, "--protocol");
        let program = ["serve", "--listen", addr, "--format", "json"];
        Self::spawn(heartwire(&program).args(protocol).args(args))
    }

    /// On whatever wire it takes by default.
    #[track_caller]
    pub(crate) fn start_plain(args: &[&str]) -> Self {
        Self::start_plain_on("127.0.0.1:0", args)
    }

    #[track_caller]
    pub(crate) fn start_plain_on(addr: &str, args: &[&str]) -> Self {
        let program = ["serve", "--listen", addr, "--format", "json"];
        Self::spawn(heartwire(&program).args(args))
    }

    /// On a machine that trusts only the CAs in this file.
    #[track_caller]
    pub(crate) fn start_trusting(roots: &Path, args: &[&str]) -> Self {
        let program = ["serve", "--listen", "127.0.0.1:0", "--format", "json"];
        Self::spawn(heartwire(&program).args(args).env("SSL_CERT_FILE", roots))
    }

    /// With a standard input; into one that is piped, text can be [typed](Self::type_in).
    #[track_caller]
    pub(crate) fn start_with_input(args: &[&str], input: Stdio) -> Self {
        let program = ["serve", "--listen", "127.0.0.1:0", "--format", "json"];
        Self::spawn(heartwire(&program).args(args).stdin(input))
    }

    /// In the network namespace of this name, with a standard input.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn start_in(namespace: &str, addr: &str, args: &[&str]) -> Self {
        let ip = ["netns", "exec", namespace, PROGRAM];
        let program = ["serve", "--listen", addr, "--format", "json"];
        let mut command = isolated(Command::new("ip"), &ip);
        Self::spawn(command.args(program).args(args).stdin(Stdio::piped()))
    }

    /// With so many open files.
    #[track_caller]
    pub(crate) fn start_with_files(addr: &str, files: u32, args: &[&str]) -> Self {
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        let shell = ["-c", &script, PROGRAM, "serve", "--listen", addr, "--format", "json"];
        let protocol = v0_unless(args, "--protocol");
        Self::spawn(isolated(Command::new("sh"), &shell).args(protocol).args(args))
    }

    #[track_caller]
    fn spawn(command: &mut Command) -> Self {
        let mut process = Process::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let events = Lines::of(process.0.stdout.take().unwrap());
        let log = Lines::of(process.0.stderr.take().unwrap());
        let addr = address(&events.event("listening"));
        Self { stdin: process.0.stdin.take(), process, addr, events, log }
    }

    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Event {
        self.events.event(name)
    }

    /// The first event of that name about the client at `peer`.
    #[track_caller]
    pub(crate) fn event_of(&self, name: &str, peer: SocketAddr) -> Event {
        let peer = peer.to_string();
        self.events.event_where(name, |event| event["peer"] == *peer)
    }

    #[track_caller]
    pub(crate) fn type_in(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Stops it as an operator would; returns all of its events.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<Event> {
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.exit_code(), Some(0));
        self.events.all_events()
    }
}

/// The first address that a server says it listens on.
#[track_caller]
pub(crate) fn address(listening: &Event) -> SocketAddr {
    listening["addresses"][0].as_str().unwrap().parse().unwrap()
}

/// `heartwire connect --format json`.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) process: Process,
    stdin: Option<ChildStdin>,
    pub(crate) output: Lines,
    /// From standard error.
    pub(crate) events: Lines,
}

impl Client {
    #[track_caller]
    pub(crate) fn start(target: SocketAddr, args: &[&str]) -> Self {
        Self::start_at(&target.to_string(), args)
    }

    #[track_caller]
    pub(crate) fn start_at(target: &str, args: &[&str]) -> Self {
        Self::spawn(
            target,
            &[v0_unless(args, "--protocol"), args.to_vec()].concat(),
            Stdio::piped(),
        )
    }

    /// With an input that was typed and ended before. A client that may leave at once does not wait
    /// until it is typed to.
    #[track_caller]
    pub(crate) fn start_with_input(target: impl ToString, args: &[&str], text: &str) -> Self {
        let (input, mut typist) = std::io::pipe().unwrap();
        typist.write_all(text.as_bytes()).unwrap();
        drop(typist);
        let args = [v0_unless(args, "--protocol"), args.to_vec()].concat();
        Self::spawn(&target.to_string(), &args, input.into())
    }

    /// With the protocol that it speaks by default.
    #[track_caller]
    pub(crate) fn start_plain(target: SocketAddr, args: &[&str]) -> Self {
        Self::spawn(&target.to_string(), args, Stdio::piped())
    }

    #[track_caller]
    fn spawn(target: &str, args: &[&str], input: Stdio) -> Self {
        let mut command = heartwire(&["connect", "--format", "json", target]);
        command.args(args).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let output = Lines::of(process.0.stdout.take().unwrap());
        let events = Lines::of(process.0.stderr.take().unwrap());
        Self { stdin: process.0.stdin.take(), process, output, events }
    }

    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Event {
        self.events.event(name)
    }

    #[track_caller]
    pub(crate) fn type_in(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Stops it as a user would; returns all of its events.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Vec<Event> {
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.exit_code(), Some(0));
        self.events.all_events()
    }
}
