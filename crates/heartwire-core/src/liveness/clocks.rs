//! When a peer was heard, and when it was sent something.

use core::time::Duration;

use super::{Cause, Verdict};
use crate::pause::Pause;
use crate::policy::Policy;
use crate::time::Instant;

/// A silence is restarted at most this often after pauses of this process, so that even a host that
/// is paused all the time declares a dead peer dead after `(MAX_GRACES + 1) × timeout` awake.
const MAX_GRACES: u8 = 3;

/// The policy of a connection, and its next beat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) policy: Policy,
    /// How long before it is due the next beat is sent, so that ends which started together do not
    /// stay in step.
    pub(crate) early_ms: u32,
}

/// The times of one peer. They are judged by a policy that is passed in, because the connections of
/// a server share it: 32 bytes, because it keeps these for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    last_heard: Instant,
    /// When the timeout began to count: at the last byte, or at the end of our last pause after it.
    judged_from: Instant,
    /// When a beat was sent, which is what a peer answers if it answers anything.
    last_beat: Instant,
    /// How long after that anything was sent last, in whole milliseconds. So the next beat may come
    /// earlier by a part of one.
    sent_after_ms: u32,
    /// How often this silence was restarted after a pause of ours.
    graces: u8,
    beat_due: bool,
    /// The connection has ended, by this verdict or for another reason. Nothing follows.
    is_dead: bool,
}

impl Clocks {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            last_heard: now,
            judged_from: now,
            last_beat: now,
            sent_after_ms: 0,
            graces: 0,
            beat_due: false,
            is_dead: false,
        }
    }

    pub(crate) fn handle_heard(&mut self, at: Instant) {
        if at <= self.last_heard {
            return;
        }
        self.last_heard = at;
        if at >= self.judged_from {
            self.judged_from = at;
            self.graces = 0;
        }
    }

    pub(crate) fn handle_sent(&mut self, policy: &Policy, at: Instant) {
        self.sent_after_ms = self.sent_after_ms.max(at.millis_since(self.last_beat));
        self.beat_due &= self.beat_due_at(policy).is_some_and(|due_at| due_at <= at);
    }

    pub(crate) fn handle_beat_sent(&mut self, at: Instant) {
        let last_sent = self.last_sent();
        self.last_beat = self.last_beat.max(at);
        self.sent_after_ms = last_sent.millis_since(self.last_beat);
        self.beat_due = false;
    }

    pub(crate) fn handle_pause(&mut self, pause: Pause) {
        if pause.resumed_at > self.judged_from && self.graces < MAX_GRACES {
            self.judged_from = pause.resumed_at;
            self.graces += 1;
        }
    }

    pub(crate) const fn beat_now(&mut self) {
        self.beat_due = true;
    }

    pub(crate) const fn beat_due(&self) -> bool {
        self.beat_due && !self.is_dead
    }

    pub(crate) fn poll_timeout(&self, pace: &Pace) -> Option<Instant> {
        match (self.verdict_at(&pace.policy), self.beat_at(pace)) {
            (Some(verdict), Some(beat)) => Some(verdict.min(beat)),
            (verdict, beat) => verdict.or(beat),
        }
    }

    /// The verdict, if it is due.
    pub(crate) fn verdict(
        &mut self,
        policy: &Policy,
        now: Instant,
        tick: Duration,
    ) -> Option<Verdict> {
        let deadline = self.verdict_at(policy).filter(|&deadline| now >= deadline)?;
        let late = now.saturating_since(deadline);
        let granted = self.judged_from.saturating_since(self.last_heard);
        self.is_dead = true;
        Some(Verdict {
            cause: Cause::Silence,
            silence: now.saturating_since(self.last_heard),
            bound: policy.bound(tick),
            paused: granted.saturating_add(Verdict::beyond(late, tick)),
            late,
        })
    }

    /// Makes a beat due if the time for it has come.
    pub(crate) fn handle_beat_time(&mut self, pace: &Pace, now: Instant) {
        self.beat_due |= self.is_beat_time(pace, now);
    }

    /// Whether it is time for a beat that has not been made due yet.
    pub(crate) fn is_beat_time(&self, pace: &Pace, now: Instant) -> bool {
        self.beat_at(pace).is_some_and(|deadline| now >= deadline)
    }

    pub(crate) const fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// When a beat was sent, or the start if none was.
    pub(crate) const fn last_beat(&self) -> Instant {
        self.last_beat
    }

    fn last_sent(&self) -> Instant {
        self.last_beat.plus_millis(self.sent_after_ms)
    }

    /// Ends it for another reason than silence.
    pub(crate) const fn end(&mut self) {
        self.is_dead = true;
    }

    /// When the due or next beat is due by the policy. It only moves later.
    pub(crate) fn beat_due_at(&self, policy: &Policy) -> Option<Instant> {
        let interval = policy.interval?;
        let since = match policy.timeout {
            // The peer may only answer beats, so other traffic is not enough.
            Some(_) => self.last_sent().min(self.last_beat.max(self.last_heard)),
            // Only the peer has a timeout, and the tutorial's server counts only beats.
            None => self.last_beat,
        };
        Some(since.plus_millis(interval.get()))
    }

    /// Whether the peer was declared dead, or the connection ended otherwise.
    pub(crate) const fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// When the verdict is due, if nothing more comes from the peer.
    pub(crate) fn verdict_at(&self, policy: &Policy) -> Option<Instant> {
        if self.is_dead {
            return None;
        }
        policy.timeout.map(|timeout| self.judged_from.plus_millis(timeout.get()))
    }

    fn beat_at(&self, pace: &Pace) -> Option<Instant> {
        if self.is_dead || self.beat_due {
            return None;
        }
        Some(self.beat_due_at(&pace.policy)?.minus_millis(pace.early_ms))
    }
}
