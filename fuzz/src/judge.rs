//! Which events may come in which state, tracked from outside.

use heartwire_core::internal::Spoken;
use heartwire_core::{Connection, Event, Protocol};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Raw,
    V0,
    Opening { v0: bool },
    Deciding,
    AwaitingWelcome,
    V1,
    Ended,
}

/// Watches one connection and panics at an event that its state does not allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge {
    pub(crate) state: State,
}

impl Judge {
    pub(crate) const fn new(protocol: Protocol) -> Self {
        let state = match protocol {
            Protocol::V0 => State::V0,
            Protocol::Raw => State::Raw,
            Protocol::V1 => State::AwaitingWelcome,
            Protocol::Any => State::Opening { v0: true },
            _ => State::Opening { v0: false },
        };
        Self { state }
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) {
        self.state = match (self.state, event) {
            (State::Raw, Event::Data(_)) => State::Raw,
            (State::V0 | State::Opening { v0: true }, Event::Beat | Event::Data(_)) => State::V0,
            (State::Opening { .. }, Event::Hello(_)) => State::Deciding,
            (State::AwaitingWelcome, Event::Welcome(_)) => State::V1,
            (State::V1, Event::Beat | Event::Promise(_) | Event::Data(_) | Event::End) => State::V1,
            (State::AwaitingWelcome | State::V1, Event::Bye(_)) => State::Ended,
            (state, event) => panic!("{event:?} while {state:?}"),
        };
    }

    pub(crate) fn welcomed(&mut self) {
        if self.state == State::Deciding {
            self.state = State::V1;
        }
    }

    /// A verdict or a violation: it ends the connection, once.
    pub(crate) fn end(&mut self) {
        assert_ne!(self.state, State::Ended, "it ended twice");
        self.state = State::Ended;
    }

    pub(crate) fn check(&self, connection: &Connection) {
        let ended = self.state == State::Ended;
        assert_eq!(connection.has_ended(), ended);
        let spoken = match self.state {
            State::Raw => Spoken::Raw,
            State::V0 => Spoken::V0,
            State::V1 => Spoken::V1,
            State::Opening { .. } | State::Deciding | State::AwaitingWelcome => Spoken::Unknown,
            State::Ended => return assert_eq!(connection.poll_timeout(), None, "after the end"),
        };
        assert_eq!(connection.spoken(), spoken);
        assert_eq!(connection.contract().is_some(), spoken == Spoken::V1);
    }
}
