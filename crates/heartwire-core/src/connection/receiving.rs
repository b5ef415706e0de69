//! Receiving: bytes in, events out.

use super::dialogue::{Arrived, Dialogue};
use super::stage::{Reading, Stage};
use super::{Connection, Event};
use crate::boxed::Boxed;
use crate::codec::Header;
use crate::frame::{self, Kind};
use crate::policy::Side;
use crate::resume::Position;
use crate::time::Instant;
use crate::v1::{self, Bye, Hello, Welcome};
use crate::violation::Violation;

/// Result of taking one frame off the front of the bytes that came.
enum Taken<'a> {
    Event(Event<'a>),
    /// A frame that means nothing to the application.
    Nothing,
    /// The bytes end before the frame does.
    Partial,
}

impl Connection {
    /// At least one byte from the peer arrived at `at`, which may lie in the past.
    pub fn handle_heard(&mut self, at: Instant) {
        self.handle_heard_between(at, at);
    }

    /// The last byte from the peer arrived between these times: verdicts use `latest`, and round
    /// trips are measured to the midpoint.
    pub fn handle_heard_between(&mut self, earliest: Instant, latest: Instant) {
        let unread_since = self.last_read();
        self.clocks.handle_heard(latest);
        let arrived = || Arrived::between(unread_since, earliest, latest);
        if let Stage::Awaiting(awaiting) = &mut self.stage {
            awaiting.arrived = arrived();
        } else if let Some(dialogue) = self.stage.dialogue_mut() {
            dialogue.handle_heard(arrived());
        }
    }

    /// Takes the next whole frame off the front of `bytes`.
    ///
    /// `bytes` are all the bytes that came after the last frame taken. Returns `None` and leaves
    /// the rest when they end before the frame does, after the end of the connection, and while a
    /// HELLO waits for [`welcome`](Self::welcome). [`poll`](Self::poll) returns an answer that is
    /// owed.
    ///
    /// An application that has no room for more may leave the rest for later. Until then the peer's
    /// last beat is not used to tell whether it hears this end, because a later one may be in that
    /// rest.
    ///
    /// # Errors
    ///
    /// The [`Violation`], once. The connection has then ended.
    pub fn handle_received<'a>(
        &mut self,
        now: Instant,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        let event = self.take_event(now, bytes)?;
        if let Some(dialogue) = self.stage.dialogue_mut() {
            dialogue.is_held_back = event.is_some() && !bytes.is_empty();
        }
        Ok(event)
    }

    fn take_event<'a>(
        &mut self,
        now: Instant,
        bytes: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, Violation> {
        loop {
            if bytes.is_empty() || self.has_ended() {
                return Ok(None);
            }
            if let Stage::Raw = self.stage {
                return Ok(Some(Event::Data(core::mem::take(bytes))));
            }
            if let Stage::Deciding { .. } = self.stage {
                return Ok(None);
            }
            let taken = self.take_frame(now, bytes).inspect_err(|_| self.clocks.end())?;
            match taken {
                Taken::Event(event) => return Ok(Some(event)),
                Taken::Nothing => {}
                Taken::Partial => return Ok(None),
            }
        }
    }

    fn take_frame<'a>(
        &mut self,
        now: Instant,
        bytes: &mut &'a [u8],
    ) -> Result<Taken<'a>, Violation> {
        let Some((header, rest)) = bytes.split_first_chunk() else {
            self.handle_partial(now, None);
            return Ok(Taken::Partial);
        };
        let header = self.stage.admit(*header, self.rules.limits.max_frame)?;
        let len = usize::try_from(header.body_len).unwrap_or(usize::MAX);
        let Some((body, rest)) = rest.split_at_checked(len) else {
            self.handle_partial(now, Some(header));
            return Ok(Taken::Partial);
        };
        *bytes = rest;
        self.handle_frame(now, header.kind, body, rest.is_empty())
    }

    fn handle_partial(&mut self, now: Instant, header: Option<Header>) {
        let is_hello = header.is_some_and(|header| header.kind == Kind::Hello);
        let reading = match &mut self.stage {
            Stage::V0 { reading, .. } => reading,
            Stage::Opening { reading, .. } if !is_hello => reading,
            Stage::V1(dialogue) => &mut dialogue.reading,
            // The handshake has one deadline for all of it.
            Stage::Opening { .. } | Stage::Deciding { .. } | Stage::Awaiting(_) => return,
            Stage::Raw | Stage::V1Rest(_) => return,
        };
        reading.handle_partial(now, header.map(|header| header.body_len));
    }

    fn handle_frame<'a>(
        &mut self,
        now: Instant,
        kind: Kind,
        body: &'a [u8],
        is_last: bool,
    ) -> Result<Taken<'a>, Violation> {
        let event = match kind {
            Kind::Heart if matches!(self.stage, Stage::Awaiting(_)) => return Ok(Taken::Nothing),
            Kind::Heart => self.handle_beat(now, body, is_last)?,
            Kind::Data => {
                self.count(frame::HEADER_LEN + body.len(), false)?;
                Event::Data(body)
            }
            Kind::End => {
                self.count(frame::HEADER_LEN, true)?;
                Event::End
            }
            Kind::Ack => {
                self.handle_whole();
                self.handle_told(body)?;
                return Ok(Taken::Nothing);
            }
            // Without an allocator it takes quadratic time, and any client can send it.
            Kind::Hello if !cfg!(any(feature = "alloc", test)) => {
                return Err(Violation::Unexpected { kind });
            }
            Kind::Hello => self.handle_hello(now, body)?,
            Kind::Welcome => self.handle_welcome(now, body)?,
            Kind::Bye => {
                self.clocks.end();
                let bye = Bye::decode(body)?;
                if let Some((ledger, taken)) = self.ledger_mut().zip(bye.taken) {
                    ledger.handle_told(taken)?;
                }
                Event::Bye(Boxed::new(bye))
            }
            Kind::Pad => {
                self.handle_whole();
                return Ok(Taken::Nothing);
            }
        };
        Ok(Taken::Event(event))
    }

    /// A whole frame came that a session counts, if it can be resumed.
    fn count(&mut self, len: usize, is_end: bool) -> Result<(), Violation> {
        self.handle_whole();
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.ledger_mut().map_or(Ok(()), |ledger| ledger.handle_frame(len, is_end))
    }

    /// The peer told in these last bytes of a body what it has taken over.
    fn handle_told(&mut self, position: &[u8]) -> Result<(), Violation> {
        let Some((ledger, position)) = self.ledger_mut().zip(position.first_chunk()) else {
            return Ok(());
        };
        ledger.handle_told(Position::decode(position))
    }

    /// A whole frame of v0 or v1 came. A first one of v0 means v0.
    fn handle_whole(&mut self) {
        match &mut self.stage {
            Stage::V0 { reading, .. } => *reading = Reading::Between,
            Stage::V1(dialogue) => dialogue.reading = Reading::Between,
            Stage::Opening { .. } => {
                self.stage = Stage::V0 { reading: Reading::Between, answers_owed: 0 };
            }
            Stage::Raw | Stage::Deciding { .. } | Stage::Awaiting(_) | Stage::V1Rest(_) => {}
        }
    }

    fn handle_beat<'a>(
        &mut self,
        now: Instant,
        body: &[u8],
        is_last: bool,
    ) -> Result<Event<'a>, Violation> {
        self.handle_whole();
        self.handle_told(body.get(v1::BEAT_LEN..).unwrap_or_default())?;
        let (Some(dialogue), Some(body)) = (self.stage.dialogue_mut(), body.first_chunk()) else {
            if self.policy().echo() {
                self.stage.owe_answer();
            }
            return Ok(Event::Beat);
        };
        let beat = v1::Beat::decode(body);
        let promise = dialogue.handle_beat(&beat, &self.clocks, is_last, now)?;
        if dialogue.has_just_become_too_fast() {
            self.clocks.beat_now();
        }
        Ok(promise.map_or(Event::Beat, |promise| Event::Promise(promise.duration())))
    }

    fn handle_hello<'a>(&mut self, now: Instant, body: &'a [u8]) -> Result<Event<'a>, Violation> {
        let hello = Hello::decode(body)?;
        // The handshake timeout runs until the WELCOME.
        let since = self.stage.waits_since().unwrap_or(now);
        let max_frame = hello.max_frame.unwrap_or(frame::MAX_FRAME);
        self.stage = Stage::Deciding { since: since.into(), max_frame };
        Ok(Event::Hello(Boxed::new(hello)))
    }

    // Once per connection: in line it would take stack at every frame.
    #[inline(never)]
    fn handle_welcome<'a>(&mut self, now: Instant, body: &[u8]) -> Result<Event<'a>, Violation> {
        let welcome = Welcome::decode(body)?;
        let Stage::Awaiting(awaiting) = &self.stage else { return Err(Violation::BadWelcome) };
        awaiting.check(&welcome)?;
        let (health, arrived, rtt) = (awaiting.health, awaiting.arrived, awaiting.rtt(&welcome));
        let agreed = (welcome.session, welcome.contract.into());
        let dialogue = Dialogue::new(Side::Client, agreed, health, arrived, now);
        let max_frame = welcome.max_frame.unwrap_or(frame::MAX_FRAME);
        self.begin(dialogue.with_rtt(rtt).with_max_frame(max_frame));
        Ok(Event::Welcome(Boxed::new(welcome)))
    }
}
