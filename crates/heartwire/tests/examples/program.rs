//! An example in a process of its own, as a user at a terminal sees it.

use std::io::Write as _;
use std::process::{ChildStdin, Command, Stdio};

use heartwire_testkit::{Line, Lines, Process};

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) process: Process,
    /// Ctrl-D is to drop it.
    pub(crate) input: Option<ChildStdin>,
    pub(crate) lines: Lines,
}

impl Program {
    #[track_caller]
    pub(crate) fn start(name: &str, args: &[&str]) -> Self {
        // This program lies in `deps`, next to `examples`.
        let here = std::env::current_exe().unwrap();
        let target = here.parent().and_then(|deps| deps.parent()).expect("cargo put it there");
        let path = target.join("examples").join(name);
        assert!(path.exists(), "{path:?} is not built: `cargo build --examples` first");
        let mut command = Command::new(path);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut process = Process::spawn(&mut command);
        let lines = Lines::of(process.0.stdout.take().expect("it is piped"));
        let input = process.0.stdin.take();
        Self { process, input, lines }
    }

    /// What it has printed.
    pub(crate) fn so_far(&self) -> Vec<String> {
        texts(self.lines.so_far())
    }

    /// The first line with this in it.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) -> String {
        self.lines.line(part).text
    }

    /// Everything that it prints until it ends, which it must do in time, and well.
    #[track_caller]
    pub(crate) fn output(mut self) -> Vec<String> {
        let lines = texts(self.lines.all());
        assert_eq!(self.process.exit_code(), Some(0), "after\n{}", lines.join("\n"));
        lines
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("it is open"), "{line}").unwrap();
    }
}

fn texts(lines: Vec<Line>) -> Vec<String> {
    lines.into_iter().map(|line| line.text).collect()
}
