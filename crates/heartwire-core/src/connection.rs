//! One connection without its socket: bytes in, events and bytes out.

mod budget;
mod dialogue;
mod gate;
mod handshake;
mod settings;
mod stage;
mod transmit;

use alloc::boxed::Box;
use core::time::Duration;

pub use dialogue::Path;
use dialogue::{Arrived, Dialogue};
pub use settings::{Caps, Settings, Wire};
use stage::{Reading, Stage};
pub use transmit::Transmit;

use crate::frame::{self, Head, Kind};
use crate::liveness::{Cause, Liveness, Verdict};
use crate::policy::{Bound, Policy, Side};
use crate::stall::Stall;
use crate::time::Instant;
use crate::v1::{self, Bye, Contract, Health, Hello, Welcome};
use crate::violation::Violation;

/// Something that came from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every event")]
pub enum Event<'a> {
    /// A beat. Nothing needs to be done: an answer, if one is owed, is in
    /// [`Connection::poll_transmit`].
    Beat,
    /// A beat that promises the next ones in another interval than those before it (wire v1). The
    /// deadline has moved, perhaps forward.
    Promise(Option<Duration>),
    /// A whole body for the application, borrowed from the bytes it came in.
    Data(&'a [u8]),
    /// A client would like to come in. Nothing more is taken from it until
    /// [`Connection::welcome`] is called, or the connection is closed.
    Hello(Hello<'a>),
    /// The server has taken this client in; the contract is in force.
    Welcome(Welcome),
    /// The peer is about to close the connection. The connection has ended.
    Bye(Bye<'a>),
}

/// What a connection has turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle each")]
pub enum Spoken {
    /// Nothing is known yet: no frame came, or no WELCOME.
    Unknown,
    /// Bytes without heads.
    Raw,
    /// Wire v0.
    V0,
    /// Wire v1, after the handshake.
    V1,
}

/// One connection without its socket and its clock.
///
/// A driver keeps to this order whenever it wakes:
///
/// 1. For bytes it has read, once per read: [`handle_heard`](Self::handle_heard), then
///    [`handle_received`](Self::handle_received) until it returns `None`. It keeps the bytes that
///    are left, a frame half arrived, and puts them in front of the next ones.
/// 2. When [`poll_timeout`](Self::poll_timeout) has passed: read what the socket holds *first*
///    (step 1; bytes that have arrived outrank a deadline), report a stall of its own with
///    [`handle_stall`](Self::handle_stall), then [`handle_timeout`](Self::handle_timeout).
/// 3. [`poll_transmit`](Self::poll_transmit) until it returns `None`; with bytes still waiting to
///    be written, [`handle_sent`](Self::handle_sent) first, and the rest only if a beat is
///    [due all the same](Self::beat_due): it then belongs in front of what waits, if that can be done.
///    Answers can wait until the buffer is empty.
///
/// A verdict, a violation or a BYE ends the connection: no event follows it.
///
/// On [`Wire::V1`] a client first writes a [`Hello`]; a server that gets one decides with
/// [`Terms::agree`](v1::Terms::agree) and whatever else it goes by, and calls
/// [`welcome`](Self::welcome).
#[derive(Clone, Debug)]
pub struct Connection {
    /// Whether the peer lives. That it is over is known here, whatever the reason.
    liveness: Liveness,
    caps: Caps,
    tick_ms: u16,
    stage: Stage,
}

/// Result of taking one frame off the front of the bytes that came.
enum Taken<'a> {
    Event(Event<'a>),
    /// A frame that means nothing to the owner.
    Nothing,
    /// The bytes end before the frame does.
    Partial,
}

impl Connection {
    /// A connection that starts at `now`: silence, the first beat interval and the time for the
    /// first frame count from here.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            liveness: Liveness::new(settings.policy(), now),
            caps: settings.caps,
            tick_ms: settings.tick_ms,
            stage: Stage::new(&settings, now),
        }
    }

    /// At least one byte from the peer arrived at `at`, which may lie in the past.
    pub fn handle_heard(&mut self, at: Instant) {
        self.handle_heard_between(at, at);
    }

    /// The last byte from the peer arrived between these times: no verdict holds it for older than
    /// `latest`, and a round trip is reckoned to the middle.
    pub fn handle_heard_between(&mut self, earliest: Instant, latest: Instant) {
        let unread_since = self.liveness.last_heard();
        self.liveness.handle_heard(latest);
        let arrived = || Arrived::between(unread_since, earliest, latest);
        if let Stage::Awaiting(awaiting) = &mut self.stage {
            awaiting.arrived = arrived();
        } else if let Some(dialogue) = self.stage.dialogue_mut() {
            dialogue.handle_heard(arrived());
        }
    }

    /// Takes the next whole frame off the front of `bytes`.
    ///
    /// `bytes` are all the bytes that came after the last frame taken. Returns `None`, and leaves
    /// what does not make a frame, when they end before the frame does, after the end of the
    /// connection, and while a HELLO is being decided about. An echo that falls due is in
    /// [`poll_transmit`](Self::poll_transmit).
    ///
    /// # Errors
    ///
    /// The [`Violation`], once. The connection has then ended.
    pub fn handle_received<'a>(
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
            let taken = self.take_frame(now, bytes).inspect_err(|_| self.liveness.end())?;
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
        let Some((head, rest)) = bytes.split_first_chunk() else {
            self.handle_partial(now, None);
            return Ok(Taken::Partial);
        };
        let head = self.stage.admit(*head, self.caps.body_len_max)?;
        let len = usize::try_from(head.body_len).unwrap_or(usize::MAX);
        let Some((body, rest)) = rest.split_at_checked(len) else {
            self.handle_partial(now, Some(head));
            return Ok(Taken::Partial);
        };
        *bytes = rest;
        self.handle_frame(now, head.kind, body, rest.is_empty())
    }

    fn handle_partial(&mut self, now: Instant, head: Option<Head>) {
        let is_hello = head.is_some_and(|head| head.kind == Kind::Hello);
        let reading = match &mut self.stage {
            Stage::V0 { reading, .. } => reading,
            Stage::Opening { reading, .. } if !is_hello => reading,
            Stage::V1(dialogue) => &mut dialogue.reading,
            // The handshake has one deadline for all of it.
            Stage::Opening { .. } | Stage::Deciding { .. } | Stage::Awaiting(_) => return,
            Stage::Raw | Stage::V1Rest => return,
        };
        reading.handle_partial(now, head.map(|head| head.body_len));
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
                self.handle_whole();
                Event::Data(body)
            }
            Kind::Hello => self.handle_hello(now, body)?,
            Kind::Welcome => self.handle_welcome(now, body)?,
            Kind::Bye => {
                self.liveness.end();
                Event::Bye(Bye::decode(body)?)
            }
            Kind::Pad => {
                self.handle_whole();
                return Ok(Taken::Nothing);
            }
        };
        Ok(Taken::Event(event))
    }

    /// A whole frame of v0 or v1 came. A first one of v0 means v0.
    fn handle_whole(&mut self) {
        match &mut self.stage {
            Stage::V0 { reading, .. } => *reading = Reading::Between,
            Stage::V1(dialogue) => dialogue.reading = Reading::Between,
            Stage::Opening { .. } => {
                self.stage = Stage::V0 { reading: Reading::Between, answers_owed: 0 };
            }
            Stage::Raw | Stage::Deciding { .. } | Stage::Awaiting(_) | Stage::V1Rest => {}
        }
    }

    fn handle_beat<'a>(
        &mut self,
        now: Instant,
        body: &[u8],
        is_last: bool,
    ) -> Result<Event<'a>, Violation> {
        self.handle_whole();
        let (Some(dialogue), Ok(body)) = (self.stage.dialogue_mut(), body.try_into()) else {
            if self.liveness.policy().echo() {
                self.stage.owe_answer();
            }
            return Ok(Event::Beat);
        };
        let beat = v1::Beat::decode(body);
        let arrived = (self.liveness.last_heard(), is_last);
        let changed = dialogue.handle_beat(&beat, &self.liveness.policy(), arrived, now)?;
        if dialogue.has_just_become_too_fast() {
            self.liveness.beat_now();
        }
        Ok(changed.map_or(Event::Beat, |policy| {
            self.liveness.set_policy(policy);
            Event::Promise(policy.peer_beat())
        }))
    }

    fn handle_hello<'a>(&mut self, now: Instant, body: &'a [u8]) -> Result<Event<'a>, Violation> {
        let hello = Hello::decode(body)?;
        // The time for the handshake runs until the welcome.
        let since = self.stage.waits_since().unwrap_or(now);
        self.stage = Stage::Deciding { since };
        // A client that has to wait for an answer says nothing meanwhile, and is not judged by that.
        self.liveness.set_policy(Policy::agreed(None, None, None));
        Ok(Event::Hello(hello))
    }

    fn handle_welcome<'a>(&mut self, now: Instant, body: &[u8]) -> Result<Event<'a>, Violation> {
        let welcome = Welcome::decode(body)?;
        let Stage::Awaiting(awaiting) = &self.stage else { return Err(Violation::BadWelcome) };
        awaiting.check(&welcome)?;
        let (health, arrived) = (awaiting.health, awaiting.arrived);
        self.begin(Dialogue::new(Side::Client, welcome.contract, health, arrived, now));
        Ok(Event::Welcome(welcome))
    }

    /// Takes in the client whose HELLO came, under this contract. What it sent meanwhile can be handed
    /// to [`handle_received`](Self::handle_received) from now on. The caller writes the
    /// [`Welcome`] before anything else.
    ///
    /// Does nothing unless a HELLO waits for an answer.
    pub fn welcome(&mut self, now: Instant, contract: Contract) {
        if matches!(self.stage, Stage::Deciding { .. }) && !self.has_ended() {
            // The silence that counts begins here.
            self.liveness = Liveness::new(self.liveness.policy(), now);
            let arrived = Arrived::at(now);
            self.begin(Dialogue::new(Side::Server, contract, Health::Ok, arrived, now));
        }
    }

    fn begin(&mut self, dialogue: Dialogue) {
        self.liveness.set_policy(dialogue.policy());
        self.liveness.beat_now();
        self.stage = Stage::V1(Box::new(dialogue));
    }

    /// Something other than what [`poll_transmit`](Self::poll_transmit) returned was sent at `at`,
    /// or is waiting to be. It stands in for a beat where the peer is judged and was heard, or sent a
    /// beat, within the beat interval. Else it does not: a peer that only answers is to be asked, and one
    /// that alone judges may count nothing but beats.
    ///
    /// On v1 it changes nothing: beats carry what data does not, so data does not stand in for them.
    pub fn handle_sent(&mut self, at: Instant) {
        if self.stage.dialogue().is_none() {
            self.liveness.handle_sent(at);
        }
    }

    /// This end stood still: nobody is held responsible for what they could not show us. The
    /// silence gets another limit (three times at most), a frame its whole time again.
    pub fn handle_stall(&mut self, stall: Stall) {
        self.liveness.handle_stall(stall);
        self.stage.restart(stall.resumed_at);
        if let Some(dialogue) = self.stage.dialogue_mut() {
            dialogue.handle_stall(stall.resumed_at);
        }
    }

    /// Bytes of the peer wait that this end has no room for, because its owner is slow. Backpressure
    /// is not death: they count as life, and a frame gets its whole time again.
    pub fn handle_backpressure(&mut self, now: Instant) {
        self.liveness.handle_heard(now);
        self.stage.restart(now);
        if let Some(dialogue) = self.stage.dialogue_mut() {
            // What it says of us is among what waits.
            dialogue.handle_stall(now);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` if there is no deadline.
    ///
    /// It moves later as bytes come and go, so a driver may leave its timer as it is and look here
    /// when it fires. It can move *earlier* in these cases only: after
    /// [`handle_received`](Self::handle_received) left bytes over, or returned [`Event::Promise`] or
    /// [`Event::Welcome`]; after [`welcome`](Self::welcome) and [`promise`](Self::promise); after
    /// [`handle_timeout`](Self::handle_timeout) with what follows it; and after
    /// [`poll_transmit`](Self::poll_transmit) has returned a beat, or [`handle_sent`](Self::handle_sent)
    /// stood in for one, however long after it fell due: one that waits to be sent is no deadline any
    /// more, and the one after it is.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.has_ended() {
            return None;
        }
        [self.liveness.poll_timeout(), self.stage.deadline(&self.caps), self.unheard_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn unheard_at(&self) -> Option<Instant> {
        self.stage.dialogue()?.unheard_at(&self.liveness.policy())
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) at `now` would end the connection. If so,
    /// read what the socket holds before calling it. (If not, only a beat can be due, and reading
    /// first would be wasted.)
    #[must_use]
    pub fn would_end(&self, now: Instant) -> bool {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        !self.has_ended()
            && (passed(self.liveness.verdict_at())
                || passed(self.stage.deadline(&self.caps))
                || passed(self.unheard_at()))
    }

    /// Time passed. Early and repeated calls do nothing.
    ///
    /// # Errors
    ///
    /// The [`Violation`] of a frame that took too long, once. The connection has then ended.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<Option<Verdict>, Violation> {
        if self.has_ended() {
            return Ok(None);
        }
        let is_slow = self.stage.deadline(&self.caps).is_some_and(|deadline| now >= deadline);
        if let Some(violation) = self.stage.too_slow(now).filter(|_| is_slow) {
            self.liveness.end();
            return Err(violation);
        }
        let tick = Duration::from_millis(u64::from(self.tick_ms));
        let verdict = self.liveness.handle_timeout(now, tick);
        Ok(verdict.or_else(|| self.call_unheard(now, tick)))
    }

    /// The verdict that the way to the peer is cut, if it is due.
    fn call_unheard(&mut self, now: Instant, tick: Duration) -> Option<Verdict> {
        let dialogue = self.stage.dialogue()?;
        let deadline = self.unheard_at().filter(|&deadline| now >= deadline)?;
        let heard_at = dialogue.heard_by_peer_at();
        let limit = deadline.saturating_since(heard_at);
        self.liveness.end();
        let late = now.saturating_since(deadline);
        Some(Verdict {
            cause: Cause::Unheard,
            silence: now.saturating_since(heard_at),
            bound: Some(Bound { earliest: limit, latest: limit.saturating_add(tick) }),
            stalled: Verdict::beyond(late, tick),
            late,
        })
    }

    /// Makes a beat due at once. A client calls it at the start, so that its server knows early. An end
    /// that echoes speaks only when it is asked, and does nothing: the other end may echo too, and two
    /// such ends would answer each other for ever.
    pub fn beat_now(&mut self) {
        if self.liveness.policy().echo() {
            return;
        }
        match self.stage {
            Stage::V0 { .. } | Stage::V1(_) | Stage::Opening { v0: true, .. } => {
                self.liveness.beat_now();
            }
            Stage::Raw
            | Stage::Opening { v0: false, .. }
            | Stage::Deciding { .. }
            | Stage::Awaiting(_)
            | Stage::V1Rest => {}
        }
    }

    /// Whether a beat is due: [`poll_transmit`](Self::poll_transmit) has one. After
    /// [`handle_sent`](Self::handle_sent), one that nothing else stands in for.
    #[must_use]
    pub fn beat_due(&self) -> bool {
        self.liveness.beat_due() && !matches!(self.stage, Stage::Deciding { .. })
    }

    /// The next bytes to write: a beat, or the answer to one. They count as sent at `now`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if self.has_ended() {
            return None;
        }
        if !self.stage.take_answer() && !self.beat_due() {
            return None;
        }
        let due_at = self.liveness.beat_due_at();
        self.liveness.handle_beat_sent(now);
        let (policy, last_heard) = (self.liveness.policy(), self.liveness.last_heard());
        let Some(dialogue) = self.stage.dialogue_mut() else {
            return Some(Transmit::head(frame::BEAT));
        };
        let (beat, is_news) = dialogue.beat(&policy, last_heard, due_at, now);
        Some(Transmit::beat(&beat, is_news))
    }

    /// Promises the peer a beat every `interval` from now on, as near to that as the contract allows,
    /// and makes one due that says so, if that is news: longer before a device goes to sleep, shorter
    /// when it is back. Returns the interval, or `None` where there is no contract or no beat.
    pub fn promise(&mut self, interval: Duration) -> Option<Duration> {
        let before = self.liveness.policy();
        let policy = self.stage.dialogue_mut()?.promise(interval, &before)?;
        if policy != before {
            self.liveness.set_policy(policy);
            self.liveness.beat_now();
        }
        policy.beat()
    }

    /// What the next beats say of this end. A change makes one due at once. Only v1 has words for it.
    pub fn set_health(&mut self, health: Health) {
        if let Stage::Awaiting(awaiting) = &mut self.stage {
            awaiting.health = health;
        } else if self.stage.dialogue_mut().is_some_and(|dialogue| dialogue.set_health(health)) {
            self.beat_now();
        }
    }

    /// What both ends go by, once a handshake has said so.
    #[must_use]
    pub fn contract(&self) -> Option<&Contract> {
        self.stage.dialogue().map(Dialogue::contract)
    }

    /// How both directions fare; `None` but on v1.
    #[must_use]
    pub fn path(&self, now: Instant) -> Option<Path> {
        self.stage.dialogue().map(|dialogue| dialogue.path(now))
    }

    /// What the peer has turned out to speak.
    #[must_use]
    pub const fn spoken(&self) -> Spoken {
        match self.stage {
            Stage::Raw => Spoken::Raw,
            Stage::V0 { .. } => Spoken::V0,
            Stage::V1(_) | Stage::V1Rest => Spoken::V1,
            Stage::Opening { .. } | Stage::Deciding { .. } | Stage::Awaiting(_) => Spoken::Unknown,
        }
    }

    /// How long the body of a [PAD](Kind::Pad) must be that follows a write of `len` bytes, so that
    /// the server reads them at once; `None` if it does anyway.
    #[must_use]
    pub fn padding(&self, len: usize) -> Option<usize> {
        self.stage.dialogue()?.padding(len)
    }

    /// A connection that reads on where this one ended, and judges and sends nothing: for what had come
    /// before the end.
    #[must_use]
    pub fn for_the_rest(&self, now: Instant) -> Self {
        Self {
            liveness: Liveness::new(Policy::agreed(None, None, None), now),
            caps: self.caps,
            tick_ms: self.tick_ms,
            stage: self.stage.for_the_rest(),
        }
    }

    /// What goes before a body of `body_len` bytes; `None` if no frame can be that long.
    #[must_use]
    pub fn data_head(&self, body_len: usize) -> Option<Transmit> {
        if let Stage::Raw = self.stage {
            return Some(Transmit::NOTHING);
        }
        frame::data_head(body_len).map(Transmit::head)
    }

    /// When the last byte from the peer arrived, or when the connection started.
    #[must_use]
    pub const fn last_heard(&self) -> Instant {
        self.liveness.last_heard()
    }

    /// The policy in force: that of the contract on v1.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.liveness.policy()
    }

    /// Whether the connection ended with a verdict, a violation or a BYE.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.liveness.is_dead()
    }
}

#[cfg(test)]
mod tests;
