//! `heartwire demo`: a server detects a frozen client, which then comes back to its session and has
//! lost nothing; with real processes and real sockets.

use core::fmt::Write as _;
use core::time::Duration;
use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use heartwire::server::{Event, Handle, Resume, Server, ServerConfig, SessionId};
use heartwire::{Policy, TICK, Verdict};
#[cfg(unix)]
use rustix::process::Signal;

use crate::environment::remove_from;
use crate::exit::Exit;
use crate::output::{Sink, Target, Text, describe_policy, start_stdout};
use crate::signals::Stop;
use crate::values::{Format, number, typed};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire demo
  heartwire demo --clients 8

Exit codes: 0 the verdict came within its bound and nothing was lost, 2 invalid arguments, 1 the
verdict came outside of its bound, or something failed.";

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many clients.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = number::<u16>(1..=100)
    )]
    pub(crate) clients: u16,
}

const BEAT: &str = "1s";
const TIMEOUT: &str = "4s";
/// How long all clients are watched before one is frozen.
const CALM: Duration = Duration::from_millis(3500);
/// How long the frozen client is away before it runs again.
const AWAY: Duration = Duration::from_millis(750);
/// How long all are watched after it is back.
const LAST: Duration = Duration::from_millis(1250);
/// What the server sends to the client that is away, and the client sends back.
const MESSAGES: [&[u8]; 3] = [b"one", b"two", b"three"];
/// The demo fails after this.
const PATIENCE: Duration = Duration::from_secs(60);
/// One character of the picture.
const CELL: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = Stop::listen()?;
        let output = start_stdout(Target::StdoutWhileRead, Text::new(Format::Text))?;
        let show = async {
            let exit = show(usize::from(args.clients), output.clone()).await?;
            let _ = output.close().await;
            Ok(exit)
        };
        tokio::select! {
            exit = show => exit,
            () = output.reader_gone() => Ok(Exit::Success),
            () = stop.signal() => Ok(Exit::Success),
        }
    })
}

async fn show(count: usize, output: Sink<Text>) -> anyhow::Result<Exit> {
    let policy = Policy::builder()
        .interval(humantime::parse_duration(BEAT)?)
        .timeout(humantime::parse_duration(TIMEOUT)?)
        .build()?;
    // Without coalescing, so that the picture shows each beat when it comes.
    let config =
        ServerConfig::new("127.0.0.1:0".parse()?).policy(policy).coalesce(0).resume(Resume::new());
    let (server, mut events) = Server::start_with_events(config)?;
    let address = server.local_addrs().first().context("the server has no address")?.to_string();
    let mut stage = Stage::new(output);
    stage.say(format_args!("a server on {address} {}", describe_policy(&policy, "client")));
    stage.start_client(&address)?;

    let mut cells = tokio::time::interval(CELL);
    loop {
        tokio::select! {
            event = events.recv() => {
                let event = event.context("the server ended early")?;
                stage.handle(&event);
                // One after the other, so that sessions and processes are in the same order.
                if matches!(event, Event::Online { .. }) && stage.clients.len() < count {
                    stage.start_client(&address)?;
                }
            }
            _ = cells.tick() => {
                let heard = server.handle().list().await;
                stage.draw_cell(|id| {
                    let info = heard.iter().find(|info| info.id == id);
                    info.filter(|info| info.away_within.is_none()).map(|info| info.beats)
                });
                if stage.act(count, server.handle())? {
                    break;
                }
            }
        }
    }
    stage.conclude(&policy)
}

/// The state of the demo.
struct Stage {
    output: Sink<Text>,
    started: Instant,
    processes: Vec<Process>,
    clients: Vec<ClientRow>,
    everybody_at: Option<Instant>,
    frozen: Option<Frozen>,
    verdict: Option<(Verdict, Instant)>,
    false_verdicts: usize,
    /// When the frozen client ran again.
    thawed_at: Option<Instant>,
    back_at: Option<Instant>,
    /// What came back of what was sent to it while it was away.
    received: Vec<Vec<u8>>,
}

/// A client's line of the picture.
struct ClientRow {
    id: SessionId,
    beats: u32,
    cells: String,
}

struct Frozen {
    id: SessionId,
    index: usize,
    at: Instant,
}

/// A process that does not outlive the demo.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    fn new(output: Sink<Text>) -> Self {
        Self {
            output,
            started: Instant::now(),
            processes: Vec::new(),
            clients: Vec::new(),
            everybody_at: None,
            frozen: None,
            verdict: None,
            false_verdicts: 0,
            thawed_at: None,
            back_at: None,
            received: Vec::new(),
        }
    }

    fn say(&self, what: core::fmt::Arguments<'_>) {
        self.print(format_args!("{:5.1} s  {what}", self.started.elapsed().as_secs_f64()));
    }

    fn print(&self, line: core::fmt::Arguments<'_>) {
        let line = format!("{line}\n");
        self.output.put(|text| text.push(line.into_bytes()));
    }

    fn start_client(&mut self, address: &str) -> anyhow::Result<()> {
        let program = env::current_exe().context("cannot find this program")?;
        let child = remove_from(&mut Command::new(program))
            .args([
                "connect",
                "--interval",
                BEAT,
                "--timeout",
                TIMEOUT,
                "--retry",
                "never",
                "--grace",
                "1m",
                "--no-input",
                "--on-data",
                "echo",
                address,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start a client")?;
        self.processes.push(Process(child));
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a spectator need not see everything")]
    fn handle(&mut self, event: &Event<Vec<u8>>) {
        match *event {
            Event::Online { id, peer, .. } => {
                self.clients.push(ClientRow { id, beats: 0, cells: String::new() });
                self.say(format_args!("{} online, from port {}", self.name(id), peer.port()));
            }
            Event::Verdict { id, verdict, .. } => self.handle_verdict(id, verdict),
            Event::Away { id, .. } => self.say(format_args!(
                "{} away: its session is kept, and what is sent to it",
                self.name(id)
            )),
            Event::Back { id, away, .. } => {
                self.back_at = Some(Instant::now());
                let away = away.as_secs_f64();
                self.say(format_args!("{} back after {away:.1} s", self.name(id)));
            }
            Event::Data { ref data, .. } => self.received.push(data.clone()),
            Event::Offline { id, reason, .. } => {
                self.say(format_args!("{} offline: {}", self.name(id), reason.name()));
            }
            Event::Paused { pause, .. } => {
                self.say(format_args!("this machine was paused for {:?}", pause.gap));
            }
            _ => {}
        }
    }

    fn handle_verdict(&mut self, id: SessionId, verdict: Verdict) {
        if self.frozen.as_ref().is_none_or(|frozen| frozen.id != id) {
            self.false_verdicts += 1;
        } else {
            self.verdict = Some((verdict, Instant::now()));
        }
        self.say(format_args!("{} declared dead: {verdict}", self.name(id)));
    }

    fn name(&self, id: SessionId) -> String {
        let index = self.clients.iter().position(|client| client.id == id);
        index.map_or_else(|| "a client".to_owned(), |index| format!("client {}", index + 1))
    }

    fn draw_cell(&mut self, beats_of: impl Fn(SessionId) -> Option<u32>) {
        for client in &mut self.clients {
            let is_frozen = self.back_at.is_none()
                && self.frozen.as_ref().is_some_and(|frozen| frozen.id == client.id);
            client.cells.push(match beats_of(client.id) {
                None if client.cells.ends_with(['x', ' ']) => ' ',
                None => 'x',
                Some(beats) if beats > client.beats => {
                    client.beats = beats;
                    '|'
                }
                Some(_) if is_frozen => '.',
                Some(_) => '-',
            });
        }
    }

    /// Freezes a client when it is time, and has it run again. True when the demo is over.
    fn act(&mut self, count: usize, server: &Handle) -> anyhow::Result<bool> {
        if self.started.elapsed() > PATIENCE {
            bail!("not done in {}; this machine may be overloaded", typed(PATIENCE));
        }
        let now = Instant::now();
        if self.everybody_at.is_none() && self.clients.len() == count {
            self.everybody_at = Some(now);
        }
        let calm = self.everybody_at.is_some_and(|at| now.duration_since(at) >= CALM);
        if calm && self.frozen.is_none() {
            self.freeze_one()?;
        }
        let is_over = |at: Instant, time| now.duration_since(at) >= time;
        if self.verdict.is_some_and(|(_, at)| is_over(at, AWAY)) && self.thawed_at.is_none() {
            self.thaw(server)?;
        }
        let has_all = self.received.len() >= MESSAGES.len();
        Ok(has_all && self.back_at.is_some_and(|at| is_over(at, LAST)))
    }

    /// Sends to the client that is away, and lets it run again.
    fn thaw(&mut self, server: &Handle) -> anyhow::Result<()> {
        let frozen = self.frozen.as_ref().context("no client was frozen")?;
        for message in MESSAGES {
            server.send(frozen.id, message)?;
        }
        let process = self.processes.get(frozen.index).context("no client to thaw")?;
        signal(&process.0, Signal::CONT)?;
        self.thawed_at = Some(Instant::now());
        self.say(format_args!(
            "{} runs again; {} messages wait for it",
            self.name(frozen.id),
            MESSAGES.len()
        ));
        Ok(())
    }

    /// Freezes one client, as a debugger or a deadlock would: its kernel still acknowledges.
    fn freeze_one(&mut self) -> anyhow::Result<()> {
        let index = self.clients.len() / 2;
        let process = self.processes.get(index).context("no client to freeze")?;
        let id = self.clients.get(index).context("no client to freeze")?.id;
        self.frozen = Some(Frozen { id, index, at: Instant::now() });
        signal(&process.0, Signal::STOP)?;
        self.say(format_args!(
            "{} frozen (SIGSTOP): its kernel still answers, but it sends no heartbeats",
            self.name(id)
        ));
        Ok(())
    }

    /// Draws the picture, and compares the measured time with the predicted one.
    fn conclude(&self, policy: &Policy) -> anyhow::Result<Exit> {
        let mut picture = String::new();
        for client in &self.clients {
            writeln!(picture, "  {:<10} {}", self.name(client.id), client.cells.trim_end())?;
        }
        self.print(format_args!(
            "\n{picture}\n  | a beat   - alive   . frozen, not known yet   x declared dead, then \
             away   ({} ms each)\n",
            CELL.as_millis()
        ));
        let (verdict, at) = self.verdict.context("no verdict")?;
        let frozen = self.frozen.as_ref().context("no client was frozen")?;
        let measured = at.duration_since(frozen.at);
        let stated = policy.bound_after_fault(TICK).context("the policy has no timeout")?;
        let in_bound = verdict.bound.is_some_and(|bound| bound.contains(verdict.silence));
        let has_all = self.received == MESSAGES;
        let lost = if has_all { "nothing" } else { "something" };
        let good = in_bound && stated.contains(measured) && self.false_verdicts == 0 && has_all;
        self.print(format_args!(
            "  from the freeze to the verdict: {:.3} s measured, {stated} stated\n  \
             verdicts on healthy clients: {}\n  \
             sent to it while it was away: {} messages, lost: {lost}\n",
            measured.as_secs_f64(),
            self.false_verdicts,
            MESSAGES.len()
        ));
        Ok(if good { Exit::Success } else { Exit::Failure })
    }
}

#[cfg(unix)]
fn signal(child: &Child, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.context("a client has no process id")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

#[cfg(not(unix))]
enum Signal {
    STOP,
    CONT,
}

#[cfg(not(unix))]
fn signal(_: &Child, _: Signal) -> anyhow::Result<()> {
    bail!("this system cannot freeze a process, so there is nothing to show")
}
