//! Checks a server's promises with very many connections: no verdict on healthy clients, none after
//! the *server* was paused, and every verdict within its bound when all fall silent at once.
//!
//! It starts `heartwire serve` as a process of its own, because one process may not have enough
//! descriptors for both ends, and stops it with SIGSTOP.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::local::program;
use crate::output;
use crate::process::need_open_files;

/// The tutorial's beat: a HEART without a body.
const BEAT: [u8; 8] = [0; 8];
/// How many parts the beats of one interval are spread over.
const SLICES: u32 = 300;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab swarm
  heartwire-lab swarm --connections 1000 --calm 5s

Exit codes: 0 every promise was kept, 1 one was broken, 2 usage.";

/// Arguments of `swarm`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of connections.
    #[arg(long, default_value_t = 15_000)]
    connections: u32,
    /// Interval of each client.
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Timeout of the server.
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Duration of the healthy phase.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    calm: Duration,
    /// Duration of the server's pause.
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    stop: Duration,
    /// The program to test [default: the one built beside this one].
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

/// Runs it.
///
/// # Errors
///
/// When a promise was broken, or the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    need_open_files(args.connections)?;
    let connections = usize::try_from(args.connections)?;
    let mut server = Server::start(args)?;
    output::print(format_args!("server on {}, pid {}", server.address, server.child.id()))?;

    let mut swarm = Swarm::connect(server.address, connections)?;
    swarm.beat_for(args.interval, args.interval)?;
    server.expect_online(connections)?;
    output::print(format_args!("{} connections", args.connections))?;

    swarm.beat_for(args.calm, args.interval)?;
    server.expect_no_verdict("while all clients send heartbeats")?;
    output::print(format_args!(
        "no verdict in {:?} of heartbeats every {:?}",
        args.calm, args.interval
    ))?;

    server.signal(Signal::STOP)?;
    swarm.beat_for(args.stop, args.interval)?;
    server.signal(Signal::CONT)?;
    swarm.beat_for(args.timeout + args.interval, args.interval)?;
    server.expect_no_verdict("after the server was paused")?;
    let pauses = server.count("paused");
    ensure!(pauses > 0, "the server did not notice its pause");
    output::print(format_args!(
        "no verdict after the server was stopped for {:?}; it noticed",
        args.stop
    ))?;

    output::print(format_args!("all clients fall silent"))?;
    let verdicts = server.collect_verdicts(connections, args.timeout + Duration::from_secs(10))?;
    judge(args, &swarm, &verdicts)?;
    Ok(ExitCode::SUCCESS)
}

/// Compares the verdicts with the bound that the server stated, and with our own record of last
/// beats.
fn judge(args: &Args, swarm: &Swarm, verdicts: &[Verdict]) -> anyhow::Result<()> {
    let timeout_ms = args.timeout.as_secs_f64() * 1e3;
    let mut lateness: Vec<f64> = verdicts.iter().map(|v| v.silence_ms - timeout_ms).collect();
    lateness.sort_by(f64::total_cmp);
    let at = |part: f64| {
        #[expect(clippy::as_conversions, reason = "a fraction of a length is a length")]
        let index = (part * (lateness.len() - 1) as f64) as usize;
        lateness.get(index).copied().unwrap_or(f64::NAN)
    };
    output::print(format_args!(
        "{} verdicts, ms after the timeout: min {:.1}, p50 {:.1}, p99 {:.1}, p99.9 {:.1}, \
         max {:.1}",
        verdicts.len(),
        at(0.0),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    ))?;
    ensure!(at(0.0) >= 0.0, "a verdict was early");
    let early = verdicts.iter().filter(|verdict| {
        let last_beat = swarm.last_beat.get(&verdict.peer);
        last_beat.is_none_or(|&at| verdict.seen_at.duration_since(at) < args.timeout)
    });
    ensure!(early.count() == 0, "a verdict was early by our own clock");
    ensure!(at(1.0) <= 100.0, "a verdict was later than the timeout + 100 ms");
    output::print(format_args!("all within the timeout + 100 ms, none early"))?;
    Ok(())
}

/// The clients, all in this process.
struct Swarm {
    streams: Vec<(SocketAddr, TcpStream)>,
    last_beat: HashMap<SocketAddr, Instant>,
    next: usize,
}

impl Swarm {
    fn connect(server: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let mut streams = Vec::new();
        for done in 0..count {
            let stream = TcpStream::connect(server)
                .with_context(|| format!("connection {done}; is ulimit -n high enough?"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            streams.push((stream.local_addr()?, stream));
        }
        Ok(Self { streams, last_beat: HashMap::new(), next: 0 })
    }

    /// Sends one beat on every connection in each interval, spread evenly.
    fn beat_for(&mut self, time: Duration, interval: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        let slice = interval / SLICES;
        let per_slice = self.streams.len().div_ceil(usize::try_from(SLICES)?);
        let mut slices = 0;
        while start.elapsed() < time {
            for _ in 0..per_slice {
                let Some((address, stream)) = self.streams.get_mut(self.next) else { break };
                // Recorded before the write: the byte must not seem younger than it is.
                self.last_beat.insert(*address, Instant::now());
                stream.write_all(&BEAT).context("the server closed a healthy connection")?;
                self.next = (self.next + 1) % self.streams.len();
            }
            slices += 1;
            thread::sleep((slice * slices).saturating_sub(start.elapsed()));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Verdict {
    peer: SocketAddr,
    silence_ms: f64,
    seen_at: Instant,
}

/// `heartwire serve` and its events.
struct Server {
    child: Child,
    address: SocketAddr,
    events: Receiver<(Instant, Value)>,
    counts: HashMap<String, usize>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be stopped, or have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(args: &Args) -> anyhow::Result<Self> {
        let program = program(args.bin.as_deref())?;
        let timeout = humantime::format_duration(args.timeout).to_string();
        let interval = humantime::format_duration(args.interval).to_string();
        let mut child = Command::new(&program)
            .args(["serve", "--listen", "127.0.0.1:0", "--format", "json", "--interval=off"])
            .args([
                "--timeout",
                &timeout.replace(' ', ""),
                "--peer-interval",
                &interval.replace(' ', ""),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let first: Value = serde_json::from_str(&lines.next().context("no first line")??)?;
        let address =
            first.pointer("/addresses/0").and_then(Value::as_str).context("no address")?;
        let address = address.parse()?;
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else { continue };
                if sender.send((Instant::now(), event)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, address, events, counts: HashMap::new() })
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, signal)?)
    }

    fn note(&mut self, event: &Value) {
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    fn count(&mut self, name: &str) -> usize {
        while let Ok((_, event)) = self.events.try_recv() {
            self.note(&event);
        }
        self.counts.get(name).copied().unwrap_or_default()
    }

    fn expect_online(&mut self, count: usize) -> anyhow::Result<()> {
        while self.counts.get("online").copied().unwrap_or_default() < count {
            let (_, event) = self.events.recv_timeout(Duration::from_secs(10))?;
            self.note(&event);
        }
        Ok(())
    }

    fn expect_no_verdict(&mut self, when: &str) -> anyhow::Result<()> {
        let verdicts = self.count("verdict");
        let offline = self.count("offline");
        ensure!(verdicts == 0 && offline == 0, "{verdicts} verdicts and {offline} ends {when}");
        Ok(())
    }

    fn collect_verdicts(&mut self, count: usize, within: Duration) -> anyhow::Result<Vec<Verdict>> {
        let mut verdicts = Vec::new();
        let deadline = Instant::now() + within;
        while verdicts.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((seen_at, event)) = self.events.recv_timeout(left) else {
                bail!("only {} of {count} verdicts came within {within:?}", verdicts.len());
            };
            if event.get("event").and_then(Value::as_str) == Some("verdict") {
                let peer = event.get("peer").and_then(Value::as_str).context("no peer")?;
                let silence_ms = event.get("silence_ms").and_then(Value::as_f64);
                let silence_ms = silence_ms.context("no silence")?;
                verdicts.push(Verdict { peer: peer.parse()?, silence_ms, seen_at });
            }
        }
        Ok(verdicts)
    }
}
