//! What shards share, counted: cache lines and system calls, while clients send beats.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::server::Server;
use super::trace::{Shared, Trace};
use crate::bench::{Load, Schedule, Speech, Spread};
use crate::output::say;

/// Few, because each instruction takes valgrind a hundred times as long.
const CLIENTS: u32 = 60;
const INTERVAL: Duration = Duration::from_secs(1);
/// In this time each deadline comes a few times.
const TIMEOUT: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(8);
const COUNT: Duration = Duration::from_secs(30);

/// Calls that are none outside valgrind, which hides the kernel's fast way to the clock.
const NO_CALLS: [&str; 1] = ["clock_gettime"];

/// The counts of one kind of client.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Counts {
    pub(super) clients: &'static str,
    pub(super) beats: u64,
    /// System calls of all shards per beat, by name.
    pub(super) calls: BTreeMap<String, f64>,
    /// Cache lines that one shard alone wrote.
    pub(super) own_lines: usize,
    /// Cache lines that one shard wrote and another one touched.
    pub(super) shared_lines: usize,
    /// Accesses to those per beat.
    pub(super) shared_accesses: f64,
    /// The busiest of those, with an instruction of each shard that used it.
    pub(super) shared: Vec<String>,
}

pub(super) fn count(bin: Option<&Path>, shards: u16) -> anyhow::Result<Vec<Counts>> {
    let both_ways = Speech::v1(INTERVAL, Some(TIMEOUT), false)?;
    [("protocol v0", Speech::v0()), ("protocol v1, both ends send beats", both_ways)]
        .map(|(clients, speech)| count_one(bin, shards, clients, speech))
        .into_iter()
        .collect()
}

fn count_one(
    bin: Option<&Path>,
    shards: u16,
    clients: &'static str,
    speech: Speech,
) -> anyhow::Result<Counts> {
    say(format_args!("tracing {shards} shards with valgrind: {clients}"));
    let trace = Arc::new(Mutex::new(Trace::default()));
    let reader = Arc::clone(&trace);
    let server = Server::start_traced(bin, shards, TIMEOUT, |stderr| {
        thread::Builder::new().name("trace".to_owned()).spawn(move || {
            for line in BufReader::with_capacity(1 << 20, stderr).lines() {
                let Ok(line) = line else { continue };
                lock(&reader).take(&line);
            }
        })?;
        Ok(())
    })?;
    let mut load = Load::new(server.target, speech, None)?;
    for _ in 0..CLIENTS {
        load.connect()?;
    }
    let mut schedule = Schedule::new(CLIENTS, INTERVAL, Spread::Even);
    let start = Instant::now();
    load.send_beats(&mut schedule, start, SETTLE, |_| ())?;
    lock(&trace).counts = true;
    let beats = load.send_beats(&mut schedule, start, SETTLE + COUNT, |_| ())?.sent;
    lock(&trace).counts = false;
    anyhow::ensure!(
        load.open() == usize::try_from(CLIENTS)?,
        "the server closed connections: this machine is too busy to run it under valgrind"
    );
    drop(server);
    Ok(Counts::of(&lock(&trace), clients, beats))
}

impl Counts {
    fn of(trace: &Trace, clients: &'static str, beats: u64) -> Self {
        let shards = trace.shards();
        let per_beat = |count: u64| crate::bench::ratio(count, beats);
        let calls = trace.calls(&shards).into_iter();
        let calls = calls.filter(|(name, _)| !NO_CALLS.contains(&name.as_str()));
        let shared = trace.shared(&shards);
        Self {
            clients,
            beats,
            calls: calls.map(|(name, count)| (name, per_beat(count))).collect(),
            own_lines: trace.alone(&shards),
            shared_lines: shared.len(),
            shared_accesses: per_beat(shared.iter().map(Shared::accesses).sum()),
            shared: shared.iter().take(10).map(describe).collect(),
        }
    }
}

fn describe(line: &Shared) -> String {
    let by = line.by.iter().map(|(_, by)| {
        format!("{} reads and {} writes, the last at {:#x}", by.reads, by.writes, by.at)
    });
    format!("{:#x}: {}", line.address, by.collect::<Vec<_>>().join("; "))
}

/// Ignores poisoning: nothing that runs under the lock panics.
fn lock(trace: &Mutex<Trace>) -> MutexGuard<'_, Trace> {
    trace.lock().unwrap_or_else(PoisonError::into_inner)
}
