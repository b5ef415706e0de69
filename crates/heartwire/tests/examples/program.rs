//! An example in a process of its own, as somebody at a terminal sees it.

use core::time::Duration;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use heartwire_testkit::Process;

/// The longest one takes 12 s; a busy machine has the rest.
pub(crate) const fn limit() -> Duration {
    Duration::from_secs(60)
}

#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    process: Process,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    so_far: Vec<String>,
}

impl Program {
    #[track_caller]
    pub(crate) fn start(name: &'static str, args: &[&str]) -> Self {
        // This program lies in `deps`, next to `examples`.
        let here = std::env::current_exe().unwrap();
        let target = here.parent().and_then(|deps| deps.parent()).expect("cargo put it there");
        let path = target.join("examples").join(name);
        assert!(path.exists(), "{path:?} is not built: `cargo build --examples` first");
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::spawn(&mut command);
        let output = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let (shown, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test may be over.
                let _ = shown.send(line);
            }
        });
        let input = process.0.stdin.take();
        Self { name, process, input, lines, so_far: Vec::new() }
    }

    /// What it has printed, as far as it was waited for.
    pub(crate) fn so_far(&self) -> &[String] {
        &self.so_far
    }

    /// The next line that begins like this.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, beginning: &str) -> String {
        let until = Instant::now() + limit();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{}: no {beginning:?} after\n{}", self.name, self.so_far.join("\n"));
            };
            self.so_far.push(line.clone());
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    /// Everything that it prints until it ends, which it must do in time, and well.
    #[track_caller]
    pub(crate) fn output(mut self, within: Duration) -> Vec<String> {
        let until = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.so_far.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} runs on after\n{}", self.name, self.so_far.join("\n"))
                }
            }
        }
        let status = self.process.0.wait().unwrap();
        assert!(status.success(), "{}: {status} after\n{}", self.name, self.so_far.join("\n"));
        core::mem::take(&mut self.so_far)
    }

    pub(crate) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{line}").unwrap();
    }

    /// Ctrl-D.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn freeze(&self) {
        self.process.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.process.thaw();
    }
}
