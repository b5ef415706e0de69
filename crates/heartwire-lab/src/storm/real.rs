//! A storm of real clients on a real server: `heartwire serve` on loopback, killed and started
//! again, and as many of the library's own clients in this process as were asked for.

use core::net::{Ipv4Addr, SocketAddr};
use core::ops::Range;
use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};
use heartwire::client::{Client, ClientConfig, Event, Reconnect};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::args::Args;
use super::outcome::{Outcome, PerSecond};
use super::policy::Policy;
use crate::local::{descriptors, program, without_settings};
use crate::output;

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
    if policies.contains(&Policy::NoJitter) {
        bail!("no real client waits without a draw: simulate `exponential`, without --real");
    }
    let mut outcomes = Vec::new();
    for policy in policies {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        outcomes.push(runtime.block_on(storm(args, policy, seed, &program))?);
    }
    Ok(outcomes)
}

async fn storm(args: &Args, policy: Policy, seed: u64, program: &Path) -> anyhow::Result<Outcome> {
    let address = free_address(seed)?;
    let server = Serve::start(program, address).await?;
    let clients = args.clients().get();
    let tally = Arc::new(Mutex::new(Tally::new(Outcome::new(policy, clients, args.real_watch()))));
    let (online, mut is_online) = watch::channel(0_u32);
    let mut seeds = fastrand::Rng::with_seed(seed);
    let mut handles = Vec::new();
    for _ in 0..clients {
        let config = ClientConfig::new(address.to_string())
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
    let _server = Serve::start(program, address).await?;
    let back_at = Instant::now();
    lock(&tally).phase = Phase::Up(back_at);
    output::say(format_args!(
        "{policy}: {clients} clients, down for {:.1} s",
        back_at.saturating_duration_since(lost_at).as_secs_f64()
    ));
    let all_back = is_online.wait_for(|&online| online == clients);
    let is_late = timeout(args.real_watch(), all_back).await.is_err();

    let mut tally = lock(&tally);
    tally.phase = Phase::Over;
    let mut outcome = tally.outcome.clone();
    outcome.peak = tally.attempts.peak();
    outcome.close(lost_at.elapsed());
    anyhow::ensure!(is_late || outcome.is_over(), "a client came back and was lost again");
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

/// A server process. It is killed when this is dropped.
struct Serve(Child);

impl Serve {
    /// Returns when it listens.
    async fn start(program: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--format", "json", "--listen", &address.to_string()]);
        without_settings(&mut command).stdin(Stdio::null()).stdout(Stdio::piped());
        let spawned = command.spawn();
        let mut this =
            Self(spawned.with_context(|| format!("cannot start {}", program.display()))?);
        let output = BufReader::new(this.0.stdout.take().context("no output")?);
        let (tell, listens) = oneshot::channel();
        thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            let listens = lines.any(|line| line.contains("\"event\":\"listening\""));
            let _ = tell.send(listens);
            // The server would block if its output was not read.
            lines.for_each(drop);
        });
        let listens =
            timeout(PREPARE_WITHIN, listens).await.context("the server does not start")?;
        anyhow::ensure!(listens?, "the server ended instead of listening on {address}");
        Ok(this)
    }

    fn stop(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.0), signal).context("cannot stop the server")
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
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
