//! Checks the events of an application.

use core::time::Duration;

use heartwire_core::{Cause, Side, Verdict, Violation};
use heartwire_plan::Mechanism;

use super::{Loss, Observer};
use crate::sim::breach::{Breach, Invariant};
use crate::sim::ended::End;
use crate::sim::link::{LinkId, other};
use crate::sim::net::Net;
use crate::sim::oracle::Oracle;
use crate::sim::terms::InForce;
use crate::sim::time::WorldTime;

impl Observer {
    /// An event.
    pub(in crate::sim) fn speak(&self) -> Result<(), Breach> {
        if self.ledger.is_over {
            let what = "an event after the `Offline`".to_owned();
            return Err(Breach::new(Invariant::NothingAfterOffline, what));
        }
        Ok(())
    }

    pub(in crate::sim) fn tell_sent(&self, net: &mut Net, len: usize) {
        self.log(net, format_args!("the application sends {len} bytes"));
    }

    /// The client's application gets the number of messages that are lost with the connection.
    pub(in crate::sim) fn tell_unsent(
        &self,
        net: &mut Net,
        link: LinkId,
        unsent: usize,
    ) -> Result<(), Breach> {
        let Some(lost) = &self.unsent else { return Ok(()) };
        if let Some(dropped) = lost.dropped(unsent) {
            let left = net.forget_too_long(link, dropped, lost.longest);
            net.outbox(self.host).drop_too_long(left, lost.longest);
            return Ok(());
        }
        let what = format!("{unsent} messages are said to be lost, but {lost:?}");
        Err(Breach::new(Invariant::NothingLost, what))
    }

    /// The first messages that are longer than this had been dropped before this connection.
    pub(in crate::sim) fn forget_too_long(&mut self, count: usize, longest: usize) -> usize {
        self.unsent.as_mut().map_or(count, |unsent| unsent.forget(count, longest))
    }

    /// The application gets `Online`.
    pub(in crate::sim) fn tell_online(&mut self, net: &mut Net) -> Result<(), Breach> {
        self.speak()?;
        self.log(net, format_args!("online"));
        if core::mem::replace(&mut self.is_online, true) {
            return Err(Breach::new(Invariant::OncePerOnline, "online twice".to_owned()));
        }
        Ok(())
    }

    /// The socket of this end is closed. If its application knew of it, it gets `Offline` now; if
    /// not, there must be a reason.
    pub(in crate::sim) fn handle_closed(&mut self, net: &mut Net) -> Result<(), Breach> {
        self.is_closed = true;
        self.unread_when_closed = net.readable(self.link, self.side);
        let goes_on = self.side == Side::Client && net.outbox(self.host).session().is_some();
        if self.side == Side::Client && !self.ledger.is_over && self.unsent.is_none() && !goes_on {
            let has_begun = self.writes.has_begun_data();
            let kept = self.terms.keeps_messages;
            self.unsent = Some(net.outbox(self.host).handle_end(has_begun, kept));
        }
        if self.side == Side::Client || self.is_online || self.ledger.is_over {
            return Ok(());
        }
        self.ledger.is_over = true;
        self.log(net, format_args!("is closed before it was online"));
        let now = net.clock(self.host);
        if net.drains_since.is_some() || self.has_said_bye {
            let is_rejected = net.drains_since.is_none();
            net.ends.note(if is_rejected { &End::Rejected } else { &End::Left });
            return Ok(());
        }
        let error = net.link(self.link).sockets.of(self.side).error;
        let left = match error {
            Some(error) if !net.has_ended(self.link, self.side) => Some(End::Failed(error)),
            None if !net.has_ended(self.link, self.side) => None,
            Some(_) | None => Some(End::Closed { truncated: self.reads.has_begun() }),
        };
        if let Some(end) = left {
            self.note_end(net, &end);
            return Ok(());
        }
        let waited = now.saturating_since(self.ledger.started_at);
        let had = |within: Option<Duration>| within.is_some_and(|within| waited >= within);
        let is_silent = self.oracle.is_due(now) && net.readable(self.link, self.side) == 0;
        self.forget_before(net);
        let was_silent =
            |(oracle, lost): &(Oracle, Loss)| oracle.is_due(lost.now) && lost.unread == 0;
        let is_silent = is_silent || self.before.as_deref().is_some_and(was_silent);
        let had_its_time = had(self.terms.handshake_timeout) && !self.ledger.has_begun();
        if had_its_time {
            net.ends.note(&End::Violation(Violation::NoFirstFrame { waited }));
        }
        let is_slow = had(self.terms.frame) && self.reads.has_begun();
        if is_silent {
            net.note_end(self.link, self.side, Mechanism::Silence);
        }
        if is_silent || had_its_time || is_slow {
            return Ok(());
        }
        let what = format!("a client is not accepted after {waited:?}, and got no reason");
        Err(Breach::new(Invariant::NoFalseViolation, what))
    }

    /// The round trip that beats measured must be that of the path.
    pub(in crate::sim) fn tell_round_trip(
        &self,
        net: &mut Net,
        told: Duration,
    ) -> Result<(), Breach> {
        let Some(max_off) = self.terms.round_trip_off else { return Ok(()) };
        net.sums.round_trips += 1;
        let path = net.link(self.link).path;
        let is = net.path(path).delay * 2;
        if told.abs_diff(is) <= max_off {
            return Ok(());
        }
        let what = format!("beats measured a round trip of {told:?}, but it is {is:?}");
        Err(Breach::new(Invariant::TrueRoundTrip, what))
    }

    /// Data came: it must be what was sent.
    pub(in crate::sim) fn tell_data(&mut self, net: &mut Net, data: &[u8]) -> Result<(), Breach> {
        self.speak()?;
        self.log(net, format_args!("data, {} bytes", data.len()));
        let told = net.told(self.link, other(self.side));
        let expected = told.bodies.pop_front();
        told.delivered_frames += 1;
        if expected.is_none_or(|body| body.bytes() != data) {
            let what = format!("{} bytes came out where {expected:?} went in", data.len());
            return Err(Breach::new(Invariant::SameBytes, what));
        }
        Ok(())
    }

    /// A verdict was given: it must be the first, due, and true.
    pub(in crate::sim) fn tell_verdict(
        &mut self,
        net: &mut Net,
        verdict: &Verdict,
    ) -> Result<(), Breach> {
        self.speak()?;
        self.log(net, format_args!("verdict: {verdict}"));
        self.ledger.verdicts += 1;
        net.sums.verdicts += 1;
        if self.ledger.verdicts > 1 {
            return Err(Breach::new(Invariant::NeverTwice, format!("{verdict}")));
        }
        self.handle_loss(net);
        let lost = self.lost.unwrap_or_else(|| self.loss(net));
        if self.in_force == InForce::NOTHING && net.interruption(self.link, self.side).is_some() {
            // It was accepted and declared dead in one turn: its timeout is not known.
            return Ok(());
        }
        // The verdict may be from before its process was held up.
        let before = self.before.as_deref();
        let check = |(oracle, lost): &(Oracle, Loss)| self.check_verdict(oracle, lost, verdict);
        if before.is_none_or(|before| check(before).is_err()) {
            self.check_verdict(&self.oracle, &lost, verdict)?;
        }
        let gap = self.in_force.peer_gap.map(|gap| gap + self.terms.slack);
        let is_promised =
            gap.zip(self.in_force.timeout).is_some_and(|(gap, timeout)| gap < timeout);
        if is_promised && lost.is_healthy {
            return Err(Breach::new(Invariant::HealthyLives, format!("{verdict}")));
        }
        Ok(())
    }

    fn check_verdict(&self, oracle: &Oracle, lost: &Loss, verdict: &Verdict) -> Result<(), Breach> {
        if verdict.cause == Cause::Unheard {
            return self.check_unheard(lost.at, verdict);
        }
        oracle.check(lost.now, lost.runs_since, verdict, lost.unread)
    }

    /// That the peer does not hear this end has to be as old as both timeouts together, as far as
    /// the peer's last beat could tell.
    fn check_unheard(&self, at: WorldTime, verdict: &Verdict) -> Result<(), Breach> {
        let theirs = self.in_force.timeout_of_peer(self.side).unwrap_or_default();
        let ours = self.in_force.timeout.unwrap_or_default();
        let unheard_for = at.since(self.heard_by_peer_at);
        if unheard_for >= theirs + ours {
            return Ok(());
        }
        let what = format!(
            "{verdict}, but the peer was reached {unheard_for:?} ago; the timeouts are {theirs:?} \
             and {ours:?}"
        );
        Err(Breach::new(Invariant::NeverEarly, what))
    }

    /// It was left for a spare connection, because it was silent.
    pub(in crate::sim) fn tell_suspicion(&self) -> Result<(), Breach> {
        let unread = self.unread_when_closed;
        if unread == 0 {
            return Ok(());
        }
        let what = format!("a link is left as silent with {unread} bytes in its socket");
        Err(Breach::new(Invariant::ReadFirst, what))
    }

    /// A frame that is late must not be whole, and must have had its time.
    pub(in crate::sim) fn tell_violation(
        &mut self,
        net: &mut Net,
        violation: Violation,
    ) -> Result<(), Breach> {
        self.speak()?;
        self.log(net, format_args!("violation: {violation}"));
        self.handle_loss(net);
        let lost = self.lost.unwrap_or_else(|| self.loss(net));
        let before = self.before.as_deref().map_or(lost.unread, |(_, before)| before.unread);
        let (now, unread) = (lost.now, lost.unread.min(before));
        let (waited, cap) = if let Violation::NoFirstFrame { waited } = violation {
            (waited, self.terms.handshake_timeout.filter(|_| !self.ledger.has_begun()))
        } else if let Violation::SlowFrame { waited } = violation {
            (waited, self.terms.frame.filter(|_| lost.has_begun))
        } else {
            let what = format!("valid bytes taken for {violation}");
            return Err(Breach::new(Invariant::NoFalseViolation, what));
        };
        let had_its_time = cap.is_some_and(|cap| waited >= cap)
            && now.saturating_since(self.ledger.started_at) >= waited;
        if had_its_time && unread == 0 {
            return Ok(());
        }
        let what = format!("{violation}, with {unread} bytes in the socket");
        Err(Breach::new(Invariant::NoFalseViolation, what))
    }

    /// The last event: how the connection ended.
    pub(in crate::sim) fn tell_end(&mut self, net: &mut Net, end: &End) -> Result<(), Breach> {
        self.log(net, format_args!("offline: {end:?}"));
        if self.ledger.is_over {
            return Err(Breach::new(Invariant::OncePerOnline, "offline twice".to_owned()));
        }
        self.speak()?;
        let is_closed = matches!(end, End::Closed { truncated: false });
        let is_last = net.link(self.link).session.is_none();
        if is_last && (is_closed || matches!(end, End::Bye(_))) {
            let is_complete = net.link(self.link).pipes.of(other(self.side)).is_complete();
            let told = net.told(self.link, other(self.side));
            let has_all = told.delivered_frames >= told.written;
            if !has_all || (is_closed && (!is_complete || self.reads.has_begun())) {
                let what = "an end before the last bytes".to_owned();
                return Err(Breach::new(Invariant::NothingLost, what));
            }
        }
        self.ledger.is_over = true;
        self.note_end(net, end);
        Ok(())
    }

    fn note_end(&self, net: &mut Net, end: &End) {
        net.ends.note(end);
        if let Some(mechanism) = end.mechanism() {
            net.note_end(self.link, self.side, mechanism);
        }
    }
}
