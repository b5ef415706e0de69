//! One end of a connection as its process holds it: what both kinds of driver have in common.

mod incoming;
mod outgoing;

use core::fmt;
use core::time::Duration;

use heartwire_core::plan::Mechanism;
use heartwire_core::v1::ByeCode;
use heartwire_core::{Cause, Connection, Instant, Side, Spoken, Stall, Verdict, Violation, frame};

use super::breach::Breach;
use super::broken::Broken;
use super::ledger::{Ledger, begins_with_a_beat};
use super::link::{LinkId, SocketError};
use super::net::Net;
use super::oracle::{Grants, Oracle};
use super::outbox::Outbox;
use super::queue::HostId;
use super::terms::{InForce, Terms};
use super::time::WorldTime;
use super::unheard::Unheard;

/// Bytes read at one go.
pub(super) const READ_MAX: u64 = 4 * 1024;

/// How a connection came to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Dead(Verdict),
    Violation(Violation),
    /// The peer closed it; `truncated` if in the middle of a frame.
    Closed {
        truncated: bool,
    },
    Failed(SocketError),
    /// The peer said why it leaves.
    Bye(ByeCode),
    /// The two ends could not agree.
    TurnedAway,
    /// Its own owner closed it.
    Left,
}

impl End {
    /// What found that the connection is over, in the words of a plan.
    fn mechanism(&self) -> Option<Mechanism> {
        match self {
            Self::Dead(_) => Some(Mechanism::Silence),
            Self::Closed { .. } => Some(Mechanism::EndOfStream),
            Self::Failed(SocketError::Reset) => Some(Mechanism::Reset),
            Self::Failed(SocketError::TimedOut) => Some(Mechanism::Retransmissions),
            Self::Violation(_) | Self::Bye(_) | Self::TurnedAway | Self::Left => None,
        }
    }
}

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
    pub(super) in_force: InForce,
    pub(super) outbox: Outbox,
    /// Lengths of what the application wants to send.
    pub(super) messages: Vec<usize>,
    pub(super) oracle: Oracle,
    pub(super) ledger: Ledger,
    /// When bytes of ours last reached the peer, as far as its last beat could tell.
    pub(super) heard_by_peer_at: WorldTime,
    pub(super) unheard: Unheard,
    /// What its last beat of wire v1 promised.
    pub(super) promised: Option<Duration>,
    inbound: Vec<u8>,
    /// What came may have moved the deadline forward.
    has_new_terms: bool,
}

impl Holder {
    pub(super) fn new(
        net: &mut Net,
        (link, side, host): (LinkId, Side, HostId),
        (terms, peer): (Terms, &Terms),
        grants: Grants,
    ) -> Self {
        let now = net.clock(host);
        let in_force = InForce::at_first(&terms, peer);
        let mut ledger = Ledger::new(now);
        ledger.note_interval(in_force.beat);
        let holder = Self {
            link,
            side,
            host,
            terms,
            connection: Connection::new(terms.settings(), now),
            in_force,
            outbox: Outbox::default(),
            messages: Vec::new(),
            oracle: Oracle::new(in_force.limit, terms.tick, net.rounding(), grants, now),
            ledger,
            heard_by_peer_at: net.now,
            unheard: Unheard::new(now),
            promised: None,
            inbound: Vec::new(),
            has_new_terms: false,
        };
        holder.log(net, format_args!("connected"));
        holder
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
        if begins_with_a_beat(self.side) {
            if !self.in_force.echo {
                self.ledger.note_beat_now();
            }
            self.connection.beat_now();
        }
        self.transmit_first(net, now)?;
        Ok(())
    }

    /// Says how often the next beats will come, on wire v1.
    pub(super) fn promise(&mut self, net: &mut Net, times: u32) {
        let Some(contract) = self.connection.contract() else { return };
        let agreed = match self.side {
            Side::Client => contract.to_server.beat(),
            Side::Server => contract.to_client.beat(),
        };
        let Some(wish) = agreed.map(|beat| beat * times) else { return };
        let promised = self.connection.promise(wish);
        if promised != self.in_force.beat {
            self.ledger.note_beat_now();
            self.ledger.note_interval(promised);
            self.in_force.beat = promised;
            self.unheard.handle_promise();
            self.ledger.restart(net.clock(self.host));
            self.log(net, format_args!("promises a beat in {promised:?}"));
        }
    }

    /// Whether what came may have moved the deadline forward. It is told once.
    pub(super) const fn take_new_terms(&mut self) -> bool {
        core::mem::replace(&mut self.has_new_terms, false)
    }

    /// Lets the oracle take in what has arrived.
    pub(super) fn look(&mut self, net: &Net) {
        self.oracle.look(net.record(self.link, self.side));
    }

    /// Whether a frame has begun that has not arrived whole.
    pub(super) fn has_partial(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// Whether what was read and not taken is a whole frame.
    pub(super) fn has_whole_frame(&self) -> bool {
        let Some((head, rest)) = self.inbound.split_first_chunk::<{ frame::HEAD_LEN }>() else {
            return false;
        };
        let [_, _, _, _, l0, l1, l2, l3] = *head;
        usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).is_ok_and(|len| rest.len() >= len)
    }

    /// This end stood still.
    pub(super) fn handle_stall(&mut self, stall: Stall) {
        self.unheard.excuse(stall.resumed_at);
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
        self.unheard.excuse(now);
        if net.is_busy(self.host) && net.has_news(self.link, self.side) {
            self.look(net);
            self.oracle.handle_backpressure(now);
        }
        net.mishaps.postponed += 1;
        self.log(net, format_args!("the owner is slow: no verdict"));
    }

    /// Looks at the deadlines.
    pub(super) fn judge(&mut self, net: &mut Net, now: Instant) -> Result<Option<End>, Breach> {
        self.look(net);
        self.oracle.handle_judgement();
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
                self.account_for_verdict(net, verdict)?;
                if self.terms.is(Broken::TellsTwice) {
                    self.account_for_verdict(net, verdict)?;
                }
                Ok(Some(End::Dead(verdict)))
            }
            Err(violation) => {
                self.account_for_violation(net, now, violation)?;
                Ok(Some(End::Violation(violation)))
            }
        }
    }

    /// The time by which deadlines are judged: now, unless this driver is too early.
    fn judges_at(&self, now: Instant) -> Instant {
        let early = self.in_force.limit.unwrap_or_default() / 2;
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
    pub(super) const fn is_lenient(&self) -> bool {
        self.terms.is_lenient && self.in_force.contract.is_some()
    }

    /// When its next beat is due, whatever else it waits for.
    fn beats_at(&self) -> Option<Instant> {
        Some(self.ledger.last_beat().saturating_add(self.in_force.beat?))
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
        self.say_farewell(net, end)?;
        net.ends.note(end);
        if let Some(mechanism) = end.mechanism() {
            net.note_end(self.link, self.side, mechanism);
        }
        if self.terms.is(Broken::SpeaksAfterOffline) {
            self.speak()?;
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
