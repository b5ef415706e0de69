//! A real Redis of a test's own, on a Unix socket in a folder of its own.

use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{Process, skip, wait_until};

/// A `redis-server`, killed at the end of its test. It writes nothing to a disk, unless a test has
/// it [save](Self::ask) (`SAVE`), and starts with what was saved.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    arguments: Vec<String>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one with these arguments beside its own; `None`, and a word about it, where
    /// redis-server is not installed.
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut command = command(&folder, &arguments);
        let process = match command.spawn() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skip("redis-server is not installed");
                return None;
            }
            child => Process(child.unwrap()),
        };
        let server = Self { process, arguments, folder };
        server.wait();
        Some(server)
    }

    #[track_caller]
    fn wait(&self) {
        wait_until("Redis answers", || {
            UnixStream::connect(self.socket()).is_ok() && self.ask(&["PING"]) == "PONG"
        });
    }

    /// The path of its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Where it is, for the programs under test.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Its process, to be stopped and continued.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.0.wait().unwrap();
        // So that a later start is not taken for this one.
        std::fs::remove_file(self.socket()).unwrap();
    }

    /// Starts it again, after it was [killed](Self::kill).
    #[track_caller]
    pub fn start_again(&mut self) {
        self.process = Process::spawn(&mut command(&self.folder, &self.arguments));
        self.wait();
    }

    /// What redis-cli prints for a command.
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> String {
        let mut command = self.cli();
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Sends many commands, each as redis-cli takes it on a line.
    #[track_caller]
    pub fn type_in(&self, lines: &str) {
        let mut cli = self.cli().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = cli.stdin.take().unwrap();
        let lines = lines.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
        let output = cli.wait_with_output().unwrap();
        writer.join().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("ERR"), "{said}");
    }

    fn cli(&self) -> Command {
        let mut command = Command::new("redis-cli");
        command.arg("-s").arg(self.socket());
        command
    }
}

fn command(folder: &TempDir, arguments: &Vec<String>) -> Command {
    let mut command = Command::new("redis-server");
    let fixed = ["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--daemonize", "no"];
    command.args(fixed).args(["--loglevel", "warning"]).args(arguments);
    // A name that is relative keeps the path of the socket below its bound.
    command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}
