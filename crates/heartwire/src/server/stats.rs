//! Counters of a server. None of them is touched per beat.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use heartwire_core::Violation;
use heartwire_core::v1::ByeCode;

use crate::reason::Reason;

/// Writes each counter once: its name, and of an end, what is counted there. Some ends are counted
/// by kind as well, under a second name; a server has no ends of the kinds behind `else`.
macro_rules! counters {
    (
        first { $($(#[$first_doc:meta])* $first:ident,)* }
        ends {
            $($(#[$end_doc:meta])* $end:ident: $reason:pat
                $(=> by $which:ident {
                    $($(#[$part_doc:meta])* $part:ident: $kind:pat,)*
                } else $uncounted:pat)?,
            )*
        }
        last { $($(#[$last_doc:meta])* $last:ident,)* }
    ) => {
        /// What a server has counted since it started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$first_doc])* pub $first: u64,)*
            $(
                $(#[$end_doc])* pub $end: u64,
                $($($(#[$part_doc])* pub $part: u64,)*)?
            )*
            $($(#[$last_doc])* pub $last: u64,)*
            /// Turns of the shards' loops: each is one wake-up.
            pub turns: u64,
            /// Deadlines put into the shards' wheels.
            pub timers: u64,
        }

        impl Stats {
            /// Each counter with its name, without [`turns`](Self::turns) and
            /// [`timers`](Self::timers), which count work and not what became of clients.
            pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [
                    $((stringify!($first), self.$first),)*
                    $(
                        (stringify!($end), self.$end),
                        $($((stringify!($part), self.$part),)*)?
                    )*
                    $((stringify!($last), self.$last),)*
                ]
                .into_iter()
            }

            /// Those that count the ends of sessions, each under the name of its reason.
            #[cfg(feature = "metrics")]
            pub(crate) fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($end), self.$end),)*].into_iter()
            }
        }

        #[derive(Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $first: AtomicU64,)*
            $($end: AtomicU64, $($($part: AtomicU64,)*)?)*
            $(pub(super) $last: AtomicU64,)*
        }

        impl Counters {
            pub(super) fn count_end(&self, reason: &Reason) {
                let counter = match reason {
                    $($reason => {
                        $(
                            let part = match $which {
                                $($kind => Some(&self.$part),)*
                                $uncounted => None,
                            };
                            if let Some(part) = part {
                                part.fetch_add(1, Relaxed);
                            }
                        )?
                        &self.$end
                    })*
                };
                counter.fetch_add(1, Relaxed);
            }

            pub(super) fn read(&self, turns: &[TurnCounters]) -> Stats {
                Stats {
                    $($first: self.$first.load(Relaxed),)*
                    $(
                        $end: self.$end.load(Relaxed),
                        $($($part: self.$part.load(Relaxed),)*)?
                    )*
                    $($last: self.$last.load(Relaxed),)*
                    turns: turns.iter().map(|shard| shard.turns.load(Relaxed)).sum(),
                    timers: turns.iter().map(|shard| shard.timers.load(Relaxed)).sum(),
                }
            }
        }
    };
}

counters! {
    first {
        /// Clients that became sessions.
        accepted,
        /// Clients that were refused for want of room.
        refused,
        /// Clients that said a good HELLO, which is protocol v1.
        hellos,
        /// How many of those were let in.
        welcomed,
        /// Times that a client promised its beats in another interval (protocol v1).
        promises,
    }
    ends {
        /// Sessions that ended because the client closed, between frames.
        closed_by_peer: Reason::ClosedByPeer,
        /// Sessions that ended because the client closed in the middle of a frame.
        truncated: Reason::Truncated,
        /// Sessions that ended between frames, without TLS's goodbye.
        no_goodbye: Reason::NoGoodbye,
        /// Sessions that ended with a reset.
        reset: Reason::Reset,
        /// Sessions that ended with a verdict.
        dead: Reason::Dead(_),
        /// Sessions that ended because the client broke the protocol.
        protocol_error: Reason::Protocol(violation) => by violation {
            /// How many of those announced a negative length.
            negative_length: Violation::NegativeLength { .. },
            /// How many of those announced a body over the cap.
            too_long: Violation::TooLong { .. },
            /// How many of those sent a type that the wire does not have.
            unknown_type: Violation::UnknownType { .. },
            /// How many of those announced a beat with a body.
            beat_with_body: Violation::BeatWithBody { .. },
            /// How many of those sent no whole header in time.
            no_first_frame: Violation::NoFirstFrame { .. },
            /// How many of those took too long for a frame.
            slow_frame: Violation::SlowFrame { .. },
            /// How many of those sent a frame that may not come then.
            unexpected: Violation::Unexpected { .. },
            /// How many of those announced a beat of another length than protocol v1 has.
            beat_length: Violation::BeatLength { .. },
            /// How many of those sent a HELLO that is not as specified.
            bad_hello: Violation::BadHello,
            /// How many of those speak no version of the protocol that this server speaks.
            no_common_version: Violation::NoCommonVersion { .. },
            /// How many of those sent a BYE that is not as specified.
            bad_bye: Violation::BadBye,
            /// How many of those gave back a number that no beat had.
            unknown_nonce: Violation::UnknownNonce,
            /// How many of those promised a beat later than was agreed.
            promise_too_long: Violation::PromiseTooLong { .. },
            /// How many of those beat far too often, though they were told.
            too_fast: Violation::TooFast,
        } else Violation::BadWelcome | _,
        /// Sessions that ended because the client did not read.
        slow_reader: Reason::SlowReader,
        /// Sessions that ended because too much was held for all, and most of it for them.
        most_buffered: Reason::MostBuffered,
        /// Sessions that the application ended.
        kicked: Reason::Kicked,
        /// Sessions that ended with the server, whose clients have all that was sent to them.
        shutdown: Reason::Shutdown,
        /// Sessions that ended with the server, though their clients had not acknowledged
        /// everything in the time for that.
        unacknowledged: Reason::Unacknowledged,
        /// Sessions whose client took its leave.
        bye: Reason::Bye(_),
        /// Clients that were rejected at the handshake.
        rejected: Reason::Rejected(code) => by code {
            /// How many of those because no contract suits both.
            rejected_conflict: ByeCode::Conflict,
            /// How many of those because it has no good token.
            rejected_unauthorized: ByeCode::Unauthorized,
            /// How many of those because a newer one came for the name it waited for.
            rejected_taken_over: ByeCode::TakenOver,
            /// How many of those because another session has its name.
            rejected_name_in_use: ByeCode::NameInUse,
            /// How many of those because its name is taken over too often.
            rejected_fighting: ByeCode::Fighting,
            /// How many of those because no client may have its name.
            rejected_protocol: ByeCode::Protocol,
            /// How many of those because too many wait.
            rejected_full: ByeCode::Full,
        } else ByeCode::Done
            | ByeCode::Draining
            | ByeCode::Version
            | ByeCode::TooFast
            | ByeCode::SlowReader
            | ByeCode::Kicked
            | ByeCode::Other(_)
            | _,
        /// Sessions that a newer one of the same name took over.
        taken_over: Reason::TakenOver,
        /// Connections that TLS ended: clients without it, or without a certificate that is
        /// accepted, or that took too long.
        tls: Reason::Tls(_),
        /// Sessions that ended with another error of the system.
        // No session of a server ends for a network that changed.
        failed: Reason::Failed(_) | Reason::NetworkChanged,
    }
    last {
        /// Connections that this server ended for another reason than [`shutdown`](Self::shutdown),
        /// and whose clients had not acknowledged everything, what was said in leaving included, a
        /// second later. They are counted under their reason as well.
        cut_off,
        /// Pauses of a shard.
        pauses,
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

#[cfg(test)]
mod tests;
