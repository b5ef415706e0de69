//! Histograms of what a server measures, with fixed buckets. One shard writes each, without a
//! locked instruction, and any thread adds them up.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use heartwire_core::internal::nanos;

/// The buckets, and one for what is over the last edge.
const BUCKETS: usize = Histogram::EDGES.len() + 1;

/// What a server has measured since it started, see
/// [`Handle::histograms`](super::Handle::histograms).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Histograms {
    /// How late each verdict was. (The kernel's own verdicts have no deadline, and are not in it.)
    pub lateness: Histogram,
    /// Round trips of sessions on protocol v1: after each read that brought beats, the one that is
    /// known then (see [`LinkState::rtt`](crate::LinkState::rtt)).
    pub round_trip: Histogram,
    /// Times between arrivals of an online client's bytes. Of beats that waited in the kernel and
    /// were read together only the last one's arrival is known: each counts with their mean.
    pub gap: Histogram,
}

/// A number of durations, in buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Histogram {
    /// The upper edges of the buckets: a duration is counted in the first bucket whose edge it does
    /// not exceed. These do not change between versions.
    pub const EDGES: [Duration; 21] = [
        Duration::from_micros(100),
        Duration::from_micros(200),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(20),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(200),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_secs(2),
        Duration::from_secs(5),
        Duration::from_secs(10),
        Duration::from_secs(20),
        Duration::from_secs(50),
        Duration::from_secs(100),
        Duration::from_secs(200),
        Duration::from_secs(500),
    ];

    /// Each bucket's upper edge and how many durations it has, not counting those of other buckets.
    /// The last one has no edge.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        Self::EDGES.into_iter().map(Some).chain([None]).zip(self.counts)
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// The duration that `permille` of 1,000 do not exceed (500 is the median), estimated as
    /// Prometheus does: as if each bucket's were evenly spread in it, and as the last edge if it is
    /// over that. `None` if none were counted.
    #[must_use]
    pub fn quantile(&self, permille: u16) -> Option<Duration> {
        let count = Some(self.count()).filter(|&count| count > 0)?;
        let rank = (u128::from(count) * u128::from(permille.min(1000))).div_ceil(1000).max(1);
        let (mut below, mut from) = (0, Duration::ZERO);
        for (edge, count) in self.buckets() {
            let (Some(to), count) = (edge, u128::from(count)) else { break };
            if below + count >= rank {
                let part = to.saturating_sub(from).as_nanos() * (rank - below) / count;
                let part = u64::try_from(part).unwrap_or(u64::MAX);
                return Some(from.saturating_add(Duration::from_nanos(part)));
            }
            (below, from) = (below + count, to);
        }
        Some(from)
    }

    fn add(&mut self, cells: &Cells) {
        for (count, cell) in self.counts.iter_mut().zip(&cells.counts) {
            *count += cell.load(Relaxed);
        }
        let sum = Duration::from_nanos(cells.sum_ns.load(Relaxed));
        self.sum = self.sum.saturating_add(sum);
    }
}

/// Without any duration.
impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: Duration::ZERO }
    }
}

/// The histograms of one shard, which alone writes them.
#[derive(Debug, Default)]
pub(super) struct Measured {
    lateness: Cells,
    round_trip: Cells,
    gap: Cells,
}

impl Measured {
    pub(super) fn lateness(&self, late: Duration) {
        self.lateness.count(late, 1);
    }

    pub(super) fn round_trip(&self, rtt: Duration) {
        self.round_trip.count(rtt, 1);
    }

    /// `beats` came within `time`, or other bytes if there were none.
    pub(super) fn gap(&self, time: Duration, beats: u32) {
        let arrivals = beats.max(1);
        self.gap.count(time / arrivals, arrivals.into());
    }

    pub(super) fn read<'a>(shards: impl Iterator<Item = &'a Self>) -> Histograms {
        let mut all = Histograms::default();
        for shard in shards {
            all.lateness.add(&shard.lateness);
            all.round_trip.add(&shard.round_trip);
            all.gap.add(&shard.gap);
        }
        all
    }
}

#[derive(Debug, Default)]
struct Cells {
    counts: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Cells {
    fn count(&self, duration: Duration, times: u64) {
        let bucket = Histogram::EDGES.partition_point(|&edge| edge < duration);
        if let Some(count) = self.counts.get(bucket) {
            add(count, times);
        }
        add(&self.sum_ns, nanos(duration).saturating_mul(times));
    }
}

/// Not `fetch_add`, which locks the cache line: there is one writer.
fn add(cell: &AtomicU64, more: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(more), Relaxed);
}

#[cfg(test)]
mod tests;
