//! One end of a connection as its process holds it: what both kinds of driver have in common.

mod incoming;
mod outgoing;

use core::fmt;
use core::time::Duration;

use heartwire_core::{Cause, Connection, Instant, Side, Spoken, Stall};

use super::breach::Breach;
use super::broken::Broken;
use super::ended::End;
use super::link::{Both, LinkId};
use super::net::Net;
use super::outbox::Outbox;
use super::queue::HostId;
use super::terms::Terms;

/// Bytes read at one go.
pub(super) const READ_MAX: u64 = 4 * 1024;

/// What a read came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Received {
    Nothing,
    Bytes { len: u64 },
    Ended(End),
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) link: LinkId,
    pub(super) side: Side,
    pub(super) host: HostId,
    pub(super) terms: Terms,
    pub(super) connection: Connection,
    pub(super) outbox: Outbox,
    /// Lengths of what the application wants to send.
    pub(super) messages: Vec<usize>,
    /// When it last sent anything, and a beat.
    last_sent: Instant,
    last_beat: Instant,
    inbound: Vec<u8>,
    /// What came may have moved the deadline forward.
    has_new_terms: bool,
}

impl Holder {
    pub(super) fn new(
        net: &mut Net,
        (link, side, host): (LinkId, Side, HostId),
        terms: &Both<Terms>,
    ) -> Self {
        let now = net.clock(host);
        net.watch(link, side, terms);
        let terms = *terms.of(side);
        Self {
            link,
            side,
            host,
            terms,
            connection: Connection::new(terms.settings(), now),
            outbox: Outbox::default(),
            messages: Vec::new(),
            last_sent: now,
            last_beat: now,
            inbound: Vec::new(),
            has_new_terms: false,
        }
    }

    /// Writes a line about this end into the log.
    pub(super) fn log(&self, net: &mut Net, what: fmt::Arguments<'_>) {
        let Self { link, side, host, .. } = *self;
        match side {
            Side::Client => net.log(&format_args!("client {host} #{link}"), what),
            Side::Server => net.log(&format_args!("server   #{link}"), what),
        }
    }

    /// Whether the owner may use it.
    pub(super) fn is_online(&self) -> bool {
        self.connection.spoken() != Spoken::Unknown
    }

    /// The first beat of a connection, where there is one.
    pub(super) fn begin(&mut self, net: &mut Net, now: Instant) -> Result<(), Breach> {
        if self.side == Side::Client {
            self.connection.beat_now();
        }
        self.transmit_first(net, now)?;
        Ok(())
    }

    /// Says how often the next beats will come, on wire v1.
    pub(super) fn promise(&mut self, times: u32) {
        let Some(contract) = self.connection.contract() else { return };
        let agreed = match self.side {
            Side::Client => contract.to_server.beat(),
            Side::Server => contract.to_client.beat(),
        };
        let Some(wish) = agreed.map(|beat| beat * times) else { return };
        self.connection.promise(wish);
    }

    /// Whether what came may have moved the deadline forward. It is told once.
    pub(super) const fn take_new_terms(&mut self) -> bool {
        core::mem::replace(&mut self.has_new_terms, false)
    }

    /// Whether a frame has begun that has not arrived whole.
    pub(super) fn has_partial(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// This end stood still.
    pub(super) fn handle_stall(&mut self, stall: Stall) {
        match self.terms.broken {
            Some(Broken::IgnoresStalls) => {}
            Some(Broken::TakesStallsForLife) => self.connection.handle_heard(stall.resumed_at),
            Some(_) | None => self.connection.handle_stall(stall),
        }
    }

    /// A deadline has come, and there is something in the socket that the owner has no room for.
    pub(super) fn postpone(&mut self, net: &mut Net) {
        if self.terms.is(Broken::TakesSlownessForDeath) {
            return;
        }
        let now = net.clock(self.host);
        self.connection.handle_backpressure(now);
        net.note_backpressure(self.link, self.side);
    }

    /// Looks at the deadlines.
    pub(super) fn judge(&mut self, net: &mut Net, now: Instant) -> Result<Option<End>, Breach> {
        if self.connection.would_end(now) && self.lets_pass() {
            if self.is_lenient() && self.beats_at().is_some_and(|at| now >= at) {
                self.connection.beat_now();
            }
            return Ok(None);
        }
        if self.lets_unheard_pass(now) {
            return Ok(None);
        }
        match self.connection.handle_timeout(self.judges_at(now)) {
            Ok(None) => Ok(None),
            Ok(Some(mut verdict)) => {
                if self.terms.is(Broken::TellsWrongFigures) {
                    verdict.late += Duration::from_millis(1);
                }
                net.tell_verdict(self.link, self.side, &verdict);
                if self.terms.is(Broken::TellsTwice) {
                    net.tell_verdict(self.link, self.side, &verdict);
                }
                Ok(Some(End::Dead(verdict)))
            }
            Err(violation) => {
                net.tell_violation(self.link, self.side, violation);
                Ok(Some(End::Violation(violation)))
            }
        }
    }

    /// The time by which deadlines are judged: now, unless this driver is too early.
    fn judges_at(&self, now: Instant) -> Instant {
        let early = self.connection.policy().limit().unwrap_or_default() / 2;
        let then = now.saturating_add(early);
        let is_too_early =
            self.terms.is(Broken::JudgesUnheardEarly) && self.would_call_unheard(then);
        if is_too_early { then } else { now }
    }

    /// Whether this driver lets the verdict pass that the peer does not hear it, which is due.
    fn lets_unheard_pass(&self, now: Instant) -> bool {
        self.terms.is(Broken::NeverJudgesUnheard) && self.would_call_unheard(now)
    }

    fn would_call_unheard(&self, at: Instant) -> bool {
        let verdict = self.connection.clone().handle_timeout(at);
        verdict.is_ok_and(|verdict| verdict.is_some_and(|it| it.cause == Cause::Unheard))
    }

    /// Whether this end leaves judging to the other.
    pub(super) fn is_lenient(&self) -> bool {
        self.terms.is_lenient && self.connection.contract().is_some()
    }

    /// When its next beat is due, whatever else it waits for.
    fn beats_at(&self) -> Option<Instant> {
        Some(self.last_beat.saturating_add(self.connection.policy().beat()?))
    }

    /// When the driver has to look at its deadlines next. One that it lets pass comes no more.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.is_lenient() && self.connection.would_end(now) {
            let soon = now.saturating_add(self.terms.tick);
            return self.beats_at().map(|at| if at > now { at } else { soon });
        }
        if self.lets_unheard_pass(now) {
            return Some(now.saturating_add(self.terms.tick));
        }
        self.connection.poll_timeout()
    }

    /// Whether this driver is one that lets a deadline pass.
    fn lets_pass(&self) -> bool {
        self.is_lenient() || self.lets_all_pass()
    }

    /// Whether it is broken, so that it does.
    pub(super) fn lets_all_pass(&self) -> bool {
        self.terms.is(Broken::NeverJudges)
            || (self.terms.is(Broken::WaitsForWrites) && !self.outbox.is_empty())
    }

    /// The owner has had enough: what has come is read, and the connection closed.
    pub(super) fn leave(&mut self, net: &mut Net) -> Result<(), Breach> {
        while let Received::Bytes { .. } = self.read(net, |_, now| (now, now))? {}
        self.finish(net, &End::Left)
    }

    /// The last thing that an end says, and the end of its socket.
    pub(super) fn finish(&mut self, net: &mut Net, end: &End) -> Result<(), Breach> {
        net.tell_end(self.link, self.side, end);
        if self.terms.is(Broken::SpeaksAfterOffline) {
            net.tell_data(self.link, self.side, &[]);
        }
        match end {
            End::Dead(_) => net.abort(self.link, self.side),
            End::Failed(_) => net.vanish(self.link, self.side),
            End::Violation(_) | End::Closed { .. } | End::Bye(_) | End::TurnedAway | End::Left => {
                // The last chance for what is queued; whether it succeeds changes nothing.
                let _ = self.outbox.write(net, self.link, self.side);
                net.close(self.link, self.side);
            }
        }
        Ok(())
    }
}
