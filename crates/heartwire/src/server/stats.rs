//! Counters of a server. None of them is touched per beat.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use heartwire_core::Violation;
use heartwire_core::v1::ByeCode;

use crate::reason::Reason;

/// What a server has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Clients that became sessions.
    pub accepted: u64,
    /// Clients that were refused for want of room.
    pub refused: u64,
    /// Clients that said a good HELLO, which is wire v1.
    pub hellos: u64,
    /// How many of those were let in.
    pub welcomed: u64,
    /// Times that a client promised its beats in another interval (wire v1).
    pub promises: u64,
    /// Sessions that ended because the client closed, between frames.
    pub closed_by_peer: u64,
    /// Sessions that ended because the client closed in the middle of a frame.
    pub truncated: u64,
    /// Sessions that ended between frames, without TLS's goodbye.
    pub no_goodbye: u64,
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
    /// How many of those sent a frame that may not come then.
    pub unexpected: u64,
    /// How many of those announced a beat of another length than wire v1 has.
    pub beat_length: u64,
    /// How many of those sent a HELLO that is not as specified.
    pub bad_hello: u64,
    /// How many of those speak no version of the wire that this server speaks.
    pub no_common_version: u64,
    /// How many of those sent a BYE that is not as specified.
    pub bad_bye: u64,
    /// How many of those gave back a number that no beat had.
    pub unknown_nonce: u64,
    /// How many of those promised a beat later than was agreed.
    pub promise_too_long: u64,
    /// How many of those beat far too often, though they were told.
    pub too_fast: u64,
    /// Sessions that ended because the client did not read.
    pub slow_reader: u64,
    /// Sessions that ended because too much was held for all, and most of it for them.
    pub held_most: u64,
    /// Sessions that the owner ended.
    pub kicked: u64,
    /// Sessions that ended with the server, whose clients have all that was sent to them.
    pub shutdown: u64,
    /// Sessions that ended with the server, though their clients had not acknowledged everything in the time
    /// for that.
    pub unacknowledged: u64,
    /// Connections that this server ended for another reason, and whose clients had not acknowledged
    /// everything, what was said in leaving included, a second later. They are counted under their reason
    /// as well.
    pub cut_off: u64,
    /// Sessions whose client took its leave.
    pub bye: u64,
    /// Clients that were turned away at the handshake.
    pub turned_away: u64,
    /// How many of those because no contract suits both.
    pub turned_away_conflict: u64,
    /// How many of those because it has no good token.
    pub turned_away_unauthorized: u64,
    /// How many of those because a newer one came for the name it waited for.
    pub turned_away_taken_over: u64,
    /// How many of those because another session has its name.
    pub turned_away_name_in_use: u64,
    /// How many of those because its name is taken over too often.
    pub turned_away_fighting: u64,
    /// How many of those because nobody may have its name.
    pub turned_away_protocol: u64,
    /// How many of those because too many wait.
    pub turned_away_full: u64,
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
    pub(super) hellos: AtomicU64,
    pub(super) welcomed: AtomicU64,
    pub(super) promises: AtomicU64,
    closed_by_peer: AtomicU64,
    truncated: AtomicU64,
    no_goodbye: AtomicU64,
    reset: AtomicU64,
    dead: AtomicU64,
    protocol_error: AtomicU64,
    negative_length: AtomicU64,
    too_long: AtomicU64,
    unknown_type: AtomicU64,
    beat_with_body: AtomicU64,
    no_first_frame: AtomicU64,
    slow_frame: AtomicU64,
    unexpected: AtomicU64,
    beat_length: AtomicU64,
    bad_hello: AtomicU64,
    no_common_version: AtomicU64,
    bad_bye: AtomicU64,
    unknown_nonce: AtomicU64,
    promise_too_long: AtomicU64,
    too_fast: AtomicU64,
    slow_reader: AtomicU64,
    held_most: AtomicU64,
    kicked: AtomicU64,
    shutdown: AtomicU64,
    unacknowledged: AtomicU64,
    pub(super) cut_off: AtomicU64,
    bye: AtomicU64,
    turned_away: AtomicU64,
    turned_away_conflict: AtomicU64,
    turned_away_unauthorized: AtomicU64,
    turned_away_taken_over: AtomicU64,
    turned_away_name_in_use: AtomicU64,
    turned_away_fighting: AtomicU64,
    turned_away_protocol: AtomicU64,
    turned_away_full: AtomicU64,
    taken_over: AtomicU64,
    tls: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(super) fn count_end(&self, reason: &Reason) {
        let counter = match reason {
            Reason::ClosedByPeer => &self.closed_by_peer,
            Reason::Truncated => &self.truncated,
            Reason::NoGoodbye => &self.no_goodbye,
            Reason::Reset => &self.reset,
            Reason::Dead(_) => &self.dead,
            Reason::Protocol(violation) => {
                if let Some(counter) = self.of_violation(violation) {
                    counter.fetch_add(1, Relaxed);
                }
                &self.protocol_error
            }
            Reason::SlowReader => &self.slow_reader,
            Reason::HeldMost => &self.held_most,
            Reason::Kicked => &self.kicked,
            Reason::Shutdown => &self.shutdown,
            Reason::Unacknowledged => &self.unacknowledged,
            Reason::Bye(_) => &self.bye,
            Reason::TurnedAway(code) => {
                if let Some(counter) = self.of_code(*code) {
                    counter.fetch_add(1, Relaxed);
                }
                &self.turned_away
            }
            Reason::TakenOver => &self.taken_over,
            Reason::Tls(_) => &self.tls,
            // No session of a server ends for the first.
            Reason::NetworkChanged | Reason::Failed(_) => &self.failed,
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
            Violation::Unexpected { .. } => Some(&self.unexpected),
            Violation::BeatLength { .. } => Some(&self.beat_length),
            Violation::BadHello => Some(&self.bad_hello),
            Violation::NoCommonVersion { .. } => Some(&self.no_common_version),
            Violation::BadBye => Some(&self.bad_bye),
            Violation::UnknownNonce => Some(&self.unknown_nonce),
            Violation::PromiseTooLong { .. } => Some(&self.promise_too_long),
            Violation::TooFast => Some(&self.too_fast),
            // A server is not welcomed.
            Violation::BadWelcome | _ => None,
        }
    }

    /// Nobody is turned away for the others.
    const fn of_code(&self, code: ByeCode) -> Option<&AtomicU64> {
        match code {
            ByeCode::Conflict => Some(&self.turned_away_conflict),
            ByeCode::Unauthorized => Some(&self.turned_away_unauthorized),
            ByeCode::TakenOver => Some(&self.turned_away_taken_over),
            ByeCode::NameInUse => Some(&self.turned_away_name_in_use),
            ByeCode::Fighting => Some(&self.turned_away_fighting),
            ByeCode::Protocol => Some(&self.turned_away_protocol),
            ByeCode::Full => Some(&self.turned_away_full),
            ByeCode::Done
            | ByeCode::Draining
            | ByeCode::Version
            | ByeCode::TooFast
            | ByeCode::SlowReader
            | ByeCode::Kicked
            | ByeCode::Other(_)
            | _ => None,
        }
    }

    pub(super) fn read(&self, turns: &[TurnCounters]) -> Stats {
        Stats {
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            hellos: self.hellos.load(Relaxed),
            welcomed: self.welcomed.load(Relaxed),
            promises: self.promises.load(Relaxed),
            closed_by_peer: self.closed_by_peer.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            no_goodbye: self.no_goodbye.load(Relaxed),
            reset: self.reset.load(Relaxed),
            dead: self.dead.load(Relaxed),
            protocol_error: self.protocol_error.load(Relaxed),
            negative_length: self.negative_length.load(Relaxed),
            too_long: self.too_long.load(Relaxed),
            unknown_type: self.unknown_type.load(Relaxed),
            beat_with_body: self.beat_with_body.load(Relaxed),
            no_first_frame: self.no_first_frame.load(Relaxed),
            slow_frame: self.slow_frame.load(Relaxed),
            unexpected: self.unexpected.load(Relaxed),
            beat_length: self.beat_length.load(Relaxed),
            bad_hello: self.bad_hello.load(Relaxed),
            no_common_version: self.no_common_version.load(Relaxed),
            bad_bye: self.bad_bye.load(Relaxed),
            unknown_nonce: self.unknown_nonce.load(Relaxed),
            promise_too_long: self.promise_too_long.load(Relaxed),
            too_fast: self.too_fast.load(Relaxed),
            slow_reader: self.slow_reader.load(Relaxed),
            held_most: self.held_most.load(Relaxed),
            kicked: self.kicked.load(Relaxed),
            shutdown: self.shutdown.load(Relaxed),
            unacknowledged: self.unacknowledged.load(Relaxed),
            cut_off: self.cut_off.load(Relaxed),
            bye: self.bye.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
            turned_away_conflict: self.turned_away_conflict.load(Relaxed),
            turned_away_unauthorized: self.turned_away_unauthorized.load(Relaxed),
            turned_away_taken_over: self.turned_away_taken_over.load(Relaxed),
            turned_away_name_in_use: self.turned_away_name_in_use.load(Relaxed),
            turned_away_fighting: self.turned_away_fighting.load(Relaxed),
            turned_away_protocol: self.turned_away_protocol.load(Relaxed),
            turned_away_full: self.turned_away_full.load(Relaxed),
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
