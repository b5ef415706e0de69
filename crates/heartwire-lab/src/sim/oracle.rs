//! When a verdict may come and when it must, from what the link and the host know.
//!
//! It never looks at the connection that it judges. Bytes count from their arrival, however late the
//! process is to read them. Where the rules leave a driver room (how exactly it knows that arrival), it
//! keeps the earliest and the latest time that they allow.

use core::time::Duration;

use heartwire_core::{Instant, Verdict};

use super::breach::{Breach, Invariant};
use super::link::Record;

/// One silence gets at most this many further limits after stalls (ADR 2).
const GRACES_MAX: u8 = 3;

/// When a driver applies a stall to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grants {
    /// Each one, when it is noticed.
    AtOnce,
    /// The last one, when a deadline comes.
    AtDeadline,
}

/// The judge of one end's verdicts.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    limit: Option<Duration>,
    limit_since: Instant,
    tick: Duration,
    /// What may be added to the time of bytes.
    rounding: Duration,
    grants: Grants,
    arrivals: u64,
    heard: Range,
    from: Range,
    /// The limit has begun anew this often in this silence, at least and at most.
    graces: (u8, u8),
    /// Graces of the silence before, which may go on counting: a driver that is told of a stall
    /// before it has read the byte in between cannot tell the two silences apart.
    carried: u8,
    /// The driver has read what arrived, so that it knows of this silence.
    has_read: bool,
    /// The last stall that the driver can have noticed.
    noticed: Option<Instant>,
    applied: Option<Instant>,
    /// The last time that the machine resumed from a suspend that counts as a stall.
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
        limit: Option<Duration>,
        tick: Duration,
        rounding: Duration,
        grants: Grants,
        now: Instant,
    ) -> Self {
        let start = Range::exactly(now);
        Self {
            limit,
            limit_since: now,
            tick,
            rounding,
            grants,
            arrivals: 0,
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

    /// Takes in what arrived since the last look.
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
        let earliest = self.heard.earliest.max(record.last);
        // What came before the connection was accepted counts from then.
        let latest = Some(earliest.saturating_add(self.rounding));
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
        // A process that did not have its turn may have stalled, and then that counts.
        self.from.latest = latest.max(self.from.latest);
    }

    /// The driver can know of a stall that ended now.
    pub(super) fn handle_stall(&mut self, now: Instant) {
        self.noticed = Some(now);
        match self.grants {
            Grants::AtOnce => self.grant(),
            Grants::AtDeadline => {}
        }
    }

    /// The machine has resumed, from a suspend that a driver must not hold against its peers.
    pub(super) const fn handle_resume(&mut self, now: Instant) {
        self.resumed = Some(now);
    }

    /// A deadline has come while there are bytes that the driver cannot read, because its owner is
    /// slow. They count as life now, and may again when they are read.
    pub(super) fn handle_backpressure(&mut self, now: Instant) {
        self.heard = Range { earliest: now, latest: None };
        self.from = self.heard;
        self.graces = (0, 0);
    }

    /// The peer is judged by another limit from now on.
    pub(super) fn set_limit(&mut self, limit: Option<Duration>, now: Instant) {
        self.limit = limit;
        self.limit_since = now;
    }

    /// The silence that counts begins now, with another limit.
    pub(super) fn restart(&mut self, limit: Option<Duration>, now: Instant) {
        self.set_limit(limit, now);
        self.heard = Range::exactly(self.heard.earliest.max(now));
        self.from = self.heard;
        self.graces = (0, 0);
        self.carried = 0;
    }

    /// The driver looks at its deadlines.
    pub(super) fn handle_judgement(&mut self) {
        self.grant();
    }

    fn grant(&mut self) {
        let Some(stall) = self.noticed.filter(|&stall| Some(stall) != self.applied) else { return };
        self.applied = Some(stall);
        if stall <= self.heard.earliest {
            if !self.has_read {
                self.carried = self.carried.saturating_add(1);
            }
            return;
        }
        self.graces.1 = self.graces.1.saturating_add(core::mem::take(&mut self.carried));
        if self.graces.0 < GRACES_MAX {
            self.from.latest = self.from.latest.map(|latest| latest.max(stall));
        }
        if self.graces.1 < GRACES_MAX {
            let resumed = self.resumed.filter(|&resumed| resumed <= stall).unwrap_or(stall);
            self.from.earliest = self.from.earliest.max(resumed);
            self.graces.1 += 1;
        }
        let is_after = self.heard.latest.is_some_and(|heard| stall > heard);
        if is_after && self.has_read && self.graces.0 < GRACES_MAX {
            self.graces.0 += 1;
        }
    }

    /// When a verdict is overdue, if the driver has been able to run since `runs_since`.
    pub(super) fn overdue_after(&self, runs_since: Instant) -> Option<Instant> {
        let mut latest = self.from.latest?;
        if let Some(stall) = self.noticed.filter(|_| self.graces.0 < GRACES_MAX) {
            latest = latest.max(stall);
        }
        let deadline = latest.saturating_add(self.limit?);
        Some(deadline.max(runs_since).max(self.limit_since).saturating_add(self.tick))
    }

    /// Whether a verdict given now is right.
    pub(super) fn check(
        &self,
        now: Instant,
        runs_since: Instant,
        verdict: &Verdict,
        unread: u64,
    ) -> Result<(), Breach> {
        let Some(limit) = self.limit else {
            let what = "a verdict without a limit".to_owned();
            return Err(Breach::new(Invariant::NeverEarly, what));
        };
        if unread > 0 {
            let what = format!("a verdict with {unread} bytes in the socket");
            return Err(Breach::new(Invariant::ReadFirst, what));
        }
        let mut from = self.from.earliest;
        if let Some(resumed) = self.resumed.filter(|_| self.graces.1 < GRACES_MAX) {
            from = from.max(resumed);
        }
        let due = from.saturating_add(limit);
        if now < due {
            let early = due.saturating_since(now);
            let silent = now.saturating_since(self.heard.earliest);
            let granted = from.saturating_since(self.heard.earliest);
            let what = format!(
                "a verdict {early:?} early: the last byte came {silent:?} ago, of which {granted:?} \
                 do not count; the limit is {limit:?}"
            );
            return Err(Breach::new(Invariant::NeverEarly, what));
        }
        // What is beyond the tick has to be time in which the process could not run.
        if let Some(overdue) = self.overdue_after(runs_since).filter(|&overdue| now > overdue) {
            let late = now.saturating_since(overdue);
            let what = format!("a verdict {late:?} after its bound, without having been held up");
            return Err(Breach::new(Invariant::AlwaysByTheBound, what));
        }
        self.check_figures(now, verdict, limit)
    }

    fn check_figures(
        &self,
        now: Instant,
        verdict: &Verdict,
        limit: Duration,
    ) -> Result<(), Breach> {
        let silent = now.saturating_since(self.heard.earliest);
        let counted = verdict.silence.saturating_sub(verdict.stalled);
        let is_right = verdict.silence >= limit
            && verdict.silence <= silent
            && counted == limit + verdict.late.min(self.tick)
            && verdict.bound.is_some_and(|bound| {
                bound.earliest == limit
                    && bound.latest == limit + self.tick
                    && bound.contains(counted)
            });
        if is_right {
            return Ok(());
        }
        let what = format!("{verdict:?} for a limit of {limit:?} after {silent:?}");
        Err(Breach::new(Invariant::TrueFigures, what))
    }
}
