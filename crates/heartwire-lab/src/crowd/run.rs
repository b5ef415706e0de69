//! One run: start the pairs, connect all clients, let them settle, measure their beats, freeze a
//! part of them.

use core::time::Duration;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use heartwire::Policy;
use heartwire::server::ServerConfig;

use super::answer::{Answer, Judged, Measured, Order};
use super::args::Args;
use super::pairs::Pairs;
use super::report::Report;
use super::room::{Layout, Machine};
use crate::bench::{Progress, Protocol};
use crate::local::program;
use crate::net::stop::Stop;
use crate::output::say;
use crate::process::slab;

/// How many clients connect in a second at most: half of what two processors do.
const PACE: u32 = 20_000;

/// How long a step may take besides what it waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait for the last verdicts after the timeout and a quarter of it.
const FREEZE_GRACE: Duration = Duration::from_secs(5);

/// The load.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) sessions: u32,
    pub(super) per_process: Option<u32>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) time: Duration,
    pub(super) freeze: u32,
    pub(super) coalesce: Option<u16>,
    pub(super) protocol: Protocol,
    pub(super) threads: u16,
    bin: PathBuf,
}

impl Plan {
    pub(super) fn new(args: &Args, sessions: u32) -> anyhow::Result<Self> {
        let timeout = args.timeout.unwrap_or_else(|| args.interval.mul_f64(2.5));
        Policy::builder().timeout(timeout).peer_interval(args.interval).build()?;
        Ok(Self {
            sessions,
            per_process: args.per_process,
            interval: args.interval,
            timeout,
            time: args.time.unwrap_or(timeout),
            freeze: args.freeze.of(sessions),
            coalesce: args.coalesce,
            protocol: args.protocol,
            threads: args.threads,
            bin: program(args.bin.as_deref())?,
        })
    }

    /// How sessions are divided, if the machine can hold them, and how much memory they take.
    pub(super) fn layout(&self) -> anyhow::Result<(Layout, String)> {
        let machine = Machine::this()?;
        let most = machine.per_process()?;
        let per_process = self.per_process.map_or(most, |asked| asked.min(most));
        let layout = Layout::new(self.sessions, per_process);
        let usual = match self.protocol {
            Protocol::V0 => ServerConfig::COALESCE,
            Protocol::V1 => ServerConfig::COALESCE_V1,
        };
        machine.check(&layout, self.coalesce.unwrap_or(usual))?;
        Ok((layout, machine.memory(&layout)))
    }

    /// Arguments of the clients of one server.
    pub(super) fn typed(&self, pair: u32, sessions: usize) -> Vec<String> {
        let time = |time| humantime::format_duration(time).to_string().replace(' ', "");
        let protocol = self.protocol.to_possible_value();
        let mut typed = vec![
            format!("--pair={pair}"),
            format!("--sessions={sessions}"),
            format!("--interval={}", time(self.interval)),
            format!("--timeout={}", time(self.timeout)),
            format!("--protocol={}", protocol.as_ref().map_or("v0", |value| value.get_name())),
            format!("--threads={}", self.threads),
            format!("--bin={}", self.bin.display()),
        ];
        typed.extend(self.coalesce.map(|beats| format!("--coalesce={beats}")));
        typed
    }
}

/// What a run measured, as the processes said it.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) pairs: u32,
    /// How long connecting took, and the measurement.
    pub(super) connecting: Duration,
    pub(super) time: Duration,
    /// How much the kernel's small objects grew, of both ends.
    pub(super) kernel_bytes: u64,
    pub(super) measured: Vec<Measured>,
    pub(super) judged: Vec<Judged>,
}

/// Runs it, from nothing to the last verdict.
pub(super) fn measure(plan: &Plan, stop: &Stop) -> anyhow::Result<Report> {
    let (layout, memory) = plan.layout()?;
    let Plan { sessions, .. } = *plan;
    say(format_args!("{sessions} sessions take {memory}"));
    let mut progress = Progress::new(String::new());
    progress.phase(format_args!("starting {} servers", layout.pairs));
    let slab_before = slab()?;
    let mut pairs = Pairs::start(plan, &layout, stop)?;
    let is_ready = |answer| matches!(answer, Answer::Ready { .. }).then_some(());
    pairs.collect(PATIENCE, "all servers listen", is_ready, |_| ())?;

    // Over one interval, so that beats are spread evenly over an interval.
    let over = plan.interval.max(Duration::from_secs(1) * sessions / PACE);
    progress.phase(format_args!("connecting {sessions} clients in {:.0} s", over.as_secs_f64()));
    let began = Instant::now();
    pairs.order(|_| Order::Connect { over })?;
    let is_connected = |answer| matches!(answer, Answer::Connected).then_some(());
    pairs.collect(over * 4 + PATIENCE, "all clients connected", is_connected, |now| {
        progress.update(format_args!("connecting, {} of {sessions}", now.connected));
    })?;
    let connecting = began.elapsed();

    progress.phase(format_args!("one interval of {:?} to settle", plan.interval));
    pairs.watch(plan.interval, |_| false)?;

    progress.phase(format_args!("measuring beats for {:?}", plan.time));
    let measured_at = Instant::now();
    pairs.order(|_| Order::Measure)?;
    pairs.watch(plan.time, |now| {
        let left = plan.time.saturating_sub(measured_at.elapsed()).as_secs();
        progress.update(format_args!("measuring beats, {left} s left, {} held", now.open));
        false
    })?;
    let time = measured_at.elapsed();
    let kernel_bytes = slab()?.saturating_sub(slab_before);

    progress.phase(format_args!("{} frozen; verdicts within {:?}", plan.freeze, plan.timeout));
    pairs.order(|pair| {
        let clients = layout.part(plan.freeze, pair).len();
        Order::Freeze { clients: u32::try_from(clients).unwrap_or(u32::MAX) }
    })?;
    let measured = |answer| match answer {
        Answer::Measured(measured) => Some(measured),
        Answer::Ready { .. } | Answer::Now { .. } | Answer::Connected | Answer::Judged(_) => None,
    };
    let measured = pairs.collect(PATIENCE, "what was measured", measured, |_| ())?;
    if plan.freeze > 0 {
        let held: u32 = measured.iter().map(|part| part.open).sum();
        let left = held.saturating_sub(plan.freeze);
        let within = plan.timeout + plan.timeout / 4 + FREEZE_GRACE;
        pairs.watch(within, |now| {
            let silent = now.open.saturating_sub(left);
            progress.update(format_args!("{silent} frozen and not declared dead yet"));
            now.open <= left
        })?;
    }
    progress.phase("comparing verdicts with the clients' last beats");
    pairs.order(|_| Order::Judge)?;
    let judged = |answer| match answer {
        Answer::Judged(judged) => Some(judged),
        Answer::Ready { .. } | Answer::Now { .. } | Answer::Connected | Answer::Measured(_) => None,
    };
    let judged = pairs.collect(PATIENCE, "judgements", judged, |_| ())?;
    let outcome = Outcome { pairs: layout.pairs, connecting, time, kernel_bytes, measured, judged };
    progress.phase("closing all connections");
    drop(pairs);
    drop(progress);
    Report::new(plan, &outcome).context("cannot add up what was measured")
}
