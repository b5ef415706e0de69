//! Counters of a server. None of them is touched per beat.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use heartwire_core::Violation;

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
    /// How many of those announced a negative length.
    pub negative_length: u64,
    /// How many of those announced a body over the cap.
    pub too_long: u64,
    /// How many of those sent a type that the wire does not have.
    pub unknown_type: u64,
    /// How many of those announced a beat with a body.
    pub beat_with_body: u64,
    /// How many of those sent no whole head in time.
    pub no_first_frame: u64,
    /// How many of those took too long for a frame.
    pub slow_frame: u64,
    /// Sessions that ended because the client did not read.
    pub slow_reader: u64,
    /// Sessions that the owner ended.
    pub kicked: u64,
    /// Sessions that ended with the server.
    pub shutdown: u64,
    /// Sessions whose client took its leave.
    pub bye: u64,
    /// Clients that were turned away at the handshake.
    pub turned_away: u64,
    /// Sessions that a newer one of the same name took over.
    pub taken_over: u64,
    /// Connections that TLS ended: clients without it, or without a certificate that is accepted, or that
    /// took too long.
    pub tls: u64,
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
    closed_by_peer: AtomicU64,
    truncated: AtomicU64,
    reset: AtomicU64,
    dead: AtomicU64,
    protocol_error: AtomicU64,
    negative_length: AtomicU64,
    too_long: AtomicU64,
    unknown_type: AtomicU64,
    beat_with_body: AtomicU64,
    no_first_frame: AtomicU64,
    slow_frame: AtomicU64,
    slow_reader: AtomicU64,
    kicked: AtomicU64,
    shutdown: AtomicU64,
    bye: AtomicU64,
    turned_away: AtomicU64,
    taken_over: AtomicU64,
    tls: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(super) fn count_end(&self, reason: &Reason) {
        let counter = match reason {
            Reason::ClosedByPeer => &self.closed_by_peer,
            Reason::Truncated => &self.truncated,
            Reason::Reset => &self.reset,
            Reason::Dead(_) => &self.dead,
            Reason::Protocol(violation) => {
                if let Some(counter) = self.of_violation(violation) {
                    counter.fetch_add(1, Relaxed);
                }
                &self.protocol_error
            }
            Reason::SlowReader => &self.slow_reader,
            Reason::Kicked => &self.kicked,
            Reason::Shutdown => &self.shutdown,
            Reason::Bye(_) => &self.bye,
            Reason::TurnedAway(_) => &self.turned_away,
            Reason::TakenOver => &self.taken_over,
            Reason::Tls(_) => &self.tls,
            Reason::Failed(_) => &self.failed,
        };
        counter.fetch_add(1, Relaxed);
    }

    const fn of_violation(&self, violation: &Violation) -> Option<&AtomicU64> {
        match violation {
            Violation::NegativeLength { .. } => Some(&self.negative_length),
            Violation::TooLong { .. } => Some(&self.too_long),
            Violation::UnknownType { .. } => Some(&self.unknown_type),
            Violation::BeatWithBody { .. } => Some(&self.beat_with_body),
            Violation::NoFirstFrame { .. } => Some(&self.no_first_frame),
            Violation::SlowFrame { .. } => Some(&self.slow_frame),
            Violation::Unexpected { .. }
            | Violation::BeatLength { .. }
            | Violation::BadHello
            | Violation::NoCommonVersion { .. }
            | Violation::BadWelcome
            | Violation::BadBye
            | Violation::UnknownNonce
            | Violation::PromiseTooLong { .. }
            | Violation::TooFast
            | _ => None,
        }
    }

    pub(super) fn read(&self, turns: &[TurnCounters]) -> Stats {
        Stats {
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            closed_by_peer: self.closed_by_peer.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            reset: self.reset.load(Relaxed),
            dead: self.dead.load(Relaxed),
            protocol_error: self.protocol_error.load(Relaxed),
            negative_length: self.negative_length.load(Relaxed),
            too_long: self.too_long.load(Relaxed),
            unknown_type: self.unknown_type.load(Relaxed),
            beat_with_body: self.beat_with_body.load(Relaxed),
            no_first_frame: self.no_first_frame.load(Relaxed),
            slow_frame: self.slow_frame.load(Relaxed),
            slow_reader: self.slow_reader.load(Relaxed),
            kicked: self.kicked.load(Relaxed),
            shutdown: self.shutdown.load(Relaxed),
            bye: self.bye.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
            taken_over: self.taken_over.load(Relaxed),
            tls: self.tls.load(Relaxed),
            failed: self.failed.load(Relaxed),
            stalls: self.stalls.load(Relaxed),
            turns: turns.iter().map(|shard| shard.turns.load(Relaxed)).sum(),
            timers: turns.iter().map(|shard| shard.timers.load(Relaxed)).sum(),
        }
    }
}

/// What one shard counts in every turn. On cache lines of its own, or the shards would slow each
/// other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct TurnCounters {
    turns: AtomicU64,
    timers: AtomicU64,
}

impl TurnCounters {
    pub(super) fn publish(&self, turns: u64, timers: u64) {
        self.turns.store(turns, Relaxed);
        self.timers.store(timers, Relaxed);
    }
}
