//! The state machine that decides when the peer is dead and when a beat is due.

use core::fmt;
use core::time::Duration;

use crate::order::{Found, Outbound, ReadFirst};
use crate::pause::Pause;
use crate::policy::{Bound, Millis, Policy};
use crate::time::Instant;

/// A silence is restarted at most this often after pauses of this process, so that even a host that
/// is paused all the time declares a dead peer dead after `(MAX_GRACES + 1) × timeout` awake.
const MAX_GRACES: u8 = 3;

/// Heartbeat and timeout of one peer: says when a beat is due and when the peer is dead.
///
/// It knows nothing of frames: [`Connection`](crate::Connection) adds those. Traffic only stores a
/// timestamp; deadlines are computed when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    policy: Policy,
    last_heard: Instant,
    /// When the timeout began to count: at the last byte, or at the end of our last pause after it.
    judged_from: Instant,
    /// When anything was sent.
    last_sent: Instant,
    /// When a beat was sent, which is what a peer answers if it answers anything.
    last_beat: Instant,
    /// How long before it is due the next beat is sent, so that ends which started together do not
    /// stay in step.
    early_ms: u32,
    /// How often this silence was restarted after a pause of ours.
    graces: u8,
    beat_due: bool,
    /// The connection has ended, by this verdict or for another reason. Nothing follows.
    is_dead: bool,
}

impl Liveness {
    /// Starts at `now`: the first silence and the first beat interval begin here.
    #[must_use]
    pub const fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            last_heard: now,
            judged_from: now,
            last_sent: now,
            last_beat: now,
            early_ms: 0,
            graces: 0,
            beat_due: false,
            is_dead: false,
        }
    }

    /// At least one byte from the peer arrived at `at`, which may lie in the past. Whether it is
    /// part of a whole frame does not matter.
    pub fn handle_heard(&mut self, at: Instant) {
        if at <= self.last_heard {
            return;
        }
        self.last_heard = at;
        if at >= self.judged_from {
            self.judged_from = at;
            self.graces = 0;
        }
    }

    /// Something other than a beat was sent to the peer at `at`. It replaces a beat if the policy
    /// has a timeout and the peer was heard, or sent a beat, within the beat interval. Otherwise it
    /// does not: a peer that only answers, answers beats, and the peer of an end without a timeout
    /// may count only beats.
    pub fn handle_sent(&mut self, at: Instant) {
        self.last_sent = self.last_sent.max(at);
        self.beat_due &= self.beat_due_at().is_some_and(|due_at| due_at <= at);
    }

    /// A beat was sent to the peer at `at`, so none is due for a while.
    pub fn handle_beat_sent(&mut self, at: Instant) {
        self.last_sent = self.last_sent.max(at);
        self.last_beat = self.last_beat.max(at);
        self.beat_due = false;
    }

    /// This process was paused. A peer that has not been heard since gets a full timeout from
    /// `resumed_at`, three times in one silence at most. Repeated calls with the same pause do
    /// nothing.
    pub fn handle_pause(&mut self, pause: Pause) {
        if pause.resumed_at > self.judged_from && self.graces < MAX_GRACES {
            self.judged_from = pause.resumed_at;
            self.graces += 1;
        }
    }

    /// Makes a beat due at once, whether or not the policy has a beat interval.
    pub const fn beat_now(&mut self) {
        self.beat_due = true;
    }

    /// Whether a beat should be sent. Stays true until
    /// [`handle_beat_sent`](Self::handle_beat_sent), until something that replaces it was
    /// [sent](Self::handle_sent), or until the verdict.
    #[must_use]
    pub const fn beat_due(&self) -> bool {
        self.beat_due && !self.is_dead
    }

    /// When to [`poll`](Self::poll) next, if nothing comes; `None` if there is no deadline. Only
    /// sending a due beat, or what replaces it, can make this earlier.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.verdict_at(), self.beat_at()) {
            (Some(verdict), Some(beat)) => Some(verdict.min(beat)),
            (verdict, beat) => verdict.or(beat),
        }
    }

    /// The verdict, if it is due.
    pub(crate) fn verdict(&mut self, now: Instant, tick: Duration) -> Option<Verdict> {
        let deadline = self.verdict_at().filter(|&deadline| now >= deadline)?;
        let late = now.saturating_since(deadline);
        let granted = self.judged_from.saturating_since(self.last_heard);
        self.is_dead = true;
        Some(Verdict {
            cause: Cause::Silence,
            silence: now.saturating_since(self.last_heard),
            bound: self.policy.bound(tick),
            paused: granted.saturating_add(Verdict::beyond(late, tick)),
            late,
        })
    }

    /// Makes a beat due if the time for it has come.
    pub(crate) fn handle_beat_time(&mut self, now: Instant) {
        self.beat_due |= self.is_beat_time(now);
    }

    /// Whether it is time for a beat that has not been made due yet.
    pub(crate) fn is_beat_time(&self, now: Instant) -> bool {
        self.beat_at().is_some_and(|deadline| now >= deadline)
    }

    /// Time passed, and a beat may be due. Early and repeated calls do nothing.
    ///
    /// If a verdict is due, returns what [`judge`](Self::judge) takes: read the socket first and
    /// call [`handle_heard`](Self::handle_heard), because bytes that have arrived outrank a
    /// deadline.
    pub fn poll(&mut self, now: Instant) -> Option<ReadFirst> {
        if self.verdict_at().is_some_and(|deadline| now >= deadline) {
            return Some(ReadFirst { now, outbound: Outbound::Clear });
        }
        self.handle_beat_time(now);
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
            Found::All | Found::NoRoom(_) => self.verdict(now, tick),
        }
    }

    /// When the last byte from the peer arrived, or the start if none did.
    #[must_use]
    pub const fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// Replaces the policy: timeout and interval change from now on.
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Draws how early the next beat is sent, from random bits: up to a quarter of the interval.
    pub(crate) fn draw_early(&mut self, bits: u64) {
        let quarter_ms = self.policy.interval.map_or(0, Millis::get) / 4;
        let early_ms = ((u64::from(quarter_ms) + 1) * (bits >> 32)) >> 32;
        self.early_ms = u32::try_from(early_ms).unwrap_or(quarter_ms);
    }

    /// Ends it for another reason than silence.
    pub(crate) const fn end(&mut self) {
        self.is_dead = true;
    }

    /// When the due or next beat is due by the policy. It only moves later.
    pub(crate) fn beat_due_at(&self) -> Option<Instant> {
        let interval = self.policy.interval?;
        let since = match self.policy.timeout {
            // The peer may only answer beats, so other traffic is not enough.
            Some(_) => self.last_sent.min(self.last_beat.max(self.last_heard)),
            // Only the peer has a timeout, and the tutorial's server counts only beats.
            None => self.last_beat,
        };
        Some(since.plus_millis(interval.get()))
    }

    /// The policy in force.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Whether the peer was declared dead, or the connection ended otherwise.
    pub(crate) const fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// When the verdict is due, if nothing more comes from the peer.
    pub(crate) fn verdict_at(&self) -> Option<Instant> {
        if self.is_dead {
            return None;
        }
        self.policy.timeout.map(|timeout| self.judged_from.plus_millis(timeout.get()))
    }

    fn beat_at(&self) -> Option<Instant> {
        if self.is_dead || self.beat_due {
            return None;
        }
        Some(self.beat_due_at()?.minus_millis(self.early_ms))
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
