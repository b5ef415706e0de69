//! What an end has done so far, and whether it was allowed to.

use core::time::Duration;

use heartwire_core::v1::Beat;
use heartwire_core::{Cause, Instant, Side, Spoken, Verdict, Violation, Wire, frame};

use super::breach::{Breach, Invariant};
use super::end::{End, Holder};
use super::link::{Heard, content, other};
use super::net::Net;

/// What an end has done so far.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) started_at: Instant,
    /// When it last sent anything, and a beat.
    last_sent: Instant,
    last_beat: Instant,
    beats_sent: u64,
    beats_heard: u64,
    /// Beats that were due for another reason than an interval.
    beats_extra: u64,
    /// Intervals that have passed, at the shortest interval that ever was in force.
    shortest_beat: Option<Duration>,
    /// It has heard what comes first.
    has_begun: bool,
    verdicts: u32,
    /// It said farewell.
    is_over: bool,
}

impl Ledger {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            started_at: now,
            last_sent: now,
            last_beat: now,
            beats_sent: 0,
            beats_heard: 0,
            beats_extra: 0,
            shortest_beat: None,
            has_begun: false,
            verdicts: 0,
            is_over: false,
        }
    }

    pub(super) fn note_interval(&mut self, beat: Option<Duration>) {
        self.shortest_beat = [self.shortest_beat, beat].into_iter().flatten().min();
    }

    /// A beat is due now, whatever the interval.
    pub(super) const fn note_beat_now(&mut self) {
        self.beats_extra += 1;
    }

    pub(super) const fn last_beat(&self) -> Instant {
        self.last_beat
    }

    pub(super) fn note_sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// An interval begins here.
    pub(super) fn restart(&mut self, now: Instant) {
        self.last_sent = self.last_sent.max(now);
        self.last_beat = self.last_beat.max(now);
    }

    pub(super) const fn note_begun(&mut self) {
        self.has_begun = true;
    }
}

impl Holder {
    /// An event is told to the owner.
    pub(super) fn speak(&self) -> Result<(), Breach> {
        if self.ledger.is_over {
            let what = "an event after the farewell".to_owned();
            return Err(Breach::new(Invariant::NothingAfterOffline, what));
        }
        Ok(())
    }

    /// Whether anything was sent within the beat interval.
    pub(super) fn has_just_sent(&self, now: Instant) -> bool {
        let quiet = now.saturating_since(self.ledger.last_sent);
        self.in_force.beat.is_some_and(|beat| quiet < beat)
    }

    /// A beat was sent: it must be due, or answer one that was.
    pub(super) fn account_for_beat(
        &mut self,
        net: &mut Net,
        now: Instant,
        frame: &[u8],
    ) -> Result<(), Breach> {
        net.sums.beats += 1;
        let last_at = net.link(self.link).sockets.of(self.side).record.last_at;
        let asked = net.told(self.link, other(self.side)).beats;
        let ledger = &mut self.ledger;
        ledger.beats_sent += 1;
        ledger.last_beat = now;
        let elapsed = now.saturating_since(ledger.started_at);
        let intervals = ledger.shortest_beat.map_or(0, |beat| whole(elapsed, beat));
        let due = ledger.beats_extra + intervals;
        let answers = if self.in_force.echo { asked.min(ledger.beats_heard) } else { 0 };
        let sent = ledger.beats_sent;
        if sent > due + answers {
            let what = format!(
                "{sent} beats in {elapsed:?}, of which {due} were due and {answers} answers"
            );
            return Err(Breach::new(Invariant::NoEchoLoop, what));
        }
        let told = net.told(self.link, self.side);
        told.beats = due.min(sent);
        let body = frame.get(frame::HEAD_LEN..).and_then(|body| body.try_into().ok());
        if let Some(beat) = body.map(Beat::decode) {
            told.heard.push_back(Heard { last_at, silence: beat.silence() });
            let promised = beat.promise();
            if promised < core::mem::replace(&mut self.promised, promised) {
                // Until now the peer had no reason to expect a beat so soon.
                self.unheard.excuse(now);
            }
        }
        self.log(net, format_args!("sends a beat"));
        Ok(())
    }

    /// A beat came.
    pub(super) fn account_for_heard_beat(
        &mut self,
        net: &mut Net,
        now: Instant,
    ) -> Result<(), Breach> {
        self.speak()?;
        self.ledger.beats_heard += 1;
        self.ledger.has_begun = true;
        if let Some(heard) = net.told(self.link, other(self.side)).heard.pop_front() {
            self.heard_by_peer_at = heard.last_at;
            let record = net.record(self.link, self.side);
            let arrived_by = record.last.saturating_add(net.rounding()).min(now);
            self.unheard.handle_beat(arrived_by, heard.silence);
        }
        self.log(net, format_args!("a beat"));
        self.check_round_trip(net, now)
    }

    /// What a beat tells of the path must be so.
    fn check_round_trip(&self, net: &mut Net, now: Instant) -> Result<(), Breach> {
        let told = self.connection.path(now).and_then(|path| path.rtt);
        let Some((told, off_max)) = told.zip(self.terms.round_trip_off) else { return Ok(()) };
        net.sums.round_trips += 1;
        let path = net.link(self.link).path;
        let is = net.path(path).delay * 2;
        if told.abs_diff(is) <= off_max {
            return Ok(());
        }
        let what = format!("beats tell a round trip of {told:?}, and it takes {is:?}");
        Err(Breach::new(Invariant::TrueRoundTrip, what))
    }

    /// Data came: it must be what was sent.
    pub(super) fn account_for_data(&mut self, net: &mut Net, data: &[u8]) -> Result<(), Breach> {
        self.speak()?;
        self.ledger.has_begun = true;
        self.log(net, format_args!("data, {} bytes", data.len()));
        let is_raw = self.terms.wire == Wire::Raw;
        let told = net.told(self.link, other(self.side));
        let expected = if is_raw { Some(data.len()) } else { told.bodies.pop_front() };
        let is_same = expected == Some(data.len())
            && (told.delivered..).zip(data).all(|(at, &byte)| content(at) == byte);
        told.delivered += len_of(data.len());
        if !is_same || told.delivered > told.sent {
            let what =
                format!("{} bytes came out where {expected:?} other bytes went in", data.len());
            return Err(Breach::new(Invariant::SameBytes, what));
        }
        Ok(())
    }

    /// A verdict was given: it must be the first, due, and true.
    pub(super) fn account_for_verdict(
        &mut self,
        net: &mut Net,
        verdict: Verdict,
    ) -> Result<(), Breach> {
        self.speak()?;
        self.log(net, format_args!("verdict: {verdict}"));
        self.ledger.verdicts += 1;
        net.sums.verdicts += 1;
        if self.ledger.verdicts > 1 {
            return Err(Breach::new(Invariant::NeverTwice, format!("{verdict}")));
        }
        if verdict.cause == Cause::Unheard {
            self.check_unheard(net, &verdict)?;
        } else {
            let unread = net.readable(self.link, self.side);
            let runs_since = net.host(self.host).runs_since;
            self.oracle.check(net.clock(self.host), runs_since, &verdict, unread)?;
        }
        let gap = self.in_force.peer_gap.map(|gap| gap + self.terms.slack);
        let is_promised = gap.zip(self.in_force.limit).is_some_and(|(gap, limit)| gap < limit);
        if is_promised && self.is_healthy(net) {
            return Err(Breach::new(Invariant::HealthyLives, format!("{verdict}")));
        }
        Ok(())
    }

    /// That the peer does not hear this end has to be as old as both limits together, as far as the
    /// peer's last beat could tell.
    fn check_unheard(&self, net: &Net, verdict: &Verdict) -> Result<(), Breach> {
        let theirs = self.in_force.limit_of_peer(self.side).unwrap_or_default();
        let ours = self.in_force.limit.unwrap_or_default();
        let unheard_for = net.now.since(self.heard_by_peer_at);
        if unheard_for >= theirs + ours {
            return Ok(());
        }
        let what = format!(
            "{verdict}, but the peer was reached {unheard_for:?} ago; the limits are {theirs:?} \
             and {ours:?}"
        );
        Err(Breach::new(Invariant::NeverEarly, what))
    }

    fn is_healthy(&self, net: &Net) -> bool {
        let link = net.link(self.link);
        link.is_calm && link.sockets.of(other(self.side)).is_held
    }

    /// A frame that is late must not be whole, and must have had its time.
    pub(super) fn account_for_violation(
        &mut self,
        net: &mut Net,
        now: Instant,
        violation: Violation,
    ) -> Result<(), Breach> {
        self.speak()?;
        self.log(net, format_args!("violation: {violation}"));
        let unread = net.readable(self.link, self.side);
        let (waited, cap) = if let Violation::NoFirstFrame { waited } = violation {
            (waited, self.terms.first_frame.filter(|_| !self.ledger.has_begun))
        } else if let Violation::SlowFrame { waited } = violation {
            (waited, self.terms.frame.filter(|_| self.has_partial()))
        } else {
            (Duration::ZERO, None)
        };
        let had_its_time = cap.is_some_and(|cap| waited >= cap)
            && now.saturating_since(self.ledger.started_at) >= waited;
        if had_its_time && unread == 0 && !self.has_whole_frame() {
            return Ok(());
        }
        let what = format!("{violation}, with {unread} bytes in the socket");
        Err(Breach::new(Invariant::NoFalseViolation, what))
    }

    /// The last thing that an end says.
    pub(super) fn say_farewell(&mut self, net: &mut Net, end: &End) -> Result<(), Breach> {
        self.speak()?;
        self.log(net, format_args!("offline: {end:?}"));
        if matches!(end, End::Closed { truncated: false }) {
            let is_complete = net.link(self.link).pipes.of(other(self.side)).is_complete();
            if !is_complete || self.has_partial() {
                let what = "an end before the last bytes".to_owned();
                return Err(Breach::new(Invariant::NothingLost, what));
            }
        }
        self.ledger.is_over = true;
        Ok(())
    }

    /// What has to hold at any time, with the host able to run since `runs_since`.
    pub(super) fn check(&mut self, net: &Net, runs_since: Instant) -> Result<(), Breach> {
        self.look(net);
        let now = net.clock(self.host);
        let overdue = self.oracle.overdue_after(runs_since).filter(|_| !self.is_lenient());
        if let Some(overdue) = overdue.filter(|&at| now > at) {
            let what = format!("no verdict {:?} after its bound", now.saturating_since(overdue));
            return Err(Breach::new(Invariant::AlwaysByTheBound, what));
        }
        let theirs = self.in_force.limit_of_peer(self.side);
        let unheard = self.unheard.due(theirs, self.in_force.limit);
        if let Some(due) = unheard.filter(|_| !self.is_lenient()) {
            let overdue = due.max(runs_since).saturating_add(self.terms.tick);
            if now > overdue {
                let late = now.saturating_since(overdue);
                let what = format!("a peer that hears nothing is not called deaf, {late:?} later");
                return Err(Breach::new(Invariant::UnheardByTheBound, what));
            }
        }
        // Somebody else's program promises nothing once it has let a deadline pass.
        let is_held_to_it = self.outbox.is_empty() && !self.is_lenient();
        let Some(beat) = self.in_force.beat.filter(|_| is_held_to_it) else { return Ok(()) };
        let last = match self.connection.spoken() {
            Spoken::V1 => self.ledger.last_beat,
            Spoken::V0 | Spoken::Raw | Spoken::Unknown => self.ledger.last_sent,
        };
        let overdue = last.saturating_add(beat).max(runs_since).saturating_add(self.terms.tick);
        if now > overdue {
            let what = format!("no beat {:?} after it was due", now.saturating_since(overdue));
            return Err(Breach::new(Invariant::BeatsOnTime, what));
        }
        Ok(())
    }
}

pub(super) fn len_of(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn whole(elapsed: Duration, part: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() / part.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// Only a client's connection begins with a beat that nobody waited for.
pub(super) const fn begins_with_a_beat(side: Side) -> bool {
    matches!(side, Side::Client)
}
