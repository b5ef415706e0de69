//! A program in a process of its own.

use core::net::SocketAddr;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::process::{Command, Stdio};

use heartwire_testkit::{PATIENCE, Process, ms, skip};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

#[derive(Debug)]
pub(super) struct Peer {
    name: String,
    process: Process,
}

impl Peer {
    /// Starts a program, or says that it is not there.
    pub(super) fn start(command: &mut Command) -> Option<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        match quiet.spawn() {
            Ok(child) => Some(Self { name, process: Process(child) }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skip(&format!("{name} is not installed"));
                None
            }
            Err(error) => panic!("cannot start {name}: {error}"),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first line that it prints. `None`: it ended first.
    pub(super) fn first_line(&mut self) -> Option<String> {
        let stdout = self.process.0.stdout.take().expect("it is piped");
        BufReader::new(stdout).lines().next().map(Result::unwrap)
    }

    /// Connects, once it listens.
    pub(super) async fn connect(&mut self, address: SocketAddr) -> TcpStream {
        let start = Instant::now();
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => return stream,
                Err(error) => {
                    assert!(start.elapsed() < PATIENCE, "{} does not listen: {error}", self.name);
                    let ended = self.process.0.try_wait().unwrap();
                    assert!(ended.is_none(), "{} ended: {ended:?}", self.name);
                }
            }
            sleep(ms(20)).await;
        }
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) {
        while self.process.0.try_wait().unwrap().is_none() {
            sleep(ms(20)).await;
        }
    }

    pub(super) fn freeze(&self) {
        self.process.freeze();
    }
}
