//! When an end must have given the verdict `unheard`: the path to the peer is cut, as the peer's
//! beats report.
//!
//! It uses those beats and their arrival at the link, and never reads the connection that it
//! checks.

use core::time::Duration;

use heartwire_core::Instant;

use super::host::Interruption;

/// What the beats of a peer on protocol v1 report of the path to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unheard {
    /// When the peer last heard this end, at the latest.
    heard_by: Instant,
    /// The same before the bytes that are being handled. Of beats that are read together only the
    /// last one counts.
    before: Instant,
    /// The silence in its last beat.
    silence: Duration,
}

impl Unheard {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard_by: now, before: now, silence: Duration::ZERO }
    }

    /// Bytes were read; their frames follow.
    pub(super) const fn handle_read(&mut self) {
        self.before = self.heard_by;
    }

    /// A beat that arrived by `arrived_by` reports a silence of `silence`.
    pub(super) fn handle_beat(&mut self, arrived_by: Instant, silence: Duration) {
        self.heard_by = self.before.max(arrived_by.saturating_sub(silence));
        self.silence = silence;
    }

    /// The peer's silence about us counts from `now` at the earliest: the contract began, this end
    /// was paused or could not read, or it has promised its beats sooner.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.heard_by = self.heard_by.max(now);
        self.before = self.before.max(now);
    }

    /// Its process was held up after it had read, and may assume that the bytes are that much
    /// younger.
    pub(super) fn handle_interruption(&mut self, it: Interruption) {
        let lasted = it.until.saturating_since(it.from);
        self.heard_by = self.heard_by.saturating_add(lasted);
        self.before = self.before.saturating_add(lasted);
    }

    /// This end promises another interval: earlier reports are based on the old one.
    pub(super) const fn handle_promise(&mut self) {
        self.silence = Duration::ZERO;
    }

    /// When the verdict is due, for a peer with a timeout of `theirs` and an end with one of
    /// `ours`.
    pub(super) fn due(&self, theirs: Option<Duration>, ours: Option<Duration>) -> Option<Instant> {
        let theirs = theirs.filter(|&theirs| self.silence >= theirs)?;
        Some(self.heard_by.saturating_add(theirs).saturating_add(ours?))
    }
}
