//! The server under load: `heartwire serve`, a baseline, a peer, or one that already runs.

use core::fmt::Write as _;
use core::net::SocketAddr;
use core::time::Duration;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use anyhow::Context;
use heartwire::server::limits::Admission;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::args::Protocol;
use super::lateness::{VerdictLine, nanos};
use super::load::Speech;
use super::peer::{Peer, Start, wait_until_listening};
use super::run::Plan;
use super::tls::Identity;
use crate::baseline::Baseline;
use crate::local::program;
use crate::tied::tied;

/// Which server to put the load on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// `heartwire serve`.
    Own(Own),
    /// `heartwire-lab baseline`.
    Baseline(Baseline),
    /// Another project's.
    Peer(Peer),
    /// A process that is already running.
    Running { pid: u32, target: SocketAddr },
}

/// How `serve` is started, and what its clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) shards: Option<u16>,
    /// As `serve` does by default.
    pub(crate) coalesce: Option<u16>,
    pub(crate) protocol: Protocol,
    /// The clients have a timeout too.
    pub(crate) both: bool,
    /// The server answers each beat (protocol v0).
    pub(crate) echo: bool,
    pub(crate) tls: bool,
    /// Sessions can be resumed.
    pub(crate) resume: bool,
}

impl Own {
    fn id(&self) -> String {
        let Self { coalesce, protocol, both, echo, tls, resume, shards: _ } = self;
        let mut id = match protocol {
            Protocol::V0 => "v0".to_owned(),
            Protocol::V1 => "v1".to_owned(),
        };
        if let Some(beats) = coalesce {
            // Writing to a string does not fail.
            let _ = write!(id, "-coalesce-{beats}");
        }
        let parts = [(both, "-both"), (echo, "-echo"), (tls, "-tls"), (resume, "-resume")];
        id.extend(parts.iter().filter(|(is_set, _)| **is_set).map(|(_, part)| *part));
        id
    }
}

impl Contender {
    /// What a table calls it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Own(Own { coalesce, protocol, both, echo, tls, resume, .. }) => {
                let mut name = match coalesce {
                    Some(0) => "heartwire, coalescing off".to_owned(),
                    Some(beats) => format!("heartwire, `--coalesce {beats}`"),
                    None => "heartwire, default".to_owned(),
                };
                if *protocol == Protocol::V1 {
                    name.push_str(", protocol v1");
                }
                if *tls {
                    name.push_str(", TLS");
                }
                if *resume {
                    name.push_str(", resumable");
                }
                if *both {
                    name.push_str(", and the server beats too");
                }
                if *echo {
                    name.push_str(", `--echo`");
                }
                name
            }
            Self::Baseline(Baseline::Epoll) => "bare epoll + recv, no liveness".to_owned(),
            Self::Baseline(Baseline::Answer) => "bare epoll + recv + send, no liveness".to_owned(),
            Self::Baseline(Baseline::Tokio) => "tokio, a task and a timeout each".to_owned(),
            Self::Baseline(Baseline::Sweep) => "a map, swept every fifth of the timeout".to_owned(),
            Self::Peer(peer) => peer.name().to_owned(),
            Self::Running { pid, target } => format!("process {pid} on {target}"),
        }
    }

    /// As typed after `--only`.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Own(own) => own.id(),
            Self::Baseline(baseline) => baseline.name().to_owned(),
            Self::Peer(peer) => peer.id().to_owned(),
            Self::Running { .. } => "process".to_owned(),
        }
    }

    /// What it does with a silent client, in words; empty where we do not know.
    pub(crate) fn rule(&self, wanted: Duration) -> String {
        match self {
            Self::Own(_) => format!("declares a client dead {wanted:?} after its last byte"),
            Self::Baseline(Baseline::Epoll | Baseline::Answer) => "closes none".to_owned(),
            Self::Baseline(Baseline::Tokio) => format!("closes when a read takes {wanted:?}"),
            Self::Baseline(Baseline::Sweep) => {
                format!("closes after {wanted:?} to {:?}", wanted + wanted / 5)
            }
            Self::Peer(peer) => peer.rule(wanted),
            Self::Running { .. } => String::new(),
        }
    }

    /// The shortest silence after which it closes a connection by its own rule.
    pub(crate) fn timeout(&self, wanted: Duration) -> Duration {
        match self {
            Self::Peer(peer) => peer.timeout(wanted),
            Self::Own(_) | Self::Baseline(_) | Self::Running { .. } => wanted,
        }
    }

    /// The longest silence that it may need, without what it is late by.
    pub(crate) fn longest_timeout(&self, wanted: Duration) -> Duration {
        match self {
            // `ws` pings once per timeout.
            Self::Peer(peer) => peer.timeout(wanted) * 2,
            // The sweep comes every fifth of it.
            Self::Own(_) | Self::Baseline(_) | Self::Running { .. } => wanted + wanted / 4,
        }
    }

    /// Whether it may be stopped for a moment while clients connect: for that its accept queue must
    /// be long, and mosquitto's has room for 100.
    pub(crate) fn is_stopped_to_accept(&self) -> bool {
        matches!(self, Self::Own(_) | Self::Baseline(_))
    }

    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    pub(crate) fn uses_tls(&self) -> bool {
        matches!(self, Self::Own(Own { tls: true, .. }))
    }

    /// Whether it ever closes a silent connection.
    pub(crate) fn judges(&self) -> bool {
        !matches!(self, Self::Baseline(Baseline::Epoll | Baseline::Answer))
    }

    /// Whether it sends as much as its clients do; `None` where we do not know.
    pub(crate) fn answers(&self) -> Option<bool> {
        match self {
            Self::Own(Own { both, echo, .. }) => Some(*both || *echo),
            Self::Baseline(baseline) => Some(*baseline == Baseline::Answer),
            Self::Peer(peer) => Some(peer.answers()),
            Self::Running { .. } => None,
        }
    }

    /// The frames that clients send to it.
    pub(crate) fn speech(&self, plan: &Plan) -> anyhow::Result<Speech> {
        match self {
            Self::Own(Own { protocol: Protocol::V1, both, resume, .. }) => {
                Speech::v1(plan.interval, both.then_some(plan.timeout), *resume)
            }
            Self::Peer(peer) => Ok(peer.speech(plan.timeout)),
            Self::Own(_) | Self::Baseline(_) | Self::Running { .. } => Ok(Speech::v0()),
        }
    }

    pub(crate) fn command(
        &self,
        plan: &Plan,
        identity: Option<&Identity>,
    ) -> anyhow::Result<Option<Command>> {
        // One word each, for the programs' command lines.
        let [timeout, interval] = [plan.timeout, plan.interval]
            .map(|time| humantime::format_duration(time).to_string().replace(' ', ""));
        Ok(match self {
            Self::Running { .. } | Self::Peer(_) => None,
            Self::Baseline(baseline) => {
                // A process of its own, as ours is.
                let mut command = Command::new(env::current_exe()?);
                command.args(["baseline", baseline.name(), "127.0.0.1:0", &timeout]);
                Some(command)
            }
            Self::Own(Own { shards, coalesce, echo, .. }) => {
                let connections = usize::try_from(plan.connections)?;
                let sessions = connections.max(Admission::MAX_SESSIONS).to_string();
                let mut command = Command::new(program(plan.bin.as_deref())?);
                command
                    .args([
                        "serve",
                        "--listen",
                        "127.0.0.1:0",
                        "--format",
                        "json",
                        "--interval=off",
                    ])
                    // Do not measure printing, which the baselines do not do either.
                    .args(["--events", "verdict"])
                    // All clients connect before the first beat, which may take longer than the
                    // handshake timeout.
                    .args(["--handshake-timeout", "off"])
                    // And from few addresses, all at once.
                    .args(["--accept-rate-per-address", "off", "--accept-rate", "off"])
                    .args([
                        "--timeout",
                        &timeout,
                        "--peer-interval",
                        &interval,
                        "--max-sessions",
                        &sessions,
                    ]);
                if let Some(identity) = identity {
                    // With TLS a client is online only after its first beat.
                    command.args(["--max-pending", &sessions]);
                    command.arg("--tls-cert").arg(identity.certificate());
                    command.arg("--tls-key").arg(identity.key());
                }
                if let Some(beats) = coalesce {
                    command.args(["--coalesce", &beats.to_string()]);
                }
                if *echo {
                    command.arg("--echo");
                }
                if let Some(shards) = shards {
                    command.args(["--threads", &shards.to_string()]);
                }
                Some(command)
            }
        })
    }
}

/// A running server. If we started it, dropping this kills it, and so does the end of this process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) pid: u32,
    pub(crate) target: SocketAddr,
    child: Option<Child>,
    output: Arc<Mutex<Vec<u8>>>,
    /// Its files, if it needs any.
    _folder: Option<TempDir>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may be stopped, or have exited.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    /// With `identity`, it uses TLS.
    pub(crate) fn start(
        contender: &Contender,
        plan: &Plan,
        identity: Option<&Identity>,
    ) -> anyhow::Result<Self> {
        if let Contender::Running { pid, target } = *contender {
            let output = Arc::default();
            return Ok(Self { pid, target, child: None, output, _folder: None });
        }
        let (command, address, folder) = match contender {
            Contender::Peer(peer) => {
                let Start { command, address, folder } =
                    peer.start(plan.timeout, plan.connections)?;
                (command, address, Some(folder))
            }
            Contender::Own(_) | Contender::Baseline(_) | Contender::Running { .. } => {
                let command = contender.command(plan, identity)?;
                (command.context("nothing to start")?, None, None)
            }
        };
        let command = match plan.pin {
            Some(pin) => pin.server(&command),
            None => command,
        };
        Self::launch(command, address, folder)
    }

    /// One that is started with this command, and says first where it listens.
    pub(crate) fn spawn(command: Command) -> anyhow::Result<Self> {
        Self::launch(command, None, None)
    }

    /// One that listens on `address`, or else says first where it does.
    fn launch(
        command: Command,
        address: Option<SocketAddr>,
        folder: Option<TempDir>,
    ) -> anyhow::Result<Self> {
        let output = Arc::default();
        let program = command.get_program().to_owned();
        let mut child = tied(&command)?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("no output")?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        // From here on dropping this value kills it.
        let mut server =
            Self { pid: child.id(), target: unknown, child: Some(child), output, _folder: folder };
        let mut stdout = BufReader::with_capacity(1 << 16, stdout);
        if let (Some(address), Some(child)) = (address, &mut server.child) {
            wait_until_listening(child, address).with_context(|| program.display().to_string())?;
            server.target = address;
        } else {
            let mut first = String::new();
            stdout.read_line(&mut first)?;
            server.target = listening_address(&first)
                .with_context(|| format!("{} did not say where it listens", program.display()))?;
        }
        server.collect(stdout)?;
        Ok(server)
    }

    /// Keeps the server's output unread: parsing it would take processor time from the server while
    /// it is measured.
    fn collect(&self, mut stdout: BufReader<ChildStdout>) -> anyhow::Result<()> {
        let output = Arc::clone(&self.output);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            while let Ok(len @ 1..) = stdout.read(&mut chunk) {
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                output.extend_from_slice(chunk.get(..len).unwrap_or_default());
            }
        })?;
        Ok(())
    }

    /// The verdicts that it printed so far.
    pub(crate) fn verdicts(&self) -> Vec<VerdictLine> {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.split(|byte| *byte == b'\n').filter_map(parse_verdict).collect()
    }

    /// Whether we may stop it for a moment.
    pub(crate) fn is_child(&self) -> bool {
        self.child.is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid =
            i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no such process")?;
        kill_process(pid, signal).context("cannot signal the server")
    }
}

/// The address in a server's first line: JSON, or `listening on ADDR`.
pub(crate) fn listening_address(line: &str) -> Option<SocketAddr> {
    let json: Option<Value> = serde_json::from_str(line).ok();
    let address = match &json {
        Some(json) => json.pointer("/addresses/0")?.as_str()?,
        None => line.trim().strip_prefix("listening on ")?,
    };
    address.parse().ok()
}

fn parse_verdict(line: &[u8]) -> Option<VerdictLine> {
    let event: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    if text("event") != Some("verdict") {
        return None;
    }
    let (at, resolution) = parse_time(text("time")?)?;
    let (at_ns, resolution_ns) = (nanos(at), u64::try_from(resolution.as_nanos()).ok()?);
    Some(VerdictLine { peer: text("peer")?.parse().ok()?, at_ns, resolution_ns })
}

/// A time in RFC 3339, and what its last digit stands for.
fn parse_time(text: &str) -> Option<(SystemTime, Duration)> {
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len().saturating_sub(1));
    let resolution = Duration::from_secs(1) / 10_u32.checked_pow(u32::try_from(digits).ok()?)?;
    Some((humantime::parse_rfc3339(text).ok()?, resolution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_first_line_say_where() {
        let expected: SocketAddr = "127.0.0.1:4711".parse().unwrap();
        let json = r#"{"time":"x","event":"listening","addresses":["127.0.0.1:4711"]}"#;
        assert_eq!(listening_address(json), Some(expected));
        assert_eq!(listening_address("listening on 127.0.0.1:4711\n"), Some(expected));
        assert_eq!(listening_address(""), None);
    }

    #[test]
    fn a_verdict_is_read_with_its_resolution() {
        let line =
            br#"{"time":"1970-01-01T00:00:02.000007Z","event":"verdict","peer":"127.0.0.2:5"}"#;
        let peer = "127.0.0.2:5".parse().unwrap();
        let expected = VerdictLine { peer, at_ns: 2_000_007_000, resolution_ns: 1_000 };
        assert_eq!(parse_verdict(line), Some(expected));
        let offline =
            br#"{"time":"1970-01-01T00:00:02.007Z","event":"offline","peer":"1.2.3.4:5"}"#;
        assert_eq!(parse_verdict(offline), None);
        assert_eq!(parse_verdict(br#"{"time":"1970-01"#), None);
    }

    #[test]
    fn a_time_without_digits_after_the_point_is_good_to_a_second() {
        let (_, resolution) = parse_time("1970-01-01T00:00:02Z").unwrap();
        assert_eq!(resolution, Duration::from_secs(1));
        let (_, resolution) = parse_time("1970-01-01T00:00:02.123456789Z").unwrap();
        assert_eq!(resolution, Duration::from_nanos(1));
    }
}
