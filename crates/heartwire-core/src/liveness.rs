//! The state machine that decides when the peer is dead and when a beat is due.

mod clocks;

use core::fmt;
use core::time::Duration;

pub(crate) use self::clocks::{Clocks, Pace};
use crate::order::{Found, Outbound, ReadFirst};
use crate::pause::Pause;
use crate::policy::{Bound, Policy};
use crate::time::Instant;

/// Heartbeat and timeout of one peer: says when a beat is due and when the peer is dead.
///
/// It knows nothing of frames: [`Connection`](crate::Connection) adds those. Traffic only stores a
/// timestamp; deadlines are computed when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    policy: Policy,
    clocks: Clocks,
}

impl Liveness {
    /// Starts at `now`: the first silence and the first beat interval begin here.
    #[must_use]
    pub const fn new(policy: Policy, now: Instant) -> Self {
        Self { policy, clocks: Clocks::new(now) }
    }

    const fn pace(&self) -> Pace {
        Pace { policy: self.policy, early_ms: 0 }
    }

    /// At least one byte from the peer arrived at `at`, which may lie in the past. Whether it is
    /// part of a whole frame does not matter.
    pub fn handle_heard(&mut self, at: Instant) {
        self.clocks.handle_heard(at);
    }

    /// Something other than a beat was sent to the peer at `at`. It replaces a beat if the policy
    /// has a timeout and the peer was heard, or sent a beat, within the beat interval. Otherwise it
    /// does not: a peer that only answers, answers beats, and the peer of an end without a timeout
    /// may count only beats.
    pub fn handle_sent(&mut self, at: Instant) {
        self.clocks.handle_sent(&self.policy, at);
    }

    /// A beat was sent to the peer at `at`, so none is due for a while.
    pub fn handle_beat_sent(&mut self, at: Instant) {
        self.clocks.handle_beat_sent(at);
    }

    /// This process was paused. A peer that has not been heard since gets a full timeout from
    /// `resumed_at`, three times in one silence at most. Repeated calls with the same pause do
    /// nothing.
    pub fn handle_pause(&mut self, pause: Pause) {
        self.clocks.handle_pause(pause);
    }

    /// Makes a beat due at once, whether or not the policy has a beat interval.
    pub const fn beat_now(&mut self) {
        self.clocks.beat_now();
    }

    /// Whether a beat should be sent. Stays true until
    /// [`handle_beat_sent`](Self::handle_beat_sent), until something that replaces it was
    /// [sent](Self::handle_sent), or until the verdict.
    #[must_use]
    pub const fn beat_due(&self) -> bool {
        self.clocks.beat_due()
    }

    /// When to [`poll`](Self::poll) next, if nothing comes; `None` if there is no deadline. Only
    /// sending a due beat, or what replaces it, can make this earlier.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.clocks.poll_timeout(&self.pace())
    }

    /// Time passed, and a beat may be due. Early and repeated calls do nothing.
    ///
    /// If a verdict is due, returns what [`judge`](Self::judge) takes: read the socket first and
    /// call [`handle_heard`](Self::handle_heard), because bytes that have arrived outrank a
    /// deadline.
    pub fn poll(&mut self, now: Instant) -> Option<ReadFirst> {
        if self.clocks.verdict_at(&self.policy).is_some_and(|deadline| now >= deadline) {
            return Some(ReadFirst { now, outbound: Outbound::Clear });
        }
        self.clocks.handle_beat_time(&self.pace(), now);
        None
    }

    /// Gives the verdict as of `now`, if it is still due after the socket was read. `found` is the
    /// result of that read, `pause` the last pause of this process, and `tick` how late the
    /// driver's timers may be: the bound of the verdict includes it, and lateness beyond it counts
    /// as [paused](Verdict::paused).
    pub fn judge(
        &mut self,
        _read: ReadFirst,
        now: Instant,
        found: Found,
        pause: Option<Pause>,
        tick: Duration,
    ) -> Option<Verdict> {
        if let Found::NoRoom(at) | Found::Unread(at) = found {
            self.handle_heard(at);
        }
        if let Some(pause) = pause {
            self.handle_pause(pause);
        }
        match found {
            Found::More | Found::Unread(_) => None,
            Found::All | Found::NoRoom(_) => self.clocks.verdict(&self.policy, now, tick),
        }
    }

    /// When the last byte from the peer arrived, or the start if none did.
    #[must_use]
    pub const fn last_heard(&self) -> Instant {
        self.clocks.last_heard()
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }
}

/// The decision that a peer is dead, with its cause and numbers. It is an event, not an error:
/// detecting dead peers is what this crate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// What showed that the peer is dead.
    pub cause: Cause,
    /// How long nothing had come from the peer.
    pub silence: Duration,
    /// When the verdict had to come, counted from the peer's last byte, without the time in which
    /// this process was paused: `silence - paused` always lies within it. `None` where the cause
    /// has no bound.
    pub bound: Option<Bound>,
    /// How much of the silence does not count, because this process was paused: everything up to
    /// the end of its last pause, which restarted the timeout, and how much the verdict was late
    /// beyond the tick of the bound.
    pub paused: Duration,
    /// How long after its deadline the verdict was given, within the tick or beyond it.
    pub late: Duration,
}

impl Verdict {
    /// How much of a verdict's lateness exceeds the tick: in that time this process was held up.
    pub(crate) const fn beyond(late: Duration, tick: Duration) -> Duration {
        late.saturating_sub(tick)
    }

    /// The verdict of the kernel's own timers (keepalive, user timeout, retransmissions) after
    /// `silence`.
    #[must_use]
    pub const fn kernel(silence: Duration) -> Self {
        Self {
            cause: Cause::Kernel,
            silence,
            bound: None,
            paused: Duration::ZERO,
            late: Duration::ZERO,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Silence => write!(f, "silent for {:.3} s", self.silence.as_secs_f64())?,
            Cause::Unheard => write!(
                f,
                "it reports that it has not heard us for {:.3} s",
                self.silence.as_secs_f64()
            )?,
            Cause::Kernel => write!(
                f,
                "the kernel gave up after {:.3} s of silence",
                self.silence.as_secs_f64()
            )?,
        }
        if let Some(bound) = self.bound {
            write!(f, " (bound {bound}, {} ms late", self.late.as_millis())?;
            if !self.paused.is_zero() {
                write!(
                    f,
                    ", {:.3} s not counted: this process was paused",
                    self.paused.as_secs_f64()
                )?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

/// What showed that a peer is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No byte came from the peer for the policy's timeout.
    Silence,
    /// The peer's beats say that it has not heard this end for so long that the path to it must be
    /// cut (protocol v1 only). `silence` and `bound` count from when it last heard this end.
    Unheard,
    /// The kernel gave up on the connection (keepalive, user timeout, retransmissions, no route).
    Kernel,
}

impl Cause {
    /// A short name that does not change between versions, for logs, counters and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Unheard => "unheard",
            Self::Kernel => "kernel",
        }
    }
}

#[cfg(test)]
mod tests;
