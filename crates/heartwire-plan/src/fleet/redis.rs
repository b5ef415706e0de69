//! What presence costs the Redis behind a fleet.

use core::time::Duration;

/// The Redis servers that presence needs. Presence is of one primary, so a fleet with too many
/// names for one is several that each have their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Redis {
    names: u64,
    nodes: u64,
    memory: u64,
    lasts: Duration,
}

/// Bytes of a name, and of a full stream of changes (measured: docs/presence.md).
const NAME_LEN: u64 = 250;
const STREAM_LEN: u64 = 220_000_000;

/// Names that nodes can announce in a second: 100,000 took 1.5 s with six nodes and Redis on two
/// processors (docs/benchmarks.md).
const ANNOUNCES_PER_S: u64 = 66_000;

/// After what time all names are to be known again that Redis has lost: chosen so that an
/// application can wait for it.
const ANNOUNCED_WITHIN_S: u64 = 60;

/// When the first names of a dead node are told offline at the latest, and how many in a second
/// then, with the default lease (docs/presence.md, "Bounds").
const NODE_LOST: Duration = Duration::from_secs(32);
const OFFLINES_PER_S: u64 = 2_000;

/// A node renews its lease every 5 s, and calls scripts as often again (measured: 0.2 writes and
/// 0.41 calls a second).
const RENEWED_EVERY_S: u64 = 5;

impl Redis {
    /// For so many names on so many nodes, on servers with 8 GiB of which half is kept free, where
    /// a client stays for eight hours.
    pub const fn new(names: u64, nodes: u64) -> Self {
        Self { names, nodes, memory: 8 << 30, lasts: Duration::from_secs(8 * 3600) }
    }

    /// With so many bytes of memory in each Redis.
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// With clients that stay for so long.
    pub const fn lasts(mut self, lasts: Duration) -> Self {
        self.lasts = lasts;
        self
    }

    /// How many Redis servers it takes, each with a part of the names: by their memory, and so that
    /// all names are announced again within a minute after one was emptied.
    #[must_use]
    pub fn servers(&self) -> u64 {
        let for_names = (self.memory / 2).saturating_sub(STREAM_LEN) / NAME_LEN;
        let most = for_names.min(ANNOUNCES_PER_S.saturating_mul(ANNOUNCED_WITHIN_S)).max(1);
        self.names.div_ceil(most).max(1)
    }

    /// Names in each of them.
    #[must_use]
    pub fn names_each(&self) -> u64 {
        self.names.div_ceil(self.servers())
    }

    /// Memory that each of them uses.
    #[must_use]
    pub fn bytes_each(&self) -> u64 {
        self.names_each().saturating_mul(NAME_LEN).saturating_add(STREAM_LEN)
    }

    /// Changes in a second, of all servers together: each client comes once, and goes once.
    #[must_use]
    pub fn changes_per_s(&self) -> u64 {
        let changes = u128::from(self.names).saturating_mul(2_000_000_000);
        let every = self.lasts.as_nanos().max(1);
        u64::try_from(changes.div_ceil(every)).unwrap_or(u64::MAX)
    }

    /// Writes in a second of all servers together, while no client comes or goes: a renewal of each
    /// node every 5 s.
    #[must_use]
    pub fn renewals_per_s(&self) -> u64 {
        self.nodes.div_ceil(RENEWED_EVERY_S)
    }

    /// How many changes a second all servers can take.
    #[must_use]
    pub fn most_changes_per_s(&self) -> u64 {
        self.servers().saturating_mul(ANNOUNCES_PER_S)
    }

    /// How long it takes to announce all names after every Redis was emptied.
    #[must_use]
    pub fn announced(&self) -> Duration {
        Duration::from_secs(self.names_each().div_ceil(ANNOUNCES_PER_S))
    }

    /// When the last of so many names of dead nodes is offline for others, of those that do not
    /// come back to other nodes.
    #[must_use]
    pub fn offline(&self, lost: u64) -> Duration {
        let each = lost.div_ceil(self.servers());
        NODE_LOST.saturating_add(Duration::from_secs(each.div_ceil(OFFLINES_PER_S)))
    }
}
