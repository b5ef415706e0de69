//! Counters of a server. None of them is touched per beat.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::reason::Reason;

/// What a server has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Clients that became sessions.
    pub accepted: u64,
    /// Clients that were refused for want of room.
    pub refused: u64,
    /// Sessions that ended because the client closed, between frames.
    pub closed_by_peer: u64,
    /// Sessions that ended because the client closed in the middle of a frame.
    pub truncated: u64,
    /// Sessions that ended with a reset.
    pub reset: u64,
    /// Sessions that ended with a verdict.
    pub dead: u64,
    /// Sessions that ended because the client broke the protocol.
    pub protocol_error: u64,
    /// Sessions that ended because the client did not read.
    pub slow_reader: u64,
    /// Sessions that the owner ended.
    pub kicked: u64,
    /// Sessions that ended with the server.
    pub shutdown: u64,
    /// Sessions that ended with another error of the system.
    pub failed: u64,
    /// Times that a shard stood still.
    pub stalls: u64,
    /// Turns of the shards' loops: each is one wake-up.
    pub turns: u64,
    /// Deadlines put into the shards' wheels.
    pub timers: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) turns: AtomicU64,
    pub(super) timers: AtomicU64,
    closed_by_peer: AtomicU64,
    truncated: AtomicU64,
    reset: AtomicU64,
    dead: AtomicU64,
    protocol_error: AtomicU64,
    slow_reader: AtomicU64,
    kicked: AtomicU64,
    shutdown: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(super) fn count_end(&self, reason: &Reason) {
        let counter = match reason {
            Reason::ClosedByPeer => &self.closed_by_peer,
            Reason::Truncated => &self.truncated,
            Reason::Reset => &self.reset,
            Reason::Dead(_) => &self.dead,
            Reason::Protocol(_) => &self.protocol_error,
            Reason::SlowReader => &self.slow_reader,
            Reason::Kicked => &self.kicked,
            Reason::Shutdown => &self.shutdown,
            Reason::Failed(_) => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> Stats {
        Stats {
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            closed_by_peer: self.closed_by_peer.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            reset: self.reset.load(Relaxed),
            dead: self.dead.load(Relaxed),
            protocol_error: self.protocol_error.load(Relaxed),
            slow_reader: self.slow_reader.load(Relaxed),
            kicked: self.kicked.load(Relaxed),
            shutdown: self.shutdown.load(Relaxed),
            failed: self.failed.load(Relaxed),
            stalls: self.stalls.load(Relaxed),
            turns: self.turns.load(Relaxed),
            timers: self.timers.load(Relaxed),
        }
    }
}
