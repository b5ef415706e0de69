//! One connection without its socket: bytes in, events and bytes out.

mod budget;
mod dialogue;
mod driving;
mod expected;
mod handshake;
mod receiving;
mod settings;
mod stage;
mod transmit;

use core::time::Duration;

pub use dialogue::LinkState;
use dialogue::{Arrived, Dialogue};
use settings::Rules;
pub use settings::{FrameLimits, Protocol, Settings, Template};
use stage::Stage;
pub use transmit::{Pad, Transmit};

use crate::boxed::{Boxed, Shared};
use crate::codec;
use crate::liveness::{Clocks, Pace};
use crate::policy::{Policy, Side};
use crate::resume::Ledger;
use crate::time::Instant;
use crate::v1::{Bye, Contract, Health, Hello, Welcome};

/// Something that came from the peer. What comes once per connection is boxed, so that the rest is
/// moved cheaply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle every event")]
pub enum Event<'a> {
    /// A beat. Nothing needs to be done: [`Connection::poll`] returns the answer, if one is owed.
    Beat,
    /// A beat that promises the next one within this time, which is another interval than before
    /// (protocol v1). The deadline has moved, perhaps earlier.
    Promise(Duration),
    /// A whole body for the application, borrowed from the bytes it came in.
    Data(&'a [u8]),
    /// The peer sends no more data; in a [session that can be resumed](crate::resume) only. To be
    /// [taken over](Ledger::take) like data.
    End,
    /// A client wants to connect. Nothing more is taken from it until [`Connection::welcome`] is
    /// called, or the connection is closed.
    Hello(Boxed<Hello<'a>>),
    /// The server has accepted this client; the contract is in force.
    Welcome(Boxed<Welcome>),
    /// The peer is about to close the connection. The connection has ended.
    Bye(Boxed<Bye<'a>>),
}

/// The protocol that a connection turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle each")]
pub enum Spoken {
    /// Not known yet: no frame came, or no WELCOME.
    Unknown,
    /// Bytes without headers.
    Raw,
    /// Protocol v0.
    V0,
    /// Protocol v1, after the handshake.
    V1,
}

/// One connection without its socket and its clock.
///
/// In a session that can be [resumed](crate::resume) it [has](Self::attach) the session's
/// [`Ledger`].
///
/// After each read a driver calls [`handle_heard`](Self::handle_heard), then
/// [`handle_received`](Self::handle_received) until it returns `None`. It keeps the bytes that are
/// left, a partial frame, and puts them in front of the next ones. Whenever it wakes, it asks [what
/// to do next](Self::poll): the module [`order`](crate::order) has an example.
///
/// A verdict, a violation or a BYE ends the connection: no event follows it.
///
/// On [`Protocol::V1`] a client first writes a [`Hello`]; the server negotiates with
/// [`Terms::agree`](crate::v1::Terms::agree), decides whether to accept the client, and calls
/// [`welcome`](Self::welcome).
#[derive(Clone, Debug)]
pub struct Connection {
    /// They also know whether the connection has ended, for whatever reason.
    clocks: Clocks,
    rules: Shared<Rules>,
    stage: Stage,
}

impl Connection {
    /// A connection that starts at `now`: the silence, the first beat interval and the handshake
    /// timeout count from here.
    #[must_use]
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self::with_rules(&settings, Shared::new(settings.rules()), now)
    }

    fn with_rules(settings: &Settings, rules: Shared<Rules>, now: Instant) -> Self {
        Self { clocks: Clocks::new(now), rules, stage: Stage::new(settings, now) }
    }

    /// Accepts the client whose HELLO came, with this contract and the `session` that the
    /// [`Welcome`] will carry. From now on [`handle_received`](Self::handle_received) takes what
    /// the client sent meanwhile. The caller writes the WELCOME before anything else. Returns how
    /// long the HELLO was held, for [`Welcome::held`](crate::v1::Welcome::held).
    ///
    /// Does nothing unless a HELLO waits for an answer.
    pub fn welcome(
        &mut self,
        now: Instant,
        session: u64,
        contract: impl Into<Shared<Contract>>,
    ) -> Duration {
        let held = now.saturating_since(self.clocks.last_heard());
        if self.has_ended() {
            return held;
        }
        if let Stage::Deciding { max_frame, .. } = self.stage {
            // The timeout counts from here.
            self.clocks = Clocks::new(now);
            let (agreed, arrived) = ((session, contract.into()), Arrived::at(now));
            let dialogue = Dialogue::new(Side::Server, agreed, Health::Ok, arrived, now);
            self.begin(dialogue.with_max_frame(max_frame));
        }
        held
    }

    fn begin(&mut self, dialogue: Dialogue) {
        self.clocks.beat_now();
        self.stage = Stage::V1(Boxed::new(dialogue));
    }

    /// Changes this end's interval, as far as the contract allows, and makes a beat due that tells
    /// the peer: longer before a device goes to sleep, shorter when it is back. Returns the
    /// interval, or `None` without a contract or without beats.
    pub fn promise(&mut self, interval: Duration) -> Option<Duration> {
        let dialogue = self.stage.dialogue_mut()?;
        if dialogue.promise(interval)? {
            self.clocks.beat_now();
        }
        dialogue.policy().interval()
    }

    /// Sets the health that the next beats report (v1 only). A change makes one due at once.
    pub fn set_health(&mut self, health: Health) {
        if let Stage::Awaiting(awaiting) = &mut self.stage {
            awaiting.health = health;
        } else if self.stage.dialogue_mut().is_some_and(|dialogue| dialogue.set_health(health)) {
            self.beat_now();
        }
    }

    /// The negotiated settings, after the handshake of v1.
    #[must_use]
    pub fn contract(&self) -> Option<&Contract> {
        self.stage.dialogue().map(Dialogue::contract)
    }

    /// State of both directions of the connection; `None` except on v1.
    #[must_use]
    pub fn link_state(&self, now: Instant) -> Option<LinkState> {
        self.stage.dialogue().map(|dialogue| dialogue.link_state(now))
    }

    /// The protocol that the peer turned out to speak.
    #[doc(hidden)]
    #[must_use]
    pub const fn spoken(&self) -> Spoken {
        match self.stage {
            Stage::Raw => Spoken::Raw,
            Stage::V0 { .. } => Spoken::V0,
            Stage::V1(_) | Stage::V1Rest(_) => Spoken::V1,
            Stage::Opening { .. } | Stage::Deciding { .. } | Stage::Awaiting(_) => Spoken::Unknown,
        }
    }

    /// The [PAD](crate::frame::Kind::Pad) that must follow a write of `len` bytes so that the
    /// server reads them at once; `None` if none is needed.
    #[must_use]
    pub fn pad(&self, len: usize) -> Option<Pad> {
        self.stage.dialogue()?.pad(len)
    }

    /// Gives the connection the positions of its [session](crate::resume): from now on frames are
    /// counted, and beats tell what was taken over. To be called right after
    /// [`welcome`](Self::welcome), or after [`Event::Welcome`]; does nothing before.
    #[cfg(feature = "resume")]
    pub fn attach(&mut self, ledger: Boxed<Ledger>) {
        if let Some(slot) = self.stage.ledger_slot() {
            *slot = Some(ledger);
        }
    }

    /// Takes the positions of the session out, for its next connection.
    #[cfg(feature = "resume")]
    #[must_use]
    pub fn detach(&mut self) -> Option<Boxed<Ledger>> {
        self.stage.ledger_slot()?.take()
    }

    /// The positions of the session, if it can be resumed.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        self.stage.ledger()
    }

    /// The same, to change them.
    pub fn ledger_mut(&mut self) -> Option<&mut Ledger> {
        self.stage.ledger_slot()?.as_deref_mut()
    }

    /// A connection that reads on where this one ended, without timeouts and output: for bytes that
    /// arrived before the end. It has the positions of the session from here on.
    #[doc(hidden)]
    #[must_use]
    pub fn without_output(&mut self, now: Instant) -> Self {
        Self {
            clocks: Clocks::new(now),
            rules: Shared::new(Rules { policy: Policy::OFF, ..*self.rules }),
            stage: self.stage.without_output(),
        }
    }

    /// The longest body of a DATA frame that the peer accepts, as far as it said so.
    #[must_use]
    pub fn peer_max_frame(&self) -> usize {
        let max_frame = self.stage.dialogue().map_or(crate::frame::MAX_FRAME, Dialogue::max_frame);
        usize::try_from(max_frame).unwrap_or(usize::MAX)
    }

    /// The frame limits of this end.
    #[must_use]
    pub fn limits(&self) -> FrameLimits {
        self.rules.limits
    }

    /// The header of a DATA frame with a body of `body_len` bytes; `None` if no frame can be that
    /// long, or the peer does not accept one.
    #[must_use]
    pub fn data_header(&self, body_len: usize) -> Option<Transmit> {
        if let Stage::Raw = self.stage {
            return Some(Transmit::NOTHING);
        }
        if body_len > self.peer_max_frame() {
            return None;
        }
        codec::data_header(body_len).map(Transmit::header)
    }

    /// When the last byte from the peer arrived, or when the connection started.
    #[must_use]
    pub const fn last_heard(&self) -> Instant {
        self.clocks.last_heard()
    }

    /// When the last byte that was read arrived, as precisely as is known: later ones may be
    /// [unread](crate::order::Found::Unread).
    #[must_use]
    #[doc(hidden)]
    pub fn last_read(&self) -> Instant {
        let last_heard = self.clocks.last_heard();
        self.stage.dialogue().map_or(last_heard, |dialogue| dialogue.last_read().min(last_heard))
    }

    /// Whether our next beat echoes one of the peer: on v1, once one was read whose arrival is
    /// known precisely.
    #[must_use]
    #[doc(hidden)]
    pub fn has_echo(&self) -> bool {
        self.stage.dialogue().is_some_and(|dialogue| dialogue.has_echo())
    }

    /// The policy in force: on v1 that of the contract.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match &self.stage {
            Stage::Raw | Stage::V0 { .. } | Stage::Opening { .. } | Stage::Awaiting(_) => {
                self.rules.policy
            }
            Stage::V1(dialogue) => dialogue.policy(),
            // A client that waits for an answer sends nothing, so there is no timeout.
            Stage::Deciding { .. } | Stage::V1Rest(_) => Policy::OFF,
        }
    }

    fn pace(&self) -> Pace {
        let early_ms = self.stage.dialogue().map_or(0, Dialogue::early_ms);
        Pace { policy: self.policy(), early_ms }
    }

    /// Whether the connection ended with a verdict, a violation or a BYE.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.clocks.is_dead()
    }
}

#[cfg(test)]
mod tests;
