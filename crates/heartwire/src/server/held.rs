//! How much a server holds, against its limits.

use super::descriptors;
use super::handle::Handle;
use super::stats::ShardCounters;

/// What a server holds and how much it may, see [`Handle::held`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Bytes buffered for sessions with a connection
    /// ([`max_buffered`](super::limits::Limits::max_buffered)).
    pub bytes: Level,
    /// Those of them for pending clients
    /// ([`max_pending_buffered`](super::limits::Limits::max_pending_buffered)).
    pub pending_bytes: Level,
    /// Bytes kept for sessions that are away ([`max_replay`](super::Resume::max_replay)).
    pub away_bytes: Level,
    /// Pending clients ([`max_pending`](super::limits::Admission::max_pending)).
    pub pending: Level,
    /// Sessions with a connection, pending clients included
    /// ([`max_sessions`](super::limits::Admission::max_sessions)).
    pub sessions: Level,
    /// Sessions that are away, as many as may have a connection.
    pub away: Level,
    /// File descriptors of this process; `None` where the system does not count them (Linux does
    /// from 6.2 on).
    pub descriptors: Option<Level>,
}

/// How much there is of something that has a maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// How much is in use.
    pub used: usize,
    /// The maximum.
    pub max: usize,
    /// How full it is, in thousandths. Where each shard has an equal share of the maximum, how full
    /// the fullest share is: that runs out first.
    pub fullest: u16,
}

impl Level {
    fn new(used: usize, max: usize) -> Self {
        Self { used, max, fullest: permille(used, max) }
    }

    /// Of all shards, each of which has an equal share of `max` and uses so much of its own.
    fn shared(used: impl Iterator<Item = usize> + Clone, max: usize) -> Self {
        let share = max / used.clone().count().max(1);
        let fullest = used.clone().map(|used| permille(used, share)).max().unwrap_or(0);
        Self { used: used.sum(), max, fullest }
    }
}

/// 0 if there is nothing and may be nothing.
fn permille(used: usize, max: usize) -> u16 {
    let full =
        used.saturating_mul(1000).checked_div(max).unwrap_or(if used > 0 { 1000 } else { 0 });
    u16::try_from(full).unwrap_or(u16::MAX)
}

impl Handle {
    /// How much the server holds and how much it may, as of each shard's last turn. Asks no shard;
    /// costs a few reads of memory per shard, and a system call for the descriptors.
    #[must_use]
    pub fn held(&self) -> Held {
        let per_shard = self.held_per_shard();
        let shards = self.shards();
        let bytes = |count: fn(&ShardCounters) -> usize, share: usize| {
            Level::shared(shards.iter().map(count), share.saturating_mul(shards.len()))
        };
        let (sessions, away) = (self.places().max(), self.away_count().max());
        Held {
            bytes: bytes(|shard| shard.held().all, per_shard.all.max),
            pending_bytes: bytes(|shard| shard.held().pending, per_shard.pending.max),
            away_bytes: bytes(|shard| shard.held().away, per_shard.away.max),
            pending: Level::shared(
                shards.iter().map(|shard| shard.held().clients),
                self.max_pending().all(),
            ),
            sessions: Level::new(self.count(), sessions),
            away: Level::new(self.away(), away),
            descriptors: descriptors::used().map(|used| Level::new(used, descriptors::most())),
        }
    }
}

#[cfg(test)]
mod tests;
