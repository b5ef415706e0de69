//! What an end reads, and what it makes of it.

use heartwire_core::v1::{Bye, ByeCode, Hello, Retry, Welcome};
use heartwire_core::{Event, Instant, frame};

use super::{Holder, READ_MAX, Received};
use crate::sim::breach::Breach;
use crate::sim::broken::Broken;
use crate::sim::ended::End;
use crate::sim::ledger::len_of;
use crate::sim::link::other;
use crate::sim::net::{Net, Read};

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
        let len = len_of(self.inbound.len() - had);
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
        let late = self.connection.policy().limit().unwrap_or_default() / 10;
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
                    net.tell_violation(self.link, self.side, violation);
                    end = Some(End::Violation(violation));
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
                self.tell_round_trip(net, now);
                if self.terms.is(Broken::AnswersAnswers) {
                    self.outbox.push(frame::BEAT.to_vec());
                }
            }
            Event::Promise(_) => {
                self.tell_round_trip(net, now);
                self.has_new_terms = true;
            }
            Event::Data(data) => net.tell_data(self.link, self.side, data),
            Event::Hello(hello) => return self.handle_hello(net, now, hello),
            Event::Welcome(welcome) => self.handle_welcome(net, now, welcome)?,
            Event::Bye(bye) => {
                return Ok(Some(End::Bye(bye.code)));
            }
        }
        Ok(None)
    }

    fn tell_round_trip(&self, net: &mut Net, now: Instant) {
        if let Some(told) = self.connection.path(now).and_then(|path| path.rtt) {
            net.tell_round_trip(self.link, self.side, told);
        }
    }

    fn handle_hello(
        &mut self,
        net: &mut Net,
        now: Instant,
        hello: &Hello<'_>,
    ) -> Result<Option<End>, Breach> {
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
        self.has_new_terms = true;
        Ok(None)
    }

    fn handle_welcome(
        &mut self,
        net: &mut Net,
        now: Instant,
        _welcome: &Welcome,
    ) -> Result<(), Breach> {
        self.has_new_terms = true;
        self.begin(net, now)
    }
}
