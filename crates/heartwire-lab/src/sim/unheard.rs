//! When an end must have called its peer deaf: the way to it is cut, as the peer's own beats tell.
//!
//! It goes by what those beats say and when the link says that they came, and never looks at the
//! connection that it judges.

use core::time::Duration;

use heartwire_core::Instant;

use super::host::Interruption;

/// What the beats of a peer on protocol v1 tell of the way to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unheard {
    /// When the peer last heard this end, at the latest.
    heard_by: Instant,
    /// The same before the bytes that are being handled. Of beats that are read together the last one
    /// knows best, so that those before it count for nothing.
    before: Instant,
    /// For how long it had not, by its last beat.
    silence: Duration,
}

impl Unheard {
    pub(super) const fn new(now: Instant) -> Self {
        Self { heard_by: now, before: now, silence: Duration::ZERO }
    }

    /// Bytes were read, and what they say comes now.
    pub(super) const fn handle_read(&mut self) {
        self.before = self.heard_by;
    }

    /// A beat that came at `arrived_by` at the latest says that nothing was heard for `silence`.
    pub(super) fn handle_beat(&mut self, arrived_by: Instant, silence: Duration) {
        self.heard_by = self.before.max(arrived_by.saturating_sub(silence));
        self.silence = silence;
    }

    /// Nothing that was not heard before `now` is held against the way: the contract began, this end
    /// was paused or could not read, or it has promised its beats sooner.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.heard_by = self.heard_by.max(now);
        self.before = self.before.max(now);
    }

    /// Its process was held up after it had read, and may take what it read for so much younger.
    pub(super) fn handle_interruption(&mut self, it: Interruption) {
        let lasted = it.until.saturating_since(it.from);
        self.heard_by = self.heard_by.saturating_add(lasted);
        self.before = self.before.saturating_add(lasted);
    }

    /// This end promises its beats in another interval: what was said before was said under another.
    pub(super) const fn handle_promise(&mut self) {
        self.silence = Duration::ZERO;
    }

    /// When the verdict is due, for a peer with a timeout of `theirs` and an end with one of `ours`.
    pub(super) fn due(&self, theirs: Option<Duration>, ours: Option<Duration>) -> Option<Instant> {
        let theirs = theirs.filter(|&theirs| self.silence >= theirs)?;
        Some(self.heard_by.saturating_add(theirs).saturating_add(ours?))
    }
}
