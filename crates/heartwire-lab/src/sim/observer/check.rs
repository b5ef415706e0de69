//! Checks that hold at any time.

use heartwire_core::Instant;

use super::Observer;
use crate::sim::breach::{Breach, Invariant};
use crate::sim::net::Net;

impl Observer {
    /// Checks that hold now, with the host able to run since `runs_since`.
    pub(in crate::sim) fn check(&mut self, net: &Net, runs_since: Instant) -> Result<(), Breach> {
        if self.ledger.is_over {
            return Ok(());
        }
        if self.is_leaving || self.lost.is_some() {
            return Ok(());
        }
        if self.is_closed {
            let what = "a connection was closed without a word".to_owned();
            return Err(Breach::new(Invariant::OncePerOnline, what));
        }
        self.look(net);
        let now = net.clock(self.host);
        self.check_takeover(net, now, runs_since)?;
        if !self.is_lenient()
            && let Some(late) = self.oracle.overdue_for(now, runs_since)
        {
            let what = format!("no verdict {late:?} after its bound");
            return Err(Breach::new(Invariant::AlwaysByTheBound, what));
        }
        self.check_unheard_in_time(net, now, runs_since)?;
        self.check_beats(net, now, runs_since)
    }

    /// A session whose client has connected again has ended after two turns of the server.
    fn check_takeover(
        &mut self,
        net: &Net,
        now: Instant,
        runs_since: Instant,
    ) -> Result<(), Breach> {
        let Some((by, at)) = self.replaced else { return Ok(()) };
        let newer = net.link(by).observers.server.as_ref();
        if newer.is_none_or(|newer| newer.has_given_up()) {
            self.replaced = None;
            return Ok(());
        }
        let overdue = at.max(runs_since).saturating_add(self.terms.tick * 3);
        if now <= overdue {
            return Ok(());
        }
        let late = now.saturating_since(overdue);
        let what = format!("a session is still there {late:?} after link {by} took over its name");
        Err(Breach::new(Invariant::NewestWins, what))
    }

    fn check_unheard_in_time(
        &mut self,
        net: &Net,
        now: Instant,
        runs_since: Instant,
    ) -> Result<(), Breach> {
        if self.lacks_room(net) {
            // What it has read says how the peer hears it, but lies behind what its application has
            // no room for. That is over when this has taken all but what may wait, and hides
            // nothing longer: the time of the verdict stays as it is.
            self.lacked_room_at = now;
            return Ok(());
        }
        let theirs = self.in_force.timeout_of_peer(self.side);
        let due = self.unheard.due(theirs, self.in_force.timeout);
        let Some(due) = due.filter(|_| !self.is_lenient()) else { return Ok(()) };
        // A peer that promises its beats sooner has this end wait less for them, and what was not
        // due yet may be so for long. But this end learns of it only now, as with a silence.
        let timeout_since = self.oracle.timeout_since();
        let can_judge_since = runs_since.max(self.lacked_room_at).max(timeout_since);
        let overdue = due.max(can_judge_since).saturating_add(self.terms.tick);
        if now <= overdue {
            return Ok(());
        }
        let late = now.saturating_since(overdue);
        let what = format!("a peer that hears nothing is not called deaf, {late:?} later");
        Err(Breach::new(Invariant::UnheardByTheBound, what))
    }

    fn check_beats(&self, net: &Net, now: Instant, runs_since: Instant) -> Result<(), Breach> {
        let Some(free_since) = net.free_since(self.link, self.side) else { return Ok(()) };
        // Another program promises nothing once it has let a deadline pass.
        let Some(beat) = self.in_force.interval.filter(|_| !self.is_lenient()) else {
            return Ok(());
        };
        let is_v1 = self.in_force.contract.is_some();
        let last = if is_v1 { self.ledger.last_beat() } else { self.ledger.last_sent() };
        let due = last.saturating_add(beat);
        let overdue = due.max(runs_since).max(free_since).saturating_add(self.terms.tick);
        if now <= overdue {
            return Ok(());
        }
        let what = format!("no beat {:?} after it was due", now.saturating_since(overdue));
        Err(Breach::new(Invariant::BeatsOnTime, what))
    }
}
