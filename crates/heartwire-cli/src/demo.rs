//! `heartwire demo`: a server detects a frozen client, with real processes and real sockets.

use core::fmt::Write as _;
use core::time::Duration;
use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use heartwire::server::{Event, Server, ServerConfig, SessionId};
use heartwire::{Policy, TICK, Verdict};

use crate::environment::remove_from;
use crate::exit::Exit;
use crate::output::{Sink, Target, Text, describe_policy, start_stdout};
use crate::signals::Stop;
use crate::values::{Format, number, typed};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire demo
  heartwire demo --clients 8

Exit codes: 0 the verdict came within its bound, 2 invalid arguments, 1 the verdict came outside of
its bound, or something failed.";

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
/// How long all clients are watched before one is frozen; half of it after the verdict.
const CALM: Duration = Duration::from_secs(4);
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
    let config = ServerConfig::new("127.0.0.1:0".parse()?).policy(policy).coalesce(0);
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
                stage.draw_cell(|id| heard.iter().find(|info| info.id == id).map(|i| i.beats));
                if stage.act(count)? {
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
    verdict: Option<(SessionId, Verdict, Instant)>,
    false_verdicts: usize,
}

/// A client's line of the picture.
struct ClientRow {
    id: SessionId,
    beats: u32,
    cells: String,
}

struct Frozen {
    id: SessionId,
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
                "--no-input",
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
            self.verdict = Some((id, verdict, Instant::now()));
        }
        self.say(format_args!("{} declared dead: {verdict}", self.name(id)));
    }

    fn name(&self, id: SessionId) -> String {
        let index = self.clients.iter().position(|client| client.id == id);
        index.map_or_else(|| "a client".to_owned(), |index| format!("client {}", index + 1))
    }

    fn draw_cell(&mut self, beats_of: impl Fn(SessionId) -> Option<u32>) {
        for client in &mut self.clients {
            let is_frozen = self.frozen.as_ref().is_some_and(|frozen| frozen.id == client.id);
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

    /// Freezes a client when it is time. True when the demo is over.
    fn act(&mut self, count: usize) -> anyhow::Result<bool> {
        if self.started.elapsed() > PATIENCE {
            bail!("no verdict in {}; this machine may be overloaded", typed(PATIENCE));
        }
        let now = Instant::now();
        if self.everybody_at.is_none() && self.clients.len() == count {
            self.everybody_at = Some(now);
        }
        let calm = self.everybody_at.is_some_and(|at| now.duration_since(at) >= CALM);
        if calm && self.frozen.is_none() {
            self.freeze_one()?;
        }
        Ok(self.verdict.is_some_and(|(_, _, at)| now.duration_since(at) >= CALM / 2))
    }

    /// Freezes one client, as a debugger or a deadlock would: its kernel still acknowledges.
    fn freeze_one(&mut self) -> anyhow::Result<()> {
        let index = self.clients.len() / 2;
        let process = self.processes.get(index).context("no client to freeze")?;
        let id = self.clients.get(index).context("no client to freeze")?.id;
        self.frozen = Some(Frozen { id, at: Instant::now() });
        freeze(&process.0)?;
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
            "\n{picture}\n  | a beat   - alive   . frozen, not known yet   x declared dead   \
             ({} ms each)\n",
            CELL.as_millis()
        ));
        let (_, verdict, at) = self.verdict.context("no verdict")?;
        let frozen = self.frozen.as_ref().context("no client was frozen")?;
        let measured = at.duration_since(frozen.at);
        let stated = policy.bound_after_fault(TICK).context("the policy has no timeout")?;
        let in_bound = verdict.bound.is_some_and(|bound| bound.contains(verdict.silence));
        let good = in_bound && stated.contains(measured) && self.false_verdicts == 0;
        self.print(format_args!(
            "  from the freeze to the verdict: {:.3} s measured, {stated} stated\n  \
             verdicts on healthy clients: {}\n",
            measured.as_secs_f64(),
            self.false_verdicts
        ));
        Ok(if good { Exit::Success } else { Exit::Failure })
    }
}

#[cfg(unix)]
fn freeze(child: &Child) -> anyhow::Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.context("a client has no process id")?;
    Ok(rustix::process::kill_process(pid, rustix::process::Signal::STOP)?)
}

#[cfg(not(unix))]
fn freeze(_child: &Child) -> anyhow::Result<()> {
    bail!("this system cannot freeze a process, so there is nothing to show")
}
