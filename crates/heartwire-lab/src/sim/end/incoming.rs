//! What an end reads, and what it makes of it.

use heartwire_core::v1::{Bye, ByeCode, Hello, Retry, Welcome};
use heartwire_core::{Event, Instant, frame};

use super::{End, Holder, READ_MAX, Received};
use crate::sim::breach::{Breach, Invariant};
use crate::sim::broken::Broken;
use crate::sim::ledger::len_of;
use crate::sim::link::other;
use crate::sim::net::{Net, Read};
use crate::sim::terms::InForce;
use crate::sim::unheard::Unheard;

impl Holder {
    /// Reads once. `stamp` is when the bytes came, as far as the driver knows, given the time now.
    pub(in crate::sim) fn read(
        &mut self,
        net: &mut Net,
        stamp: impl FnOnce(&Net, Instant) -> (Instant, Instant),
    ) -> Result<Received, Breach> {
        let had = self.inbound.len();
        let has_ended = net.link(self.link).pipes.of(other(self.side)).has_ended();
        if has_ended && self.terms.is(Broken::LosesLastWords) {
            return Ok(Received::Ended(End::Closed { truncated: false }));
        }
        let read = net.read(self.link, self.side, &mut self.inbound, READ_MAX);
        if net.readable(self.link, self.side) == 0 {
            net.note_turn(self.link, self.side);
        }
        let truncated = !self.inbound.is_empty();
        match read {
            Read::Nothing => return Ok(Received::Nothing),
            Read::End => return Ok(Received::Ended(End::Closed { truncated })),
            Read::Failed(error) => return Ok(Received::Ended(End::Failed(error))),
            Read::Bytes => {}
        }
        let now = net.clock(self.host);
        if !self.terms.is(Broken::HearsWholeFramesOnly) {
            let (earliest, latest) = self.misread(stamp(net, now));
            self.connection.handle_heard_between(earliest, latest);
        }
        self.unheard.handle_read();
        let len = len_of(self.inbound.len() - had);
        self.log(net, format_args!("reads {len} bytes"));
        Ok(match self.feed(net, now)? {
            Some(end) => Received::Ended(end),
            None => Received::Bytes { len },
        })
    }

    /// When bytes came, or what a broken driver takes for it.
    fn misread(&self, (earliest, latest): (Instant, Instant)) -> (Instant, Instant) {
        if !self.terms.is(Broken::StampsVaguely) {
            return (earliest, latest);
        }
        let late = self.in_force.limit.unwrap_or_default() / 10;
        (earliest.saturating_sub(late), latest)
    }

    /// Decodes what was read.
    fn feed(&mut self, net: &mut Net, now: Instant) -> Result<Option<End>, Breach> {
        let inbound = core::mem::take(&mut self.inbound);
        let mut rest = inbound.as_slice();
        let mut end = None;
        while end.is_none() {
            match self.connection.handle_received(now, &mut rest) {
                Ok(Some(event)) => {
                    if self.terms.is(Broken::HearsWholeFramesOnly) {
                        self.connection.handle_heard(now);
                    }
                    end = self.handle_event(net, now, &event)?;
                }
                Ok(None) => break,
                Err(violation) => {
                    let what = format!("valid bytes taken for {violation}");
                    return Err(Breach::new(Invariant::NoFalseViolation, what));
                }
            }
        }
        self.inbound = match self.terms.broken {
            Some(Broken::LosesPartialFrames) => Vec::new(),
            Some(Broken::RepeatsPartialFrames) if !rest.is_empty() => [rest, rest].concat(),
            Some(_) | None => rest.to_vec(),
        };
        Ok(end)
    }

    fn handle_event(
        &mut self,
        net: &mut Net,
        now: Instant,
        event: &Event<'_>,
    ) -> Result<Option<End>, Breach> {
        match event {
            Event::Beat => {
                self.account_for_heard_beat(net, now)?;
                if self.terms.is(Broken::AnswersAnswers) {
                    self.account_for_beat(net, now, &frame::BEAT)?;
                    self.outbox.push(frame::BEAT.to_vec());
                }
            }
            Event::Promise(promise) => {
                self.account_for_heard_beat(net, now)?;
                self.has_new_terms = true;
                self.in_force.promised(self.side, *promise);
                self.oracle.set_limit(self.in_force.limit, now);
                self.log(net, format_args!("which promises the next in {promise:?}"));
            }
            Event::Data(data) => self.account_for_data(net, data)?,
            Event::Hello(hello) => return self.handle_hello(net, now, hello),
            Event::Welcome(welcome) => self.handle_welcome(net, now, welcome)?,
            Event::Bye(bye) => {
                self.speak()?;
                return Ok(Some(End::Bye(bye.code)));
            }
        }
        Ok(None)
    }

    fn handle_hello(
        &mut self,
        net: &mut Net,
        now: Instant,
        hello: &Hello<'_>,
    ) -> Result<Option<End>, Breach> {
        self.speak()?;
        self.in_force = InForce::while_deciding();
        let contract = match self.terms.of_server().agree(&hello.offer) {
            Ok(contract) => contract,
            Err(conflict) => {
                self.log(net, format_args!("turned away: {conflict}"));
                self.outbox.push(Bye::new(ByeCode::Conflict, Retry::AtWill).encode());
                return Ok(Some(End::TurnedAway));
            }
        };
        self.connection.welcome(now, contract);
        self.outbox.push_first(Welcome::new(1, 0, contract).encode());
        self.in_force = InForce::agreed(contract, self.side);
        self.oracle.restart(self.in_force.limit, now);
        self.begin_contract(net, now);
        Ok(None)
    }

    fn handle_welcome(
        &mut self,
        net: &mut Net,
        now: Instant,
        welcome: &Welcome,
    ) -> Result<(), Breach> {
        self.speak()?;
        self.in_force = InForce::agreed(welcome.contract, self.side);
        self.oracle.set_limit(self.in_force.limit, now);
        self.begin_contract(net, now);
        self.begin(net, now)
    }

    fn begin_contract(&mut self, net: &mut Net, now: Instant) {
        self.unheard = Unheard::new(now);
        self.has_new_terms = true;
        self.ledger.note_begun();
        self.ledger.note_interval(self.in_force.beat);
        self.ledger.note_beat_now();
        self.ledger.restart(now);
        self.log(net, format_args!("agreed: {:?}", self.in_force));
    }
}
