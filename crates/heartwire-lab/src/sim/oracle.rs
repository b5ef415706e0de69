//! Oracle: when a verdict may come and when it must, from what the link and the host know.
//!
//! It never reads the connection that it checks. Bytes count from their arrival, however late the
//! process reads them. Where the rules leave a driver room (how precisely it knows that arrival),
//! it keeps the earliest and the latest time that they allow.

use core::time::Duration;

use heartwire_core::{Instant, Verdict};

use super::breach::{Breach, Invariant};
use super::host::Interruption;
use super::link::Record;

/// One silence gets at most this many further timeouts after pauses (ADR 2).
const MAX_GRACES: u8 = 3;

/// The oracle of one end's verdicts.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    timeout: Option<Duration>,
    timeout_since: Instant,
    tick: Duration,
    /// What may be added to the time of bytes.
    rounding: Duration,
    /// And to that of the last ones, because the process was held up when it had read them.
    interrupted_for: Duration,
    arrivals: u64,
    /// When the connection began: if the process was held up then, perhaps only afterwards.
    begun: Range,
    heard: Range,
    from: Range,
    /// How often the timeout was restarted in this silence, at least and at most.
    graces: (u8, u8),
    /// Graces of the silence before, which may go on counting: a driver that is told of a pause
    /// before it has read the byte in between cannot tell the two silences apart.
    carried: u8,
    /// The driver has read what arrived, so that it knows of this silence.
    has_read: bool,
    /// The last pause that the driver can have noticed.
    noticed: Option<Instant>,
    /// The last one that it must have applied.
    applied: Option<Instant>,
    /// The last time that the machine resumed from a suspend that counts as a pause.
    resumed: Option<Instant>,
}

/// A time that is known to lie within a range.
#[derive(Clone, Copy, Debug)]
struct Range {
    earliest: Instant,
    /// `None` while it is not known: the process did not have its turn.
    latest: Option<Instant>,
}

impl Range {
    const fn exactly(at: Instant) -> Self {
        Self { earliest: at, latest: Some(at) }
    }
}

impl Oracle {
    pub(super) const fn new(
        timeout: Option<Duration>,
        tick: Duration,
        rounding: Duration,
        now: Instant,
    ) -> Self {
        let start = Range::exactly(now);
        Self {
            timeout,
            timeout_since: now,
            tick,
            rounding,
            interrupted_for: Duration::ZERO,
            arrivals: 0,
            begun: start,
            heard: start,
            from: start,
            graces: (0, 0),
            carried: 0,
            has_read: true,
            noticed: None,
            applied: None,
            resumed: None,
        }
    }

    /// Takes in what arrived since the last call.
    pub(super) fn look(&mut self, record: &Record) {
        let is_new = record.arrivals != self.arrivals;
        self.has_read = record.turn.is_some() || record.arrivals == 0;
        if !is_new && self.heard.latest.is_some() {
            if record.turn.is_some() {
                self.carried = 0;
            }
            return;
        }
        self.arrivals = record.arrivals;
        if is_new {
            self.interrupted_for = Duration::ZERO;
        }
        let earliest = self.heard.earliest.max(record.last);
        // What came before the connection was accepted counts from then.
        let latest = earliest.saturating_add(self.rounding).saturating_add(self.interrupted_for);
        let latest = self.begun.latest.max(Some(latest));
        self.heard = Range { earliest, latest };
        if record.turn.is_some() {
            self.carried = 0;
        }
        if is_new {
            if record.turn.is_none() {
                self.carried = self.carried.saturating_add(self.graces.1);
            }
            self.from = self.heard;
            self.graces = (0, 0);
            return;
        }
        // A process that did not have its turn may have paused, and then that counts.
        self.from.latest = latest.max(self.from.latest);
    }

    /// The driver can know of a pause that ended now. It applies the last one that it knows of when
    /// it judges, so that those before it may count for nothing: how many timeouts there were is
    /// known only between the two.
    pub(super) fn handle_pause(&mut self, now: Instant) {
        self.noticed = Some(now);
        if now <= self.heard.earliest {
            if !self.has_read {
                self.carried = self.carried.saturating_add(1);
            }
            self.applied = Some(now);
            return;
        }
        self.graces.1 = self.graces.1.saturating_add(core::mem::take(&mut self.carried));
        if self.graces.1 < MAX_GRACES {
            let resumed = self.resumed.filter(|&resumed| resumed <= now).unwrap_or(now);
            self.from.earliest = self.from.earliest.max(resumed);
            self.graces.1 += 1;
        }
    }

    /// The machine has resumed, from a suspend that a driver must not blame its peers for.
    pub(super) const fn handle_resume(&mut self, now: Instant) {
        self.resumed = Some(now);
    }

    /// Its process was held up in its turn. When what it had read in that turn came, or that its
    /// connection began, it may know so much less well: but never that it was sooner.
    pub(super) fn handle_interruption(&mut self, it: Interruption, has_read: bool) {
        if it.from <= self.begun.earliest {
            self.begun.latest = Some(it.until);
        }
        if !has_read && self.heard.latest.is_some() && self.heard.earliest < it.from {
            return;
        }
        let lasted = it.until.saturating_since(it.from);
        self.interrupted_for = self.interrupted_for.saturating_add(lasted);
        self.heard.latest = self.heard.latest.map(|latest| latest.saturating_add(lasted));
        self.from.latest = self.from.latest.max(self.heard.latest);
    }

    /// A deadline has come while there are bytes that the driver cannot read, because its
    /// application is slow. They count as life now, and may again when they are read.
    pub(super) fn handle_backpressure(&mut self, now: Instant) {
        self.heard = Range { earliest: now, latest: None };
        self.interrupted_for = Duration::ZERO;
        self.from = self.heard;
        self.graces = (0, 0);
    }

    /// The timeout changes from now on.
    pub(super) fn set_timeout(&mut self, timeout: Option<Duration>, now: Instant) {
        self.timeout = timeout;
        self.timeout_since = now;
    }

    /// Since when the timeout is what it is.
    pub(super) const fn timeout_since(&self) -> Instant {
        self.timeout_since
    }

    /// The timeout begins to count now, or since then with another value.
    pub(super) fn restart(&mut self, timeout: Option<Duration>, begun: Instant, now: Instant) {
        self.set_timeout(timeout, now);
        let earliest = self.heard.earliest;
        self.heard = Range { earliest: earliest.max(begun), latest: Some(earliest.max(now)) };
        self.from = self.heard;
        // The process may have noticed a pause since then, and counts it.
        self.graces = (0, u8::from(self.noticed.is_some_and(|pause| pause > begun)));
        self.carried = 0;
    }

    /// The driver has applied the last pause that it noticed. Returns whether that gave the silence
    /// another timeout.
    fn apply(&mut self) -> bool {
        let Some(pause) = self.noticed.filter(|&pause| Some(pause) != self.applied) else {
            return false;
        };
        self.applied = Some(pause);
        if self.graces.0 >= MAX_GRACES {
            return false;
        }
        self.from.latest = self.from.latest.map(|latest| latest.max(pause));
        if self.has_read && self.heard.latest.is_some_and(|heard| pause > heard) {
            self.graces.0 += 1;
        }
        true
    }

    /// How long a verdict is overdue at `now`, if it is, and the driver has been able to run since
    /// `runs_since`. A deadline that has passed without one was put off by a pause, if there was
    /// one.
    pub(super) fn overdue_for(&mut self, now: Instant, runs_since: Instant) -> Option<Duration> {
        loop {
            let overdue = self.overdue_from(self.from.latest?, runs_since)?;
            if now <= overdue {
                return None;
            }
            if !self.apply() {
                return Some(now.saturating_since(overdue));
            }
        }
    }

    /// Whether a verdict may be given at `now`.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.timeout.is_some_and(|timeout| now >= self.from.earliest.saturating_add(timeout))
    }

    /// When a verdict that was given is late.
    fn late_after(&self, runs_since: Instant) -> Option<Instant> {
        let mut latest = self.from.latest?;
        if let Some(pause) = self.noticed.filter(|_| self.graces.0 < MAX_GRACES) {
            latest = latest.max(pause);
        }
        self.overdue_from(latest, runs_since)
    }

    fn overdue_from(&self, latest: Instant, runs_since: Instant) -> Option<Instant> {
        let deadline = latest.saturating_add(self.timeout?);
        Some(deadline.max(runs_since).max(self.timeout_since).saturating_add(self.tick))
    }

    /// Whether a verdict given now is right.
    pub(super) fn check(
        &self,
        now: Instant,
        runs_since: Instant,
        verdict: &Verdict,
        unread: u64,
    ) -> Result<(), Breach> {
        let Some(timeout) = self.timeout else {
            let what = "a verdict without a timeout".to_owned();
            return Err(Breach::new(Invariant::NeverEarly, what));
        };
        if unread > 0 {
            let what = format!("a verdict with {unread} bytes in the socket");
            return Err(Breach::new(Invariant::ReadFirst, what));
        }
        let mut from = self.from.earliest;
        if let Some(resumed) = self.resumed.filter(|_| self.graces.1 < MAX_GRACES) {
            from = from.max(resumed);
        }
        let due = from.saturating_add(timeout);
        if now < due {
            let early = due.saturating_since(now);
            let silent = now.saturating_since(self.heard.earliest);
            let granted = from.saturating_since(self.heard.earliest);
            let what = format!(
                "a verdict {early:?} early: the last byte came {silent:?} ago, of which \
                 {granted:?} do not count; the timeout is {timeout:?}"
            );
            return Err(Breach::new(Invariant::NeverEarly, what));
        }
        // What is beyond the tick has to be time in which the process could not run.
        if let Some(overdue) = self.late_after(runs_since).filter(|&overdue| now > overdue) {
            let late = now.saturating_since(overdue);
            let what = format!("a verdict {late:?} after its bound, without having been held up");
            return Err(Breach::new(Invariant::AlwaysByTheBound, what));
        }
        self.check_figures(now, verdict, timeout)
    }

    fn check_figures(
        &self,
        now: Instant,
        verdict: &Verdict,
        timeout: Duration,
    ) -> Result<(), Breach> {
        let silent = now.saturating_since(self.heard.earliest);
        let counted = verdict.silence.saturating_sub(verdict.paused);
        let is_right = verdict.silence >= timeout
            && verdict.silence <= silent
            && counted == timeout + verdict.late.min(self.tick)
            && verdict.bound.is_some_and(|bound| {
                bound.earliest == timeout
                    && bound.latest == timeout + self.tick
                    && bound.contains(counted)
            });
        if is_right {
            return Ok(());
        }
        let what = format!("{verdict:?} for a timeout of {timeout:?} after {silent:?}");
        Err(Breach::new(Invariant::TrueFigures, what))
    }
}
