//! Runs very many seeds, on all processors.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use super::breach::Failure;
use super::planned::all_faults;
use super::seed::{SeedSummary, run_seed};
use super::tally::Plans;
use super::world::Summary;

/// Seeds that a thread takes at a time.
const CHUNK: u64 = 64;

/// Number of failures after which the run stops.
const MAX_FAILURES: usize = 20;

/// The protocols that plans are made for, by name.
const PROTOCOLS: [&str; 2] = ["v0", "v1"];

/// The results of many seeds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Seeds that broke no promise.
    pub seeds: u64,
    /// The sum of their lives' results.
    pub lives: Summary,
    /// Plans that were right, by the names of the fault and of the protocol.
    pub plans: BTreeMap<(&'static str, &'static str), Plans>,
    /// How often beats measured a round trip correctly.
    pub round_trips: u64,
    /// The failures, in the order of their seeds: at most 20, or a few more.
    pub failures: Vec<Failure>,
}

/// Runs all seeds of a range on `threads` threads; `watchdog` is called now and then with the
/// number done.
pub fn run_many(seeds: Range<u64>, jobs: usize, progress: impl Fn(u64) + Sync) -> Totals {
    let next = AtomicU64::new(seeds.start);
    let done = AtomicU64::new(0);
    let is_enough = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let from = next.fetch_add(CHUNK, Relaxed);
                    if from >= seeds.end || is_enough.load(Relaxed) {
                        return;
                    }
                    let chunk = from..seeds.end.min(from + CHUNK);
                    let len = chunk.end - chunk.start;
                    let found = run_chunk(chunk);
                    let Ok(mut totals) = totals.lock() else { return };
                    totals.add(found);
                    is_enough.store(totals.failures.len() >= MAX_FAILURES, Relaxed);
                    drop(totals);
                    progress(done.fetch_add(len, Relaxed) + len);
                }
            });
        }
    });
    let mut totals = totals.into_inner().unwrap_or_default();
    totals.failures.sort_by_key(|failure| failure.seed);
    totals
}

fn run_chunk(seeds: Range<u64>) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        match run_seed(seed) {
            Ok(summary) => totals.count(&summary),
            Err(failure) => totals.failures.push(failure),
        }
    }
    totals
}

impl Totals {
    fn count(&mut self, summary: &SeedSummary) {
        self.seeds += 1;
        self.lives.add(&summary.life);
        self.round_trips += summary.round_trips;
        if let Some(held) = summary.plan {
            let [v0, v1] = PROTOCOLS;
            let protocol = if held.is_v1 { v1 } else { v0 };
            self.plans.entry((held.fault.name(), protocol)).or_default().add(&held.plans);
        }
    }

    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.lives.add(&other.lives);
        self.round_trips += other.round_trips;
        for (key, plans) in other.plans {
            self.plans.entry(key).or_default().add(&plans);
        }
        self.failures.extend(other.failures);
    }

    /// Troubles, ends and plans that never occurred.
    #[must_use]
    pub fn never_happened(&self) -> Vec<String> {
        let Summary { mishaps, ends, .. } = &self.lives;
        let counted = mishaps.iter().chain(ends.iter()).map(|(name, count)| (name.into(), count));
        let pairs =
            all_faults().into_iter().flat_map(|fault| PROTOCOLS.map(|protocol| (fault, protocol)));
        let planned = pairs.map(|(fault, protocol)| {
            let plans = self.plans.get(&(fault.name(), protocol)).copied().unwrap_or_default();
            (format!("a plan for {} on {protocol}", fault.name()), plans.found + plans.never)
        });
        let told = ("a round trip told".to_owned(), self.round_trips);
        let all = counted.chain(planned).chain([told]);
        all.filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }
}
