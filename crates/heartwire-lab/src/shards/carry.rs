//! How much more load several shards carry than one.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::sync::{Barrier, BarrierWaitResult};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use super::server::Server;
use crate::bench::{Load, Schedule, Speech, Spread, middle, ratio};
use crate::output::say;
use crate::process::Usage;

/// The load of each shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) connections: u32,
    pub(super) interval: Duration,
    pub(super) time: Duration,
    pub(super) rounds: u16,
}

const TIMEOUT: Duration = Duration::from_secs(15);

/// One shard and several, each with the same load: medians.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Carried {
    /// Each shard, and each thread that plays clients, has a processor to itself.
    pub(super) pinned: bool,
    pub(super) one: Cost,
    pub(super) several: Cost,
    /// What several shards carry, in loads of one: their number, times what a beat costs one shard
    /// by what it costs several.
    pub(super) times: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cost {
    pub(super) beats_per_s: f64,
    pub(super) beat_cpu_us: f64,
    pub(super) wakeups_per_beat: f64,
}

pub(super) fn measure(bin: Option<&Path>, shards: u16, plan: Plan) -> anyhow::Result<Carried> {
    let processors = Processors::all()?;
    let pinned = processors.0.len() >= 2 * usize::from(shards);
    let mut runs = [Vec::new(), Vec::new()];
    for round in 1..=plan.rounds {
        for (number, runs) in [1, shards].into_iter().zip(&mut runs) {
            say(format_args!("round {round} of {}: {number} shards", plan.rounds));
            runs.push(run(bin, number, plan, pinned.then_some(&processors))?);
        }
    }
    let [one, several] = runs.map(|runs| median(&runs));
    let times = f64::from(shards) * one.beat_cpu_us / several.beat_cpu_us;
    Ok(Carried { pinned, one, several, times })
}

/// Each figure's median.
fn median(runs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| middle(runs.iter().map(figure).collect());
    Cost {
        beats_per_s: of(|run| run.beats_per_s),
        beat_cpu_us: of(|run| run.beat_cpu_us),
        wakeups_per_beat: of(|run| run.wakeups_per_beat),
    }
}

/// One server, and a thread for each shard that plays its share of the clients.
fn run(
    bin: Option<&Path>,
    shards: u16,
    plan: Plan,
    processors: Option<&Processors>,
) -> anyhow::Result<Cost> {
    let server = Server::start(bin, shards, TIMEOUT)?;
    if let Some(processors) = processors {
        processors.pin_process(server.pid(), shards)?;
    }
    // All have connected; the first interval has passed.
    let connected = Barrier::new(usize::from(shards) + 1);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..shards)
            .map(|index| {
                let (connected, target) = (&connected, server.target);
                scope.spawn(move || -> anyhow::Result<u64> {
                    let load = processors
                        .map_or(Ok(()), |processors| processors.pin_clients(shards, index))
                        .and_then(|()| connect(target, plan.connections));
                    // Also if that failed, or the others would wait.
                    let _: BarrierWaitResult = connected.wait();
                    let (mut load, start) = (load?, Instant::now());
                    let mut schedule = Schedule::new(plan.connections, plan.interval, Spread::Even);
                    load.send_beats(&mut schedule, start, plan.interval, |_| ())?;
                    let end = plan.interval + plan.time;
                    Ok(load.send_beats(&mut schedule, start, end, |_| ())?.sent)
                })
            })
            .collect();
        let _: BarrierWaitResult = connected.wait();
        thread::sleep(plan.interval);
        let (before, began) = (Usage::of(server.pid())?, Instant::now());
        thread::sleep(plan.time);
        let (used, time) = (Usage::of(server.pid())? - before, began.elapsed());
        let mut beats = 0;
        for client in clients {
            beats += client.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(Cost {
            beats_per_s: ratio(beats, 1) / time.as_secs_f64(),
            beat_cpu_us: ratio(used.cpu_ns, beats) / 1e3,
            wakeups_per_beat: ratio(used.wakeups, beats),
        })
    })
}

fn connect(target: core::net::SocketAddr, connections: u32) -> anyhow::Result<Load> {
    let mut load = Load::new(target, Speech::v0(), None)?;
    for _ in 0..connections {
        load.connect()?;
    }
    Ok(load)
}

/// The processors that this process may use.
#[derive(Debug)]
struct Processors(Vec<usize>);

impl Processors {
    fn all() -> anyhow::Result<Self> {
        let set = sched_getaffinity(None)?;
        Ok(Self((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()))
    }

    fn set(&self, from: usize, count: usize) -> CpuSet {
        let mut set = CpuSet::new();
        self.0.iter().skip(from).take(count).for_each(|&cpu| set.set(cpu));
        set
    }

    /// A server's threads share as many processors as it has shards: the first ones.
    fn pin_process(&self, pid: u32, shards: u16) -> anyhow::Result<()> {
        let set = self.set(0, shards.into());
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = task?.file_name();
            let thread = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            sched_setaffinity(Some(thread.context("a thread's number")?), &set)?;
        }
        Ok(())
    }

    /// The calling thread, which plays clients, has one to itself.
    fn pin_clients(&self, shards: u16, index: u16) -> anyhow::Result<()> {
        Ok(sched_setaffinity(None, &self.set((shards + index).into(), 1))?)
    }
}
