//! One run: connect all, let them settle, measure their beats, freeze them.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::{Context, ensure};
use rustix::process::Signal;

use super::args::{Args, Protocol, Spread};
use super::lateness::{Judgement, judge, nanos};
use super::load::{Beats, Load};
use super::pin::Pin;
use super::progress::Progress;
use super::report::{Exit, Report};
use super::schedule::Schedule;
use super::server::{Contender, Own, Server};
use super::tls::Identity;
use crate::process::{Memory, Usage, accept_queue, accept_queue_max, own_thread_cpu_ns, threads};

/// How many clients wait at most while the server is stopped, and for how long: well below the
/// pause that ours would report and the age of a stale handshake, and long enough to be timed.
const ACCEPT_BURST: u32 = 2000;
const ACCEPT_BURST_WITHIN: Duration = Duration::from_millis(500);
/// How long to wait for an empty accept queue.
const ACCEPT_WITHIN: Duration = Duration::from_secs(20);
/// How many clients connect to a peer before it must have accepted them.
const PEER_BURST: u32 = 64;
/// How long to wait for handshakes.
const HANDSHAKES_WITHIN: Duration = Duration::from_secs(60);
/// How long to wait for the last verdicts, after the longest timeout. mosquitto looks every 5 s.
const FREEZE_GRACE: Duration = Duration::from_secs(8);
/// How long to wait for the server's output, after it has closed the connections.
const OUTPUT_WITHIN: Duration = Duration::from_secs(2);

/// The load.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) connections: u32,
    pub(crate) interval: Duration,
    pub(crate) spread: Spread,
    pub(crate) time: Duration,
    pub(crate) timeout: Duration,
    pub(crate) freeze: bool,
    /// The program of `Contender::Own`; `None` is the one beside this one.
    pub(crate) bin: Option<PathBuf>,
    /// The processors of the server and of the load.
    pub(crate) pin: Option<Pin>,
}

impl Plan {
    /// With `--pin`, this thread is on one processor from now on.
    pub(crate) fn new(args: &Args) -> anyhow::Result<Self> {
        Ok(Self {
            connections: args.connections,
            interval: args.interval,
            spread: args.spread,
            time: args.time,
            timeout: args.timeout,
            freeze: !args.no_freeze,
            bin: args.bin.clone(),
            pin: args.pin.then(Pin::take).transpose()?,
        })
    }
}

/// What a run measured, as raw counts.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) connections: u32,
    pub(super) accepting: Accepting,
    pub(super) beats: Beats,
    /// The server's counters, while the beats were sent.
    pub(super) beating: Usage,
    /// For how long, and how much of that this thread was busy.
    pub(super) time: Duration,
    pub(super) own_cpu_ns: u64,
    /// The server's threads, at the end.
    pub(super) threads: usize,
    /// Bytes that the server sent in that time, to all clients.
    pub(super) received: u64,
    /// How many of them are a beat or an answer.
    pub(super) answer_len: u64,
    pub(super) user_bytes: u64,
    pub(super) kernel_bytes: u64,
    pub(super) judgement: Judgement,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Accepting {
    /// The time in which the server accepted them.
    pub(super) time: Duration,
    pub(super) usage: Usage,
    /// Whether the clients were already waiting, so that the time is the server's alone.
    pub(super) queued: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    ensure!(!args.echo || args.protocol == Protocol::V0, "--echo answers beats of protocol v0");
    let plan = Plan::new(args)?;
    let contender = match (args.server, args.target) {
        (Some(pid), Some(target)) => Contender::Running { pid, target },
        _ => Contender::Own(Own {
            shards: args.threads,
            coalesce: args.coalesce,
            protocol: if args.resume { Protocol::V1 } else { args.protocol },
            both: args.both,
            echo: args.echo,
            tls: args.tls,
            resume: args.resume,
        }),
    };
    let measured = measure(&plan, &contender, Progress::new(String::new()))?;
    let report = Report::new(&plan, &contender, &measured);
    report.print(args.format)?;
    Ok(report.exit())
}

/// Puts the load on a server, from nothing to the last verdict.
pub(super) fn measure(
    plan: &Plan,
    contender: &Contender,
    mut progress: Progress,
) -> anyhow::Result<Measured> {
    let identity = contender.uses_tls().then(Identity::new).transpose()?;
    let server = Server::start(contender, plan, identity.as_ref())?;
    let mut load = Load::new(server.target, contender.speech(plan)?, identity)?;
    let memory_before = Memory::of(server.pid)?;

    let stops = contender.is_stopped_to_accept();
    let accepting = connect_all(&mut load, &server, plan.connections, stops, &mut progress)?;

    progress.phase("one interval to settle");
    let mut schedule = Schedule::new(plan.connections, plan.interval, plan.spread);
    let start = Instant::now();
    load.send_beats(&mut schedule, start, plan.interval, |_| ())?;

    progress.phase(format_args!("measuring beats for {:?}", plan.time));
    let (usage_before, own_before) = (Usage::of(server.pid)?, own_thread_cpu_ns()?);
    let received_before = load.received();
    let measured_at = Instant::now();
    let end = plan.interval.saturating_add(plan.time);
    let beats = load.send_beats(&mut schedule, start, end, |now| {
        let left = end.saturating_sub(now).as_secs();
        progress.update(format_args!("measuring beats, {left} s left"));
    })?;
    let (time, own_cpu_ns) = (measured_at.elapsed(), own_thread_cpu_ns()? - own_before);
    let beating = Usage::of(server.pid).context("the server is gone")? - usage_before;
    let received = load.received() - received_before;
    let memory = Memory::of(server.pid)?;
    let threads = threads(server.pid)?;

    let frozen = plan.freeze && contender.judges();
    let freeze_ns = frozen.then(|| nanos(SystemTime::now()));
    if frozen {
        freeze(&mut load, contender.longest_timeout(plan.timeout), &mut progress)?;
    } else {
        load.look(Duration::ZERO)?;
    }
    let notes = load.notes();
    let verdicts = wait_for_output(&server, contender.is_own().then(|| notes.len() - load.open()));
    Ok(Measured {
        connections: plan.connections,
        accepting,
        beats,
        beating,
        time,
        own_cpu_ns,
        threads,
        received,
        answer_len: load.answer_len(),
        user_bytes: memory.user.saturating_sub(memory_before.user),
        kernel_bytes: memory.slab.saturating_sub(memory_before.slab),
        judgement: judge(&notes, &verdicts, contender.timeout(plan.timeout), freeze_ns)?,
    })
}

/// Connects all clients. A server that `stops` is stopped while some of them connect, so that the
/// time to accept them is the server's alone; for another one only the total is known.
fn connect_all(
    load: &mut Load,
    server: &Server,
    count: u32,
    stops: bool,
    progress: &mut Progress,
) -> anyhow::Result<Accepting> {
    progress.phase(format_args!("connecting {count} clients to {}", server.target));
    let before = Usage::of(server.pid)?;
    let began = Instant::now();
    let queued = stops && server.is_child();
    let burst = if server.is_child() && !stops { PEER_BURST } else { ACCEPT_BURST };
    let burst = burst.min(accept_queue_max() / 2).max(1);
    let mut accepting = Duration::ZERO;
    let mut done = 0;
    while done < count {
        let part = burst.min(count - done);
        if queued {
            server.signal(Signal::STOP)?;
        }
        let stopped = Instant::now();
        let mut waiting = 0;
        while waiting < part && stopped.elapsed() < ACCEPT_BURST_WITHIN {
            load.connect()?;
            waiting += 1;
        }
        done += waiting;
        let resumed = Instant::now();
        if queued {
            server.signal(Signal::CONT)?;
        }
        wait_until_accepted(server.target)?;
        load.finish_handshakes(waiting, HANDSHAKES_WITHIN)?;
        accepting += resumed.elapsed();
        progress.update(format_args!("connecting, {done} of {count}"));
    }
    let time = if queued { accepting } else { began.elapsed() };
    Ok(Accepting { time, usage: Usage::of(server.pid)? - before, queued })
}

fn wait_until_accepted(target: SocketAddr) -> anyhow::Result<()> {
    let began = Instant::now();
    while accept_queue(target)? > 0 {
        ensure!(began.elapsed() < ACCEPT_WITHIN, "the server does not accept");
        // The server may need this processor.
        thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

/// Stops sending, and waits until the server has closed every connection.
fn freeze(load: &mut Load, longest: Duration, progress: &mut Progress) -> anyhow::Result<()> {
    progress.phase(format_args!("all frozen; verdicts within {longest:?}"));
    load.freeze();
    let deadline = Instant::now() + longest + FREEZE_GRACE;
    while load.open() > 0 && Instant::now() < deadline {
        load.look(Duration::from_millis(250))?;
        progress.update(format_args!("all frozen, {} not declared dead yet", load.open()));
    }
    Ok(())
}

/// The server's verdicts, once there are as many as there should be.
pub(crate) fn wait_for_output(
    server: &Server,
    expected: Option<usize>,
) -> Vec<super::lateness::VerdictLine> {
    let began = Instant::now();
    loop {
        let verdicts = server.verdicts();
        if expected.is_none_or(|expected| verdicts.len() >= expected)
            || began.elapsed() >= OUTPUT_WITHIN
        {
            return verdicts;
        }
        thread::sleep(Duration::from_millis(100));
    }
}
