//! What hooks tell of themselves.

use core::time::Duration;

/// A change in how deliveries go. At most one a second is told, except the first of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookEvent {
    /// Deliveries fail, and are tried again. With Redis another node may go on with them: then it
    /// tells the rest.
    Failing {
        /// How the last one failed.
        error: Box<str>,
    },
    /// Deliveries succeed again.
    Works {
        /// How long they failed.
        failed_for: Duration,
    },
    /// Changes were given up. With Redis they are in the stream `{hw}:dead`.
    DeadLetters {
        /// How many, since this was last told.
        count: u64,
        /// Why the last of them was.
        error: Box<str>,
    },
    /// Changes were lost before they could be delivered: they had been removed from the stream of
    /// changes in Redis, because newer ones needed the room.
    Trimmed {
        /// Changes after this time may be missing: milliseconds since 1970, by the clock of Redis.
        after: u64,
        /// Changes from this time on are not.
        until: u64,
    },
}

/// Counters of hooks, since the start of this node. With Redis one node at a time delivers for all:
/// the others count nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookStatus {
    /// Whether this node delivers. Always true without Redis.
    pub is_active: bool,
    /// Whether deliveries fail at present.
    pub is_failing: bool,
    /// Changes that the receiver has taken.
    pub delivered: u64,
    /// Deliveries that were tried, of up to 100 changes each.
    pub tries: u64,
    /// Those among them that were not the first of their changes.
    pub retries: u64,
    /// Changes that were given up.
    pub dead: u64,
    /// How often changes had been removed from the stream before they were read.
    pub trimmed: u64,
    /// Changes that wait here, or are being delivered.
    pub queued: usize,
    /// How long the oldest of them has waited.
    pub oldest: Option<Duration>,
}
