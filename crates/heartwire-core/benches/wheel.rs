//! Time per operation of a timer wheel with 1 thousand, 1 million and 10 million keys.
//!
//! Deadlines lie evenly in the next 30 s, with a tick of 4 ms. In `insert` and `cancel` half of the
//! keys are armed at any time, in `expire` all of them. `expire` includes waking for it:
//! `next_wake`, the polls that find nothing, and the moves from level to level. With a thousand
//! keys each one is woken for on its own, with millions hundreds share a tick, so `expire` gets
//! cheaper.
//!
//! The work per operation does not grow with the population, but the memory does: 16 bytes for each
//! key, 160 MB for 10 million. So the figures are flat where keys come up in the order of the slab,
//! and not where they come up at random, for then each operation waits for main memory; `expire`
//! waits longest, as it follows links that lead anywhere. (A thousand keys
//! fit into L1. `cancel`, which writes to three places, shows that in either order.)
//!
//! Nanoseconds per operation, the middle estimates of one run on two shared cores of an EPYC with 1
//! MiB of L2 each and 32 MiB of L3:
//!
//! | operation | order | 1 k | 1 M | 10 M | 10 M ÷ 1 k |
//! |---|---|---|---|---|---|
//! | insert | sequential | 9 | 9 | 11 | 1.2 |
//! | cancel | sequential | 5 | 11 | 14 | 2.8 |
//! | expire | sequential | 45 | 16 | 19 | 0.4 |
//! | expire and arm again | sequential | 42 | 26 | 22 | 0.5 |
//! | insert | random | 11 | 51 | 67 | 6 |
//! | cancel | random | 5 | 47 | 58 | 11 |
//! | expire | random | 35 | 289 | 645 | 18 |
//! | expire and arm again | random | 53 | 322 | 589 | 11 |

use core::time::Duration;
use std::collections::VecDeque;

use criterion::measurement::{Measurement, WallTime};
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use heartwire_core::Instant;
use heartwire_core::wheel::Wheel;

const SIZES: [u32; 3] = [1_000, 1_000_000, 10_000_000];
const TICK: Duration = Duration::from_millis(4);
const SPAN: Duration = Duration::from_secs(30);
/// Operations between two looks at the clock, so that looking costs them next to nothing. It
/// divides half of each size.
const BATCH: u64 = 250;

/// The order in which keys come up.
#[derive(Clone, Copy)]
enum Order {
    /// Neighbours in the slab come up together, like sessions that were accepted together.
    Sequential,
    /// No key is near the one before it, so a slab that outgrows a cache misses it each time.
    Random,
}

/// A wheel in a steady state.
struct Population {
    wheel: Wheel,
    order: Order,
    rng: fastrand::Rng,
    now: Instant,
    /// The keys that are not armed, those for longest first.
    idle: VecDeque<u32>,
    /// The keys that are armed.
    armed: VecDeque<u32>,
    /// The keys of one batch, and when they expired.
    batch: Vec<(u32, Instant)>,
}

impl Population {
    fn new(size: u32, order: Order) -> Self {
        let now = Instant::from_nanos(0);
        let mut wheel = Wheel::new(TICK);
        // With the largest key the wheel takes all its memory, so that no insert measured does.
        wheel.insert(size - 1, now);
        wheel.remove(size - 1);
        let mut keys: Vec<u32> = (0..size).collect();
        let mut rng = fastrand::Rng::with_seed(1);
        match order {
            Order::Sequential => {}
            Order::Random => rng.shuffle(&mut keys),
        }
        let idle = VecDeque::from(keys);
        Self { wheel, order, rng, now, idle, armed: VecDeque::new(), batch: Vec::new() }
    }

    /// Arms half of the keys for any times.
    fn with_half_armed(mut self) -> Self {
        for _ in 0..self.idle.len() / 2 {
            self.choose_idle();
            self.insert_batch();
        }
        self
    }

    /// Arms all keys, and makes them expire in their order.
    fn with_all_armed(mut self) -> Self {
        let gap = SPAN / u32::try_from(self.idle.len()).unwrap_or(u32::MAX);
        let mut at = self.now;
        for key in self.idle.drain(..) {
            at = at.saturating_add(gap);
            self.wheel.insert(key, at);
        }
        self
    }

    /// Arms some keys and cancels as many. Neither was touched lately, so each is as cold as the
    /// size of the population makes it.
    fn insert_and_cancel(&mut self, count: u64) -> [Duration; 2] {
        (0..count).for_each(|_| self.choose_idle());
        let inserting = timed(|| self.insert_batch());
        (0..count).for_each(|_| self.choose_armed());
        let cancelling = timed(|| self.cancel_batch());
        [inserting, cancelling]
    }

    fn choose_idle(&mut self) {
        let ahead = Duration::from_millis(self.rng.u64(0..30_000));
        let key = self.idle.pop_front();
        self.batch.extend(key.map(|key| (key, self.now.saturating_add(ahead))));
        self.armed.extend(key);
    }

    fn choose_armed(&mut self) {
        let key = match self.order {
            Order::Sequential => self.armed.pop_front(),
            Order::Random => self.armed.swap_remove_back(self.rng.usize(0..self.armed.len())),
        };
        self.batch.extend(key.map(|key| (key, self.now)));
        self.idle.extend(key);
    }

    fn insert_batch(&mut self) {
        for (key, at) in self.batch.drain(..) {
            self.wheel.insert(key, at);
        }
    }

    fn cancel_batch(&mut self) {
        for (key, _) in self.batch.drain(..) {
            assert!(self.wheel.remove(key), "it was armed");
        }
    }

    /// Sleeps from wake to wake until so many keys have expired, and arms them again for a time
    /// that keeps their order. Only the expiring is timed.
    fn expire(&mut self, count: u64) -> Duration {
        let expiring = timed(|| {
            for _ in 0..count {
                let key = self.next_expired();
                self.batch.push((key, self.now.saturating_add(SPAN)));
            }
        });
        self.insert_batch();
        expiring
    }

    /// Arms each key again as soon as it expires, as an application does whose peer was heard
    /// meanwhile.
    fn expire_and_arm_again(&mut self, count: u64) -> Duration {
        timed(|| {
            for _ in 0..count {
                let key = self.next_expired();
                self.wheel.insert(key, self.now.saturating_add(SPAN));
            }
        })
    }

    fn next_expired(&mut self) -> u32 {
        loop {
            if let Some(key) = self.wheel.poll(self.now) {
                return key;
            }
            self.now = self.wheel.next_wake().unwrap_or(self.now);
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = WallTime.start();
    work();
    WallTime.end(start)
}

/// The time that `total` operations take, measured in batches.
fn batched(total: u64, mut batch: impl FnMut(u64) -> Duration) -> Duration {
    let batches = (0..total / BATCH).map(|_| BATCH).chain([total % BATCH]);
    batches.map(&mut batch).sum()
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    order: &str,
    size: u32,
    mut batch: impl FnMut(u64) -> Duration,
) {
    group.bench_function(BenchmarkId::new(order, size), |bencher| {
        bencher.iter_custom(|total| batched(total, &mut batch));
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for (order, name) in [(Order::Sequential, "sequential"), (Order::Random, "random")] {
        for size in SIZES {
            let mut half = Population::new(size, order).with_half_armed();
            let mut group = criterion.benchmark_group("wheel/insert");
            measure(&mut group, name, size, |count| half.insert_and_cancel(count)[0]);
            group.finish();
            let mut group = criterion.benchmark_group("wheel/cancel");
            measure(&mut group, name, size, |count| half.insert_and_cancel(count)[1]);
            group.finish();

            let mut all = Population::new(size, order).with_all_armed();
            let mut group = criterion.benchmark_group("wheel/expire");
            measure(&mut group, name, size, |count| all.expire(count));
            group.finish();
            let mut group = criterion.benchmark_group("wheel/expire and arm again");
            measure(&mut group, name, size, |count| all.expire_and_arm_again(count));
            group.finish();
        }
    }
    criterion.final_summary();
}
