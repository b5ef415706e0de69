//! A node: `heartwire serve` as a process, and what it prints.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::record::{Micros, Recording};
use crate::local::without_settings;

/// How nodes are started.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) program: PathBuf,
    /// How long a client may be silent.
    pub(super) timeout: Duration,
    /// Of the node; `None`: the default.
    pub(super) lease: Option<Duration>,
    /// Options beside those that every node has.
    pub(super) more: Vec<String>,
}

/// What all nodes record together.
#[derive(Debug, Default)]
pub(super) struct Shared {
    recording: Mutex<Recording>,
    /// Events that are not about one session, each with its node.
    told: Mutex<Vec<(usize, Value)>>,
    /// How late verdicts were.
    late_ms: Mutex<Vec<f64>>,
}

impl Shared {
    pub(super) fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn told(&self) -> MutexGuard<'_, Vec<(usize, Value)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn late_ms(&self) -> MutexGuard<'_, Vec<f64>> {
        self.late_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Node {
    number: usize,
    child: Child,
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

impl Node {
    /// Starts one, which reaches Redis at `redis`. Returns when it listens.
    pub(super) fn start(
        settings: &Settings,
        number: usize,
        redis: Option<SocketAddr>,
        shared: &Arc<Shared>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(&settings.program);
        Self::configure(&mut command, settings, number, redis, "127.0.0.1:0");
        Self::spawn(&mut command, &settings.program, number, shared)
    }

    /// Gives a command the options of a node.
    pub(super) fn configure(
        command: &mut Command,
        settings: &Settings,
        number: usize,
        redis: Option<SocketAddr>,
        listen: &str,
    ) {
        command.args(["serve", "--listen", listen, "--format", "json", "--quiet"]);
        command.args(["--interval", "off", "--timeout", &typed(settings.timeout)]);
        command.args(["--peer-interval", &typed(settings.timeout / 3)]);
        // All clients come from one address, and many at once.
        command.args(["--accept-rate", "off", "--accept-rate-per-address", "off"]);
        if let Some(redis) = redis {
            command.args(["--presence", &format!("redis://{redis}/")]);
            command.args(["--node", &name(number)]);
            if let Some(lease) = settings.lease {
                command.args(["--presence-lease", &typed(lease)]);
            }
        }
        command.args(&settings.more);
        without_settings(command).stdin(Stdio::null()).stdout(Stdio::piped());
        // What matters of it is among the events too.
        command.stderr(Stdio::null());
    }

    /// Starts a command that [is a node](Self::configure).
    pub(super) fn spawn(
        command: &mut Command,
        program: &Path,
        number: usize,
        shared: &Arc<Shared>,
    ) -> anyhow::Result<Self> {
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        // Presence may tell of itself before the server listens.
        let mut first;
        loop {
            let mut line = String::new();
            anyhow::ensure!(output.read_line(&mut line)? > 0, "a node ended before it listened");
            first = serde_json::from_str::<Value>(&line)?;
            if first.get("event").and_then(Value::as_str) == Some("listening") {
                break;
            }
            shared.told().push((number, first));
        }
        let address = first.pointer("/addresses/0").and_then(Value::as_str);
        let address = address.context("no address")?.parse()?;
        shared.told().push((number, first));
        let for_reader = Arc::clone(shared);
        let reader = thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || read(output, number, &for_reader))?;
        let shared = Arc::clone(shared);
        Ok(Self { number, child, address, shared, reader: Some(reader) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Kills it. What it had printed is recorded before its sessions end with it.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.shared.recording().died(now(), self.number);
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.kill();
    }
}

/// Options, as [`Settings::more`] has them.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The name of a node.
pub(super) fn name(number: usize) -> String {
    format!("node-{number}")
}

pub(super) fn now() -> Micros {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn read(output: BufReader<ChildStdout>, number: usize, shared: &Shared) {
    for line in output.lines().map_while(Result::ok) {
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let at = text("time").and_then(micros).unwrap_or_else(now);
        match (text("event"), text("name"), text("session")) {
            (Some("online"), Some(name), Some(session)) => {
                shared.recording().online(at, number, name, session);
            }
            (Some("offline"), _, Some(session)) => {
                shared.recording().offline(at, number, session);
            }
            (Some("verdict"), ..) => {
                shared.late_ms().extend(event.get("late_ms").and_then(Value::as_f64));
            }
            (Some("online" | "promise"), ..) => {}
            _ => shared.told().push((number, event)),
        }
    }
}

pub(super) fn micros(time: &str) -> Option<Micros> {
    let time = humantime::parse_rfc3339(time).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_micros()).ok()
}

/// A duration as options have it.
pub(super) fn typed(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
