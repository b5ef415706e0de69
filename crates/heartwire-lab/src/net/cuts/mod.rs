//! `cuts`: sessions that are cut off again and again while both ends send, and must lose nothing.
//!
//! A client and a server of the library run in two namespaces with a router between them. Both send
//! pseudo-random frames of mixed sizes at once, in sessions that can be resumed. Each cut comes at
//! a random moment of its share of the data, and the next one when all sessions are back and have
//! that. In the end each end must have got every frame that the other one has sent, once and in
//! order.

mod args;
mod client;
mod end;
mod kind;
mod report;
mod server;
mod stream;

use core::time::Duration;
use std::fs;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use heartwire::Policy;
use heartwire_core::Side;
use heartwire_plan::{End, Plan, Resume, Setup};
use tempfile::TempDir;

pub use self::args::Args;
pub(super) use self::end::{Args as EndArgs, lines, print, run as run_end};
pub(super) use self::kind::Kind;
use self::kind::outage;
use self::report::{Cut, Report};
use super::missing;
use super::namespace::{Maker, this_program};
use super::program::{Program, Telling, Told};
use super::run::{Progress, random_seed};
use super::stop::Stop;
use super::topology::Topology;
use crate::output::say;
use crate::process::Usage;

/// How long both ends may take to start, or to send what they may once all sessions are back.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest round trip: the router's queues hold 50 ms each way.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// The server's.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs it.
///
/// # Errors
///
/// When it cannot run, and says what is missing.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let maker = Maker::this()?;
    missing::nothing(maker)?;
    let stop = Stop::begin()?;
    let seed = args.seed.unwrap_or_else(random_seed);
    say(format_args!("seed {seed}"));
    let report = match Trial::start(args, seed, maker, &stop).and_then(|trial| trial.run(args)) {
        Err(_) if stop.is_asked() => return Ok(Stop::exit()),
        outcome => outcome?,
    };
    report.print(args.format)?;
    Ok(if report.faults().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Both ends with their sessions. Dropping it ends them, then removes the namespaces.
struct Trial {
    client: Program,
    server: Program,
    telling: Telling,
    topology: Topology,
    _files: Option<TempDir>,
    seed: u64,
}

impl Trial {
    /// Returns when all sessions have begun.
    fn start(args: &Args, seed: u64, maker: Maker, stop: &Stop) -> anyhow::Result<Self> {
        let topology = Topology::make(maker, 0, None)?;
        Kind::prepare(&topology)?;
        topology.limit_rate(&args.rate)?;
        let files = (!args.plain).then(certificate).transpose()?;
        let end = EndArgs {
            end: end::End::Server,
            sessions: args.sessions,
            bytes: args.bytes / u64::from(args.sessions),
            seed,
            interval: args.interval,
            timeout: args.timeout,
            handshake: args.handshake,
            tls: files.as_ref().map(|files| files.path().to_owned()),
            window: (!args.no_resume).then_some(args.window),
            grace: args.grace,
        };
        let (tell, told) = mpsc::channel();
        let mut telling = Telling::new(told, stop.clone());
        let start = |namespace, side| {
            let args = end.typed(side);
            Program::part(side, namespace, &this_program()?, "cut", &args, &tell)
        };
        let server = start(&topology.server, Side::Server)?;
        telling.expect(Side::Server, "listening", PATIENCE).with_context(|| server.complaints())?;
        let client = start(&topology.client, Side::Client)?;
        let mut this = Self { client, server, telling, topology, _files: files, seed };
        let all = u64::from(args.sessions);
        this.wait(PATIENCE, "all sessions begin", |[client, server]| {
            client.count("online") >= all && server.count("online") >= all
        })?;
        Ok(this)
    }

    fn run(mut self, args: &Args) -> anyhow::Result<Report> {
        let began = Instant::now();
        let sessions = u64::from(args.sessions);
        let kinds = args.kinds();
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut progress = Progress::new("cuts", usize::try_from(args.cuts)?);
        let mut cuts = Vec::new();
        let mut stuck = None;
        // Without resume something never arrives, and more is to be seen by going on.
        let patience = if args.no_resume { Duration::from_secs(1) } else { PATIENCE };
        for (number, &kind) in (0..args.cuts).zip(kinds.iter().cycle()) {
            let share = args.bytes / sessions * u64::from(number + 1) / u64::from(args.cuts);
            self.client.type_line(&share.to_string())?;
            self.telling.listen_for(args.within.mul_f64(rng.f64()))?;
            let [before, _] = self.counts();
            let away = before.count("away") + sessions;
            let mut used = self.usage()?;
            let mut from = kind.make(&self.topology, number)?;
            if kind.is_outage() {
                self.telling.listen_for(outage(args.timeout, &mut rng))?;
                used = self.usage()?;
                from = kind.heal(&self.topology)?;
            }
            let [before, _] = self.counts();
            let all_back = self.wait(args.grace, "all sessions are back", |[client, _]| {
                client.count("away") >= away && client.count("back") == client.count("away")
            });
            progress.step(all_back.is_err());
            if all_back.is_err() {
                stuck = all_back.err();
                break;
            }
            let [client, _] = self.counts();
            let at = SystemTime::UNIX_EPOCH + Duration::from_micros(client.count("back_at"));
            cuts.push(Cut {
                kind,
                back_after: at.duration_since(from).unwrap_or_default(),
                failed: client.count("failed").saturating_sub(before.count("failed")),
                usage: self.usage()? - used,
            });
            let arrived = self.wait(patience, "what was sent arrives", |ends| {
                ends.iter().all(|end| end.count("got_bytes") >= share * sessions)
            });
            if !args.no_resume && arrived.is_err() {
                stuck = arrived.err();
                break;
            }
        }
        let everything = self.wait(patience, "everything arrives", |[client, server]| {
            client.count("got_frames") >= server.count("sent_frames")
                && server.count("got_frames") >= client.count("sent_frames")
        });
        stuck = stuck.or(everything.err());
        self.client.end_input();
        let client = self.done(Side::Client)?;
        self.server.end_input();
        let server = self.done(Side::Server)?;
        Ok(Report {
            seed: self.seed,
            args: args.clone(),
            plan: plan(args)?,
            cuts,
            client,
            server,
            stuck: stuck.map(|error| format!("{error:#}")),
            took: began.elapsed(),
        })
    }

    /// How much processor time both ends have used.
    fn usage(&self) -> anyhow::Result<Usage> {
        Ok(Usage::of(self.client.pid())? + Usage::of(self.server.pid())?)
    }

    /// The last counts of the client and of the server.
    fn counts(&mut self) -> [Told; 2] {
        let so_far = core::mem::take(&mut self.telling.so_far);
        let latest = latest(&so_far);
        // The earlier ones are of no use.
        self.telling.so_far = latest.to_vec();
        latest
    }

    fn wait(
        &mut self,
        within: Duration,
        what: &str,
        done: impl Fn([&Told; 2]) -> bool,
    ) -> anyhow::Result<()> {
        self.counts();
        let is_done = self.telling.listen_until(Instant::now() + within, |told| {
            let [client, server] = latest(told);
            done([&client, &server]) || told.iter().any(is_wrong)
        })?;
        if let Some(told) = self.telling.so_far.iter().find(|told| is_wrong(told)) {
            let (client, server) = (self.client.complaints(), self.server.complaints());
            bail!("the {:?} is {}: {}{client}{server}", told.side, told.event, told.text("why"));
        }
        ensure!(is_done, "not within {within:?}: {what}");
        Ok(())
    }

    /// The last words of an end.
    fn done(&mut self, side: Side) -> anyhow::Result<Told> {
        self.telling.expect(side, "done", PATIENCE)?;
        let mut so_far = self.telling.so_far.iter();
        so_far.rfind(|told| told.side == side && told.event == "done").cloned().context("no end")
    }
}

/// The plan of these sessions.
fn plan(args: &Args) -> anyhow::Result<Plan> {
    let policy = Policy::builder().interval(args.interval).timeout(args.timeout).build()?;
    let resume = Resume::new(args.grace).sessions(args.sessions.into()).drain(DRAIN);
    let setup = Setup::new(End::new(policy), End::new(policy)).rtt(ROUND_TRIP);
    Ok(setup.resume(Some(resume)).plan()?)
}

/// A folder with a self-signed certificate for localhost and its key.
pub(super) fn certificate() -> anyhow::Result<TempDir> {
    let files = TempDir::new().context("no folder for a certificate")?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(files.path().join("cert.pem"), made.cert.pem())?;
    fs::write(files.path().join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(files)
}

/// The last counts of the client and of the server.
fn latest(told: &[Told]) -> [Told; 2] {
    [Side::Client, Side::Server].map(|side| {
        let of_side = |told: &&Told| told.side == side && told.event == "count";
        told.iter().rfind(of_side).cloned().unwrap_or_else(|| Told::nothing(side))
    })
}

/// Whether an end reports a fault of its own, or has ended.
fn is_wrong(told: &Told) -> bool {
    matches!(told.event.as_str(), "refused" | "lagged" | "ended")
}
