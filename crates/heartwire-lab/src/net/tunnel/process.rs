//! A program of others that runs.

use core::time::Duration;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to stop by itself.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    /// What it says on standard error.
    log: PathBuf,
    is_asked_first: bool,
}

impl Running {
    /// Starts a client, whose input and output are the lab's. Its standard error goes to that file.
    pub(super) fn client(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(command, log)
    }

    /// Starts a client whose output is of no interest.
    pub(super) fn feeder(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        Self::start(command, log)
    }

    /// Starts a server.
    pub(super) fn server(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::start(command, log)
    }

    fn start(command: &mut Command, log: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = command.stderr(file).spawn().context("cannot start ip netns exec")?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, log, is_asked_first: false })
    }

    /// It is interrupted before it is killed, because it would leave something behind.
    pub(super) const fn asked_first(mut self) -> Self {
        self.is_asked_first = true;
        self
    }

    pub(super) fn output(&mut self) -> anyhow::Result<ChildStdout> {
        self.child.stdout.take().context("no output")
    }

    /// Types a line. A program that has ended is noticed elsewhere.
    pub(super) fn type_line(&mut self, line: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}");
        }
    }

    pub(super) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// How it ended, if it has.
    pub(super) fn exit(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The last line of its log.
    pub(super) fn last_words(&self) -> String {
        last_line(&self.log)
    }
}

fn last_line(log: &Path) -> String {
    let said = fs::read(log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_asked_first {
            // It may be gone.
            let _ = kill_process(Pid::from_child(&self.child), Signal::INT);
            let until = Instant::now() + STOPS_WITHIN;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
