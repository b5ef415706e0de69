//! Counters of a server. A shard touches only its own.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use heartwire_core::Violation;
use heartwire_core::v1::ByeCode;

use super::histograms::Measured;
use crate::reason::Reason;

/// Defines each counter once: its name, its documentation and, for an end, the reason that it
/// counts. Some reasons have further counters by kind; a server has no ends of the kinds after
/// `else`.
macro_rules! counters {
    (
        first { $($(#[doc = $first_doc:literal])* $first:ident,)* }
        ends {
            $($(#[doc = $end_doc:literal])* $end:ident: $reason:pat
                $(=> by $which:ident {
                    $($(#[doc = $part_doc:literal])* $part:ident: $kind:pat,)*
                } else $uncounted:pat)?,
            )*
        }
        last { $($(#[doc = $last_doc:literal])* $last:ident,)* }
    ) => {
        /// The counters of a server since it started, by name. Names do not change between
        /// versions; later versions may add some.
        ///
        /// | name | what is counted |
        /// |---|---|
        $(#[doc = concat!("| `", stringify!($first), "` |", $($first_doc,)* " |")])*
        $(
            #[doc = concat!("| `", stringify!($end), "` |", $($end_doc,)* " |")]
            $($(#[doc = concat!("| `", stringify!($part), "` |", $($part_doc,)* " |")])*)?
        )*
        $(#[doc = concat!("| `", stringify!($last), "` |", $($last_doc,)* " |")])*
        pub struct Stats {
            counts: [u64; NAMES.len()],
            /// Turns of the shards' event loops: one per wake-up.
            pub turns: u64,
            /// Deadlines put into the shards' timer wheels.
            pub timers: u64,
        }

        /// The names of all counters, in order.
        const NAMES: &[&str] = &[
            $(stringify!($first),)*
            $(stringify!($end), $($(stringify!($part),)*)?)*
            $(stringify!($last),)*
        ];

        /// The names of those that count ends by their reason.
        const ENDS: &[&str] = &[$(stringify!($end),)*];

        /// Each shard has its own: it counts nearly all.
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

            /// In the order of [`NAMES`].
            const fn all(&self) -> [&AtomicU64; NAMES.len()] {
                [
                    $(&self.$first,)*
                    $(&self.$end, $($(&self.$part,)*)?)*
                    $(&self.$last,)*
                ]
            }
        }
    };
}

counters! {
    first {
        /// Connections that were accepted. Each ended or will end with one of the reasons below, or
        /// is one of those that `resumed` counts.
        accepted,
        /// Clients that were refused for lack of room.
        refused,
        /// Connections on which a valid HELLO came (protocol v1).
        hellos,
        /// How many of those began a session.
        welcomed,
        /// Times that a client changed its interval (protocol v1).
        promises,
        /// Times that a session lost its connection and waited for its client.
        away,
        /// Connections on which a client came back to its session.
        resumed,
        /// Times that a client came back to a session that has ended.
        lost,
        /// TLS handshakes that were completed.
        tls_handshakes,
        /// How many of those were with a session ticket.
        tls_tickets,
    }
    ends {
        /// Sessions that ended because the client closed, between frames.
        closed_by_peer: Reason::ClosedByPeer,
        /// Sessions that ended because the client closed in the middle of a frame.
        truncated: Reason::Truncated,
        /// Sessions that ended between frames, without TLS's `close_notify`.
        no_goodbye: Reason::NoGoodbye,
        /// Sessions that ended with a reset.
        reset: Reason::Reset,
        /// Sessions that ended with a verdict.
        dead: Reason::Dead(_),
        /// Sessions that ended because the client broke the protocol.
        protocol_error: Reason::Protocol(violation) => by violation {
            /// How many of those announced a negative length.
            negative_length: Violation::NegativeLength { .. },
            /// How many of those announced a body over the maximum.
            too_long: Violation::TooLong { .. },
            /// How many of those sent an unknown frame type.
            unknown_type: Violation::UnknownType { .. },
            /// How many of those announced a beat with a body.
            beat_with_body: Violation::BeatWithBody { .. },
            /// How many of those sent no complete header in time.
            no_first_frame: Violation::NoFirstFrame { .. },
            /// How many of those took too long for a frame.
            slow_frame: Violation::SlowFrame { .. },
            /// How many of those sent a frame that is not allowed at that point.
            unexpected: Violation::Unexpected { .. },
            /// How many of those announced a beat of another length than protocol v1 has.
            beat_length: Violation::BeatLength { .. },
            /// How many of those sent an invalid HELLO.
            bad_hello: Violation::BadHello,
            /// How many of those speak no version of the protocol that this server speaks.
            no_common_version: Violation::NoCommonVersion { .. },
            /// How many of those sent an invalid BYE.
            bad_bye: Violation::BadBye,
            /// How many of those echoed a nonce that no beat had.
            unknown_nonce: Violation::UnknownNonce,
            /// How many of those promised a longer interval than was agreed.
            promise_too_long: Violation::PromiseTooLong { .. },
            /// How many of those sent far too many beats in spite of a warning.
            too_fast: Violation::TooFast,
            /// How many of those told a position that they cannot have.
            bad_position: Violation::BadPosition { .. },
            /// How many of those sent more than the window.
            window: Violation::Window { .. },
            /// How many of those sent an invalid ACK.
            bad_ack: Violation::BadAck,
        } else Violation::BadWelcome | _,
        /// Sessions that ended because the client did not read.
        slow_reader: Reason::SlowReader,
        /// Sessions that ended because all together buffered too much, and they most of it.
        most_buffered: Reason::MostBuffered,
        /// Sessions that the application disconnected.
        kicked: Reason::Kicked,
        /// Sessions that ended with the server, and whose clients had acknowledged everything.
        shutdown: Reason::Shutdown,
        /// Sessions that ended with the server, and whose clients had not acknowledged everything
        /// in time.
        unacknowledged: Reason::Unacknowledged,
        /// Sessions whose client disconnected with a BYE.
        bye: Reason::Bye(_),
        /// Clients that were rejected at the handshake.
        rejected: Reason::Rejected(code) => by code {
            /// How many of those because the settings of both ends conflict.
            rejected_conflict: ByeCode::Conflict,
            /// How many of those because of a missing or invalid token.
            rejected_unauthorized: ByeCode::Unauthorized,
            /// How many of those because a newer client came for the name that they waited for.
            rejected_taken_over: ByeCode::TakenOver,
            /// How many of those because another session has their name.
            rejected_name_in_use: ByeCode::NameInUse,
            /// How many of those because their name is taken over too often, or their session is
            /// resumed too often.
            rejected_fighting: ByeCode::Fighting,
            /// How many of those because their name is invalid.
            rejected_protocol: ByeCode::Protocol,
            /// How many of those because the server is full.
            rejected_full: ByeCode::Full,
            /// How many of those because the session that they came back to has ended.
            rejected_not_resumable: ByeCode::NotResumable,
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
        /// Sessions whose client's token, or certificate, is not accepted any more.
        revoked: Reason::Revoked(_),
        /// Sessions whose client's token, or certificate, has expired.
        expired: Reason::Expired(_),
        /// Sessions that had reached their greatest age.
        max_age: Reason::MaxAge,
        /// Sessions whose client did not come back in time.
        not_back: Reason::NotBack,
        /// Sessions whose window was full when the application sent more and could not wait.
        overflow: Reason::Overflow,
        /// Sessions that ended because all that were away kept too much, and they were so longest.
        replay_full: Reason::ReplayFull,
        /// Sessions that ended because both ends had sent everything.
        done: Reason::Done,
        /// Connections on which TLS failed: clients that do not speak it, have no accepted
        /// certificate, or took too long.
        tls: Reason::Tls(_),
        /// Connections of listed balancers that began without a valid header of the PROXY protocol.
        proxy: Reason::Proxy(_),
        /// Sessions that ended with another error of the system.
        // No session of a server ends with the last three.
        failed: Reason::Failed(_) | Reason::NetworkChanged | Reason::NotResumed | Reason::Suspected,
    }
    last {
        /// Connections that this server ended for another reason than `shutdown`, and whose clients
        /// had not acknowledged everything, the BYE included, a second later. They are also counted
        /// under their reason.
        cut_off,
        /// Pauses of a shard.
        pauses,
    }
}

impl Counters {
    /// With those of all shards.
    pub(super) fn read(&self, shards: &[ShardCounters]) -> Stats {
        let mut counts = self.all().map(|counter| counter.load(Relaxed));
        for shard in shards {
            for (count, counter) in counts.iter_mut().zip(shard.counts.all()) {
                *count += counter.load(Relaxed);
            }
        }
        Stats {
            counts,
            turns: shards.iter().map(ShardCounters::turns).sum(),
            timers: shards.iter().map(|shard| shard.timers.load(Relaxed)).sum(),
        }
    }
}

impl Stats {
    /// The counter of this name; `None` if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.counts().find(|&(known, _)| known == name).map(|(_, count)| count)
    }

    /// Each counter with its name, without [`turns`](Self::turns) and [`timers`](Self::timers),
    /// which count work and not clients.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        NAMES.iter().copied().zip(self.counts)
    }

    /// With these counters, and all others 0.
    #[cfg(test)]
    pub(crate) fn of(counts: &[(&str, u64)]) -> Self {
        let find = |name| counts.iter().find(|(known, _)| *known == name);
        let mut stats = Self::default();
        for (count, name) in stats.counts.iter_mut().zip(NAMES) {
            *count = find(*name).map_or(0, |&(_, count)| count);
        }
        stats
    }

    /// The counters of ended sessions, each under the [name](crate::Reason::name) of its reason.
    pub fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        self.counts().filter(|(name, _)| ENDS.contains(name))
    }
}

/// All 0.
impl Default for Stats {
    fn default() -> Self {
        Counters::default().read(&[])
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let work = [("turns", self.turns), ("timers", self.timers)];
        f.debug_map().entries(self.counts().chain(work)).finish()
    }
}

/// What one shard counts. On separate cache lines, or the shards would slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct ShardCounters {
    turns: AtomicU64,
    timers: AtomicU64,
    held: [AtomicUsize; 3],
    pending: AtomicUsize,
    /// It had its last turn.
    is_over: AtomicBool,
    pub(super) measured: Measured,
    pub(super) counts: Counters,
}

/// What a shard held at the end of its last turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShardHeld {
    /// Bytes for sessions with a link.
    pub(super) all: usize,
    /// Those for pending clients.
    pub(super) pending: usize,
    /// Bytes for sessions that are away.
    pub(super) away: usize,
    /// Pending clients.
    pub(super) clients: usize,
}

impl ShardCounters {
    pub(super) fn publish(&self, turns: u64, timers: u64, held: ShardHeld) {
        let ShardHeld { all, pending, away, clients } = held;
        self.turns.store(turns, Relaxed);
        self.timers.store(timers, Relaxed);
        for (cell, bytes) in self.held.iter().zip([all, pending, away]) {
            cell.store(bytes, Relaxed);
        }
        self.pending.store(clients, Relaxed);
    }

    pub(super) fn held(&self) -> ShardHeld {
        let [all, pending, away] = self.held.each_ref().map(|cell| cell.load(Relaxed));
        ShardHeld { all, pending, away, clients: self.pending.load(Relaxed) }
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }
}

#[cfg(test)]
mod tests;
