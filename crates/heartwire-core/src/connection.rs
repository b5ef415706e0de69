//! One connection without its socket: bytes in, events and bytes out.

mod dialogue;
mod gate;
mod settings;

use alloc::boxed::Box;
use core::time::Duration;

use dialogue::Dialogue;
pub use dialogue::Path;
use gate::Stage;
pub use settings::{Caps, Settings, Wire};

use crate::frame::{self, Head, Kind};
use crate::liveness::{Cause, Liveness, Verdict};
use crate::policy::{Bound, Policy, Side};
use crate::stall::Stall;
use crate::time::Instant;
use crate::v1::{self, Bye, Contract, Health, Hello, Welcome};
use crate::violation::Violation;

/// A frame may take this long per KiB of its body on top of [`Caps::frame`]: 1 KiB/s is slower than
/// any link that could carry a beat in time, and still ends a peer that dribbles on purpose.
const TIME_PER_KIB: Duration = Duration::from_secs(1);

/// Beats of the peer that can wait for their answers. An answer proves life and carries nothing, so
/// what a flood asks beyond this is answered by the ones before it.
const ANSWERS_OWED_MAX: u8 = 64;

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

/// A few bytes to write, held in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl Transmit {
    /// A head and the body of a v1 beat.
    const LEN_MAX: usize = frame::HEAD_LEN + v1::BEAT_LEN;
    const NOTHING: Self = Self { bytes: [0; Self::LEN_MAX], len: 0 };

    fn head(head: [u8; frame::HEAD_LEN]) -> Self {
        Self::of([&head, &[]], 8)
    }

    fn beat(body: &[u8; v1::BEAT_LEN]) -> Self {
        let head = frame::head(Kind::Heart, body.len()).unwrap_or(frame::BEAT);
        Self::of([&head, body], 40)
    }

    fn of(parts: [&[u8]; 2], len: u8) -> Self {
        let mut bytes = [0; Self::LEN_MAX];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        Self { bytes, len }
    }
}

/// Nothing to write.
impl Default for Transmit {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl AsRef<[u8]> for Transmit {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
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
    liveness: Liveness,
    caps: Caps,
    tick_ms: u16,
    stage: Stage,
    reading: Reading,
    answers_owed: u8,
    /// For wire v1 only, so that others need no memory for it.
    dialogue: Option<Box<Dialogue>>,
}

/// What became of the bytes in front.
enum Taken<'a> {
    Event(Event<'a>),
    /// A frame that nobody needs to hear of.
    Nothing,
    /// They are not a whole frame.
    Partial,
}

/// Where the peer is in sending a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// It has not sent what has to come first: a whole head, or a whole frame of the handshake.
    First { since: Instant },
    /// It is between frames.
    Between,
    /// It is within a frame; `body_len` is 0 until the head is whole.
    Frame { since: Instant, body_len: u32 },
    /// It broke the protocol, or took its leave: whatever else it sends is not looked at.
    Over,
}

impl Connection {
    /// A connection that starts at `now`: silence, the first beat interval and the time for the
    /// first frame count from here.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        let stage = Stage::of(settings.wire);
        let reading = match stage {
            Stage::Raw => Reading::Between,
            Stage::V0
            | Stage::Opening { .. }
            | Stage::Deciding
            | Stage::AwaitingWelcome
            | Stage::V1 => Reading::First { since: now },
        };
        let client = || Box::new(Dialogue::new(Side::Client, Some(settings.offer_in_force()), now));
        Self {
            liveness: Liveness::new(settings.policy(), now),
            caps: settings.caps,
            tick_ms: settings.tick_ms,
            stage,
            reading,
            answers_owed: 0,
            dialogue: (settings.wire == Wire::V1).then(client),
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
        if let Some(dialogue) = &mut self.dialogue {
            let about = earliest.saturating_add(latest.saturating_since(earliest) / 2);
            dialogue.handle_heard(unread_since, about);
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
            if bytes.is_empty() || self.has_ended() || self.stage == Stage::Deciding {
                return Ok(None);
            }
            if self.stage == Stage::Raw {
                return Ok(Some(Event::Data(core::mem::take(bytes))));
            }
            let taken =
                self.take_frame(now, bytes).inspect_err(|_| self.reading = Reading::Over)?;
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

    fn handle_frame<'a>(
        &mut self,
        now: Instant,
        kind: Kind,
        body: &'a [u8],
        is_last: bool,
    ) -> Result<Taken<'a>, Violation> {
        if self.stage == Stage::AwaitingWelcome && kind == Kind::Heart {
            return Ok(Taken::Nothing);
        }
        if kind != Kind::Hello {
            // The time for the handshake runs until the welcome.
            self.reading = Reading::Between;
        }
        let event = match kind {
            Kind::Heart => self.handle_beat(now, body, is_last)?,
            Kind::Data => {
                self.settle_v0();
                Event::Data(body)
            }
            Kind::Hello => self.handle_hello(body)?,
            Kind::Welcome => self.handle_welcome(now, body)?,
            Kind::Bye => {
                self.reading = Reading::Over;
                Event::Bye(Bye::decode(body)?)
            }
            Kind::Pad => return Ok(Taken::Nothing),
        };
        Ok(Taken::Event(event))
    }

    /// A first frame of v0 means v0.
    fn settle_v0(&mut self) {
        if matches!(self.stage, Stage::Opening { .. }) {
            self.stage = Stage::V0;
        }
    }

    fn handle_beat<'a>(
        &mut self,
        now: Instant,
        body: &[u8],
        is_last: bool,
    ) -> Result<Event<'a>, Violation> {
        let (Some(dialogue), Ok(body)) = (&mut self.dialogue, body.try_into()) else {
            self.settle_v0();
            if self.liveness.policy().echo() {
                self.answers_owed = (self.answers_owed + 1).min(ANSWERS_OWED_MAX);
            }
            return Ok(Event::Beat);
        };
        let beat = v1::Beat::decode(body);
        let arrival = dialogue.arrival(self.liveness.last_heard(), is_last);
        let changed = dialogue.handle_beat(&beat, &self.liveness.policy(), arrival, now)?;
        if dialogue.has_just_become_too_fast() {
            self.liveness.beat_now();
        }
        Ok(changed.map_or(Event::Beat, |policy| {
            self.liveness.set_policy(policy);
            Event::Promise(policy.peer_beat())
        }))
    }

    fn handle_hello<'a>(&mut self, body: &'a [u8]) -> Result<Event<'a>, Violation> {
        let hello = Hello::decode(body)?;
        self.stage = Stage::Deciding;
        // Whoever has to wait for an answer says nothing meanwhile, and is not judged by that.
        self.liveness.set_policy(Policy::agreed(None, None, None));
        Ok(Event::Hello(hello))
    }

    fn handle_welcome<'a>(&mut self, now: Instant, body: &[u8]) -> Result<Event<'a>, Violation> {
        let welcome = Welcome::decode(body)?;
        let dialogue = self.dialogue.as_ref().ok_or(Violation::BadWelcome)?;
        dialogue.check(&welcome)?;
        self.begin(now, welcome.contract);
        Ok(Event::Welcome(welcome))
    }

    /// Takes in the client whose HELLO came, under this contract. What it sent meanwhile can be handed
    /// to [`handle_received`](Self::handle_received) from now on. The caller writes the
    /// [`Welcome`] before anything else.
    ///
    /// Does nothing unless a HELLO waits for an answer.
    pub fn welcome(&mut self, now: Instant, contract: Contract) {
        if self.stage == Stage::Deciding && !self.has_ended() {
            self.dialogue = Some(Box::new(Dialogue::new(Side::Server, None, now)));
            // The silence that counts begins here.
            self.liveness = Liveness::new(self.liveness.policy(), now);
            self.begin(now, contract);
        }
    }

    fn begin(&mut self, now: Instant, contract: Contract) {
        if let Some(dialogue) = &mut self.dialogue {
            self.stage = Stage::V1;
            self.reading = Reading::Between;
            self.liveness.set_policy(dialogue.begin(contract, now));
            self.liveness.beat_now();
        }
    }

    fn handle_partial(&mut self, now: Instant, head: Option<Head>) {
        let body_len = head.map_or(0, |head| head.body_len);
        // The handshake has one deadline for all of it. On v0 the first head is enough.
        let is_opening = match head.map(|head| head.kind) {
            Some(Kind::Heart | Kind::Data) | None => self.stage == Stage::AwaitingWelcome,
            Some(Kind::Hello | Kind::Welcome | Kind::Bye | Kind::Pad) => true,
        };
        self.reading = match (self.reading, head) {
            (Reading::First { since }, None) => Reading::First { since },
            (Reading::First { since }, Some(_)) if is_opening => Reading::First { since },
            (Reading::Frame { since, .. }, _) => Reading::Frame { since, body_len },
            (Reading::First { .. } | Reading::Between, _) => {
                Reading::Frame { since: now, body_len }
            }
            (Reading::Over, _) => Reading::Over,
        };
    }

    /// Something other than what [`poll_transmit`](Self::poll_transmit) returned was sent at `at`,
    /// or is waiting to be. It stands in for a beat where the peer is judged and was heard, or sent a
    /// beat, within the beat interval. Else it does not: a peer that only answers is to be asked, and one
    /// that alone judges may count nothing but beats.
    ///
    /// On v1 it changes nothing: beats carry what data does not, so data does not stand in for them.
    pub fn handle_sent(&mut self, at: Instant) {
        if self.stage != Stage::V1 {
            self.liveness.handle_sent(at);
        }
    }

    /// This end stood still: nobody is held responsible for what they could not show us. The
    /// silence gets another limit (three times at most), a frame its whole time again.
    pub fn handle_stall(&mut self, stall: Stall) {
        self.liveness.handle_stall(stall);
        self.restart_frame(stall.resumed_at);
        if let Some(dialogue) = &mut self.dialogue {
            dialogue.handle_stall(stall.resumed_at);
        }
    }

    /// Bytes of the peer wait that this end has no room for, because its owner is slow. Backpressure
    /// is not death: they count as life, and a frame gets its whole time again.
    pub fn handle_backpressure(&mut self, now: Instant) {
        self.liveness.handle_heard(now);
        self.restart_frame(now);
        if let Some(dialogue) = &mut self.dialogue {
            // What it says of us is among what waits.
            dialogue.handle_stall(now);
        }
    }

    fn restart_frame(&mut self, now: Instant) {
        match &mut self.reading {
            Reading::First { since } | Reading::Frame { since, .. } => *since = (*since).max(now),
            Reading::Between | Reading::Over => {}
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
        [self.liveness.poll_timeout(), self.frame_deadline(), self.unheard_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn unheard_at(&self) -> Option<Instant> {
        self.dialogue.as_ref()?.unheard_at(&self.liveness.policy())
    }

    /// Whether [`handle_timeout`](Self::handle_timeout) at `now` would end the connection. If so,
    /// read what the socket holds before calling it. (If not, only a beat can be due, and reading
    /// first would be wasted.)
    #[must_use]
    pub fn would_end(&self, now: Instant) -> bool {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        !self.has_ended()
            && (passed(self.liveness.verdict_at())
                || passed(self.frame_deadline())
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
        if self.frame_deadline().is_some_and(|deadline| now >= deadline) {
            let violation = match self.reading {
                Reading::Frame { since, .. } => {
                    Violation::SlowFrame { waited: now.saturating_since(since) }
                }
                Reading::First { since } => {
                    Violation::NoFirstFrame { waited: now.saturating_since(since) }
                }
                Reading::Between | Reading::Over => return Ok(None),
            };
            self.reading = Reading::Over;
            return Err(violation);
        }
        let tick = Duration::from_millis(u64::from(self.tick_ms));
        let verdict = self.liveness.handle_timeout(now, tick);
        Ok(verdict.or_else(|| self.call_unheard(now, tick)))
    }

    /// The verdict that the way to the peer is cut, if it is due.
    fn call_unheard(&mut self, now: Instant, tick: Duration) -> Option<Verdict> {
        let dialogue = self.dialogue.as_ref()?;
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
            Stage::V0 | Stage::V1 | Stage::Opening { v0: true } => self.liveness.beat_now(),
            Stage::Raw
            | Stage::Opening { v0: false }
            | Stage::Deciding
            | Stage::AwaitingWelcome => {}
        }
    }

    /// Whether a beat is due: [`poll_transmit`](Self::poll_transmit) has one. After
    /// [`handle_sent`](Self::handle_sent), one that nothing else stands in for.
    #[must_use]
    pub fn beat_due(&self) -> bool {
        self.liveness.beat_due() && self.stage != Stage::Deciding && !self.has_ended()
    }

    /// The next bytes to write: a beat, or the answer to one. They count as sent at `now`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if self.has_ended() || self.stage == Stage::Deciding {
            return None;
        }
        if self.answers_owed > 0 {
            self.answers_owed -= 1;
        } else if !self.liveness.beat_due() {
            return None;
        }
        let due_at = self.liveness.beat_due_at();
        self.liveness.handle_beat_sent(now);
        let Some(dialogue) = &mut self.dialogue else {
            return Some(Transmit::head(frame::BEAT));
        };
        let policy = self.liveness.policy();
        let beat = dialogue.beat(&policy, self.liveness.last_heard(), due_at, now);
        Some(Transmit::beat(&beat.encode()))
    }

    /// Promises the peer a beat every `interval` from now on, as near to that as the contract allows,
    /// and makes one due that says so, if that is news: longer before a device goes to sleep, shorter
    /// when it is back. Returns the interval, or `None` where there is no contract or no beat.
    pub fn promise(&mut self, interval: Duration) -> Option<Duration> {
        let policy = self.dialogue.as_mut()?.promise(interval, &self.liveness.policy())?;
        if policy != self.liveness.policy() {
            self.liveness.set_policy(policy);
            self.liveness.beat_now();
        }
        policy.beat()
    }

    /// What the next beats say of this end. A change makes one due at once. Only v1 has words for it.
    pub fn set_health(&mut self, health: Health) {
        let is_news = self.dialogue.as_mut().is_some_and(|dialogue| dialogue.set_health(health));
        if is_news {
            self.beat_now();
        }
    }

    /// What both ends go by, once a handshake has said so.
    #[must_use]
    pub fn contract(&self) -> Option<&Contract> {
        self.dialogue.as_ref()?.contract()
    }

    /// How both directions fare; `None` but on v1.
    #[must_use]
    pub fn path(&self, now: Instant) -> Option<Path> {
        self.contract().and(self.dialogue.as_ref()).map(|dialogue| dialogue.path(now))
    }

    /// What the peer has turned out to speak.
    #[must_use]
    pub const fn spoken(&self) -> Spoken {
        match self.stage {
            Stage::Raw => Spoken::Raw,
            Stage::V0 => Spoken::V0,
            Stage::V1 => Spoken::V1,
            Stage::Opening { .. } | Stage::Deciding | Stage::AwaitingWelcome => Spoken::Unknown,
        }
    }

    /// How long the body of a [PAD](Kind::Pad) must be that follows a write of `len` bytes, so that
    /// the server reads them at once; `None` if it does anyway.
    #[must_use]
    pub fn padding(&self, len: usize) -> Option<usize> {
        self.dialogue.as_ref()?.padding(len)
    }

    /// Whether the last beat of [`poll_transmit`](Self::poll_transmit) says something new, such as
    /// another promise: the peer is to read it at once, see [`padding`](Self::padding).
    #[must_use]
    pub fn has_told_news(&self) -> bool {
        self.dialogue.as_ref().is_some_and(|dialogue| dialogue.has_told_news())
    }

    /// A connection that reads on where this one ended, and judges and sends nothing: for what had come
    /// before the end.
    #[must_use]
    pub fn for_the_rest(&self, now: Instant) -> Self {
        Self {
            liveness: Liveness::new(Policy::agreed(None, None, None), now),
            reading: Reading::Between,
            answers_owed: 0,
            dialogue: None,
            ..*self
        }
    }

    /// What goes before a body of `body_len` bytes; `None` if no frame can be that long.
    #[must_use]
    pub fn data_head(&self, body_len: usize) -> Option<Transmit> {
        match self.stage {
            Stage::Raw => Some(Transmit::NOTHING),
            Stage::V0
            | Stage::Opening { .. }
            | Stage::Deciding
            | Stage::AwaitingWelcome
            | Stage::V1 => frame::data_head(body_len).map(Transmit::head),
        }
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
    pub fn has_ended(&self) -> bool {
        self.liveness.is_dead() || self.reading == Reading::Over
    }

    fn frame_deadline(&self) -> Option<Instant> {
        match self.reading {
            Reading::First { since } => Some(since.saturating_add(self.caps.first_frame_within()?)),
            Reading::Frame { since, body_len } => {
                let for_body = TIME_PER_KIB.saturating_mul(body_len / 1024);
                Some(since.saturating_add(self.caps.frame_within()?).saturating_add(for_body))
            }
            Reading::Between | Reading::Over => None,
        }
    }
}

#[cfg(test)]
mod tests;
