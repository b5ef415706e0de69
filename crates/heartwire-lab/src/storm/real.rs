//! A storm of real clients on a real server: `heartwire serve` on loopback, killed and started
//! again, and as many of the library's own clients in this process as were asked for.

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};
use heartwire::client::{Client, ClientConfig, Event, Reconnect};
use heartwire::tls::{ClientTls, SharedClientTls};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::args::Args;
use super::outcome::{Cost, Outcome, PerSecond, Security};
use super::policy::Policy;
use crate::bench::tls::{Identity, NAME};
use crate::local::{descriptors, program, without_settings};
use crate::output;
use crate::process::Usage;
use crate::tied::tied;

/// Below the ephemeral ports: a client that dials its own port while no server listens there can
/// connect to itself.
const PORTS: Range<u16> = 20_000..32_000;

/// Descriptors for everything but clients.
const SPARE: u64 = 64;

/// How long all clients may take to connect for the first time, or the server to start.
const PREPARE_WITHIN: Duration = Duration::from_secs(60);

/// Storms one policy after another.
pub(super) fn run(args: &Args, seed: u64) -> anyhow::Result<Vec<Outcome>> {
    let program = program(args.bin.as_deref())?;
    let room = descriptors()?.saturating_sub(SPARE);
    let clients = args.clients().get();
    if u64::from(clients) > room {
        bail!(
            "{clients} clients need as many descriptors, and there are {room}: use fewer clients"
        );
    }
    let policies = args.policies();
    if let Some(policy) = policies.iter().find(|policy| !policy.is_of_real_clients()) {
        bail!("no client of --real waits like that: simulate `{policy}`, without it");
    }
    let mut outcomes = Vec::new();
    let all = [Security::Plain, Security::Full, Security::Tickets].map(Some);
    let securities = if args.tls { &all[..] } else { &[None] };
    for policy in policies {
        for &security in securities {
            let place = Place::new(program.clone(), seed, security)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            outcomes.push(runtime.block_on(storm(args, policy, seed, &place))?);
        }
    }
    Ok(outcomes)
}

/// Where a server runs, and how its clients connect.
struct Place {
    program: PathBuf,
    address: SocketAddr,
    /// With `--tls`.
    security: Option<Security>,
    identity: Option<Identity>,
    /// Of the clients.
    tls: Option<SharedClientTls>,
}

impl Place {
    fn new(program: PathBuf, seed: u64, security: Option<Security>) -> anyhow::Result<Self> {
        let address = free_address(seed)?;
        let mut place = Self { program, address, security, identity: None, tls: None };
        if matches!(security, Some(Security::Full | Security::Tickets)) {
            let identity = Identity::new()?;
            let tls = ClientTls::new().roots(identity.certificate()).server_name(NAME);
            place.tls = Some(tls.load()?);
            // Drawn for this storm, so that the server's next process has them too.
            let mut draws = fastrand::Rng::with_seed(seed);
            let key: String = (0..64).map(|_| draws.digit(16)).collect();
            if security == Some(Security::Tickets) {
                fs::write(place.keys(&identity), key)?;
            }
            place.identity = Some(identity);
        }
        Ok(place)
    }

    /// The file with the keys of session tickets.
    fn keys(&self, identity: &Identity) -> PathBuf {
        if self.security == Some(Security::Tickets) {
            identity.key().with_file_name("tickets.keys")
        } else {
            PathBuf::from("off")
        }
    }

    fn serve(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--format", "json", "--listen", &self.address.to_string()]);
        if let Some(identity) = &self.identity {
            command.arg("--tls-cert").arg(identity.certificate());
            command.arg("--tls-key").arg(identity.key());
            command.arg("--tls-ticket-keys").arg(self.keys(identity));
        }
        command
    }

    fn connect(&self) -> ClientConfig {
        let config = ClientConfig::new(self.address.to_string());
        match &self.tls {
            Some(tls) => config.tls(tls.clone()),
            None => config,
        }
    }
}

async fn storm(args: &Args, policy: Policy, seed: u64, place: &Place) -> anyhow::Result<Outcome> {
    let server = Serve::start(place.serve()).await?;
    let clients = args.clients().get();
    let tally = Arc::new(Mutex::new(Tally::new(Outcome::new(policy, clients, args.real_watch()))));
    let (online, mut is_online) = watch::channel(0_u32);
    let mut seeds = fastrand::Rng::with_seed(seed);
    let mut handles = Vec::new();
    for _ in 0..clients {
        let config = place
            .connect()
            .connect_timeout(args.timeout)
            .handshake_timeout(args.timeout)
            .reconnect(Reconnect::new(policy.backoff_policy()).seed(seeds.u64(..)));
        let (client, events) = Client::start(config);
        handles.push(client);
        tokio::spawn(follow(events, Arc::clone(&tally), online.clone()));
    }
    timeout(PREPARE_WITHIN, is_online.wait_for(|&online| online == clients)).await.with_context(
        || format!("not all of {clients} clients could connect before the storm"),
    )??;

    let lost_at = Instant::now();
    lock(&tally).phase = Phase::Down;
    // Only a server that sends BYE can say when to reconnect.
    server.stop(if policy == Policy::Hint { Signal::TERM } else { Signal::KILL })?;
    timeout(PREPARE_WITHIN, is_online.wait_for(|&online| online == 0))
        .await
        .context("not all clients noticed that the server has gone")??;
    sleep(args.outage.saturating_sub(lost_at.elapsed())).await;
    drop(server);
    let server = Serve::start(place.serve()).await?;
    let used_before = server.cpu()?;
    let back_at = Instant::now();
    lock(&tally).phase = Phase::Up(back_at);
    output::say(format_args!(
        "{policy}: {clients} clients, down for {:.1} s",
        back_at.saturating_duration_since(lost_at).as_secs_f64()
    ));
    let all_back = is_online.wait_for(|&online| online == clients);
    let is_late = timeout(args.real_watch(), all_back).await.is_err();
    let cpu = server.cpu()?.saturating_sub(used_before);

    let mut outcome = lock(&tally).end();
    outcome.close(lost_at.elapsed());
    anyhow::ensure!(is_late || outcome.is_over(), "a client came back and was lost again");
    if let Some(security) = place.security {
        let stopped = server.leave().await?;
        let count = |name| stopped.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (handshakes, with_ticket) = (count("tls_handshakes"), count("tls_tickets"));
        outcome.cost = Some(Cost { security, cpu, handshakes, with_ticket });
    }
    Ok(outcome)
}

/// Records a client's events.
async fn follow(
    mut events: heartwire::client::Events,
    tally: Arc<Mutex<Tally>>,
    online: watch::Sender<u32>,
) {
    while let Some(event) = events.recv().await {
        lock(&tally).note(&event);
        if matches!(event, Event::Online { .. }) {
            online.send_modify(|online| *online += 1);
        } else if matches!(event, Event::Offline { .. }) {
            online.send_modify(|online| *online -= 1);
        }
    }
}

/// The events of all clients.
struct Tally {
    outcome: Outcome,
    attempts: PerSecond,
    phase: Phase,
}

/// How far the storm is.
#[derive(Clone, Copy)]
enum Phase {
    /// The clients connect for the first time.
    Before,
    Down,
    /// The server is back since then.
    Up(Instant),
    Over,
}

impl Tally {
    fn new(outcome: Outcome) -> Self {
        Self { outcome, attempts: PerSecond::default(), phase: Phase::Before }
    }

    /// What was seen; nothing more is counted.
    fn end(&mut self) -> Outcome {
        self.phase = Phase::Over;
        let mut outcome = self.outcome.clone();
        outcome.peak = self.attempts.peak();
        outcome
    }

    fn note(&mut self, event: &Event) {
        let back_at = match self.phase {
            Phase::Before | Phase::Over => return,
            Phase::Down => None,
            Phase::Up(at) => Some(at),
        };
        let Outcome { attempts, refused, failed, back, .. } = &mut self.outcome;
        match (event, back_at) {
            (Event::Connecting { .. }, back_at) => {
                *attempts += 1;
                if let Some(at) = back_at {
                    let nanos = at.elapsed().as_nanos();
                    self.attempts.count(u64::try_from(nanos).unwrap_or(u64::MAX));
                }
            }
            (Event::Failed { .. }, None) => *refused += 1,
            (Event::Failed { .. }, Some(_)) => *failed += 1,
            // Between its start and `listening`, from which times count.
            (Event::Online { .. }, None) => back.push(Duration::ZERO),
            (Event::Online { .. }, Some(at)) => back.push(at.elapsed()),
            (_, _) => {}
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server process. It is killed when this is dropped, or when this process ends.
struct Serve {
    child: Child,
    /// Its last event.
    stopped: oneshot::Receiver<Option<Value>>,
}

impl Serve {
    /// Returns when it listens.
    async fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = tied(without_settings(&mut command))?
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let output = child.stdout.take().map(BufReader::new);
        let (tell_listens, listens) = oneshot::channel();
        let (tell_stopped, stopped) = oneshot::channel();
        // It is killed if the rest fails.
        let this = Self { child, stopped };
        let output = output.context("no output")?;
        thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            let listens = lines.any(|line| line.contains("\"event\":\"listening\""));
            let _ = tell_listens.send(listens);
            // The server would block if its output was not read.
            let stopped = lines.find(|line| line.contains("\"event\":\"stopped\""));
            let _ = tell_stopped.send(stopped.and_then(|line| serde_json::from_str(&line).ok()));
        });
        let listens =
            timeout(PREPARE_WITHIN, listens).await.context("the server does not start")?;
        anyhow::ensure!(listens?, "the server ended instead of listening");
        Ok(this)
    }

    /// The time that it has had on a processor.
    fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Duration::from_nanos(Usage::of(self.child.id())?.cpu_ns))
    }

    /// Asks it to leave, and returns what it has counted.
    async fn leave(mut self) -> anyhow::Result<Value> {
        self.stop(Signal::TERM)?;
        let stopped = timeout(PREPARE_WITHIN, &mut self.stopped).await;
        let stopped = stopped.context("the server does not stop")??;
        stopped.context("the server tells nothing when it stops")
    }

    fn stop(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("cannot stop the server")
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address(seed: u64) -> anyhow::Result<SocketAddr> {
    let mut draws = fastrand::Rng::with_seed(seed);
    for _ in 0..100 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, draws.u16(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no free port from {} to {}", PORTS.start, PORTS.end)
}
