//! Very many runs, on all processors.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Mutex;
use std::thread;

use super::breach::Failure;
use super::world::Summary;

/// Seeds that a thread takes at a time.
const CHUNK: u64 = 64;

/// Failures after which there is no point in looking for more.
const FAILURES_MAX: usize = 20;

/// What many seeds came to. Each is run as a life, and once more with one fault and a plan.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Seeds that broke no promise.
    pub runs: u64,
    /// What their lives came to, together.
    pub sum: Summary,
    /// The others, in the order of their seeds: 20, or a few more, at most.
    pub failures: Vec<Failure>,
}

/// Runs all seeds of a range on so many threads; `progress` hears now and then how many are done.
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
                    is_enough.store(totals.failures.len() >= FAILURES_MAX, Relaxed);
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
        match super::run_seed(seed, None).and_then(|life| super::run_planned(seed).map(|()| life)) {
            Ok(summary) => {
                totals.runs += 1;
                totals.sum.add(&summary);
            }
            Err(failure) => totals.failures.push(failure),
        }
    }
    totals
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.sum.add(&other.sum);
        self.failures.extend(other.failures);
    }
}
