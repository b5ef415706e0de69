//! When a session that outlives its connection is away, given up, and back.

use core::fmt;
use core::time::Duration;

use heartwire_core::internal::returning::{ANSWER_WITHIN, FIRST_WAIT, LOOK_EVERY, MAX_WAIT};
use heartwire_core::{Bound, Side};

use crate::outcome::millis_up;
use crate::{Fault, Plan};

/// TCP's handshake, that of TLS 1.3, and HELLO with its answer. Without TLS it is one less.
const ROUND_TRIPS: u32 = 3;

/// Clients a second that could connect over TLS, with the server and all of them on two processors
/// and nothing else on those.
const CLIENTS_PER_S: u64 = 2_692;

/// How long sessions outlive their connections, and how many of them there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resume {
    /// How long a session is kept without a connection.
    pub grace: Duration,
    /// How many clients may lose their connection together.
    pub sessions: u64,
    /// Over how long a server that stops spreads their return (`--drain`).
    pub drain: Duration,
}

impl Resume {
    /// Sessions with this grace, at a server that has room for 100,000 of them and drains for 5 s,
    /// which are this project's defaults.
    #[must_use]
    pub const fn new(grace: Duration) -> Self {
        Self { grace, sessions: 100_000, drain: Duration::from_secs(5) }
    }

    /// The same with this many clients.
    #[must_use]
    pub const fn sessions(mut self, sessions: u64) -> Self {
        self.sessions = sessions;
        self
    }

    /// The same with this drain.
    #[must_use]
    pub const fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }
}

/// How a client that stays alive loses its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Something resets it, and both ends get the reset.
    Reset,
    /// The client's address changes and it notices that, as one that watches its network does;
    /// the server learns nothing.
    NewAddress,
    /// Packets are dropped silently in both directions, or the client's address changes and it does
    /// not notice.
    Unnoticed,
}

impl Loss {
    /// Every loss, the one that is noticed first in front.
    pub const ALL: [Self; 3] = [Self::Reset, Self::NewAddress, Self::Unnoticed];

    /// A short name that does not change between versions, for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::NewAddress => "new_address",
            Self::Unnoticed => "unnoticed",
        }
    }
}

/// Human-readable, a few words.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reset => "connection reset",
            Self::NewAddress => "new address, noticed",
            Self::Unnoticed => "new address or drop, unnoticed",
        })
    }
}

impl Plan {
    /// How long sessions outlive their connections; `None` if they do not.
    #[must_use]
    pub const fn resume(&self) -> Option<Resume> {
        self.resume
    }

    /// When an end knows that its session is away, if it is told by no new connection. `None` if it
    /// never knows, or if sessions do not outlive their connections.
    #[must_use]
    pub fn away(&self, loss: Loss, side: Side) -> Option<Bound> {
        self.resume?;
        let found = |fault| self.outcome(fault, side).finding().map(|finding| finding.bound);
        match (loss, side) {
            (Loss::Reset, _) => found(Fault::Reset),
            (Loss::NewAddress, Side::Client) => {
                let slack = self.end(side).timer_slack;
                let latest = LOOK_EVERY.saturating_add(ANSWER_WITHIN.saturating_mul(2));
                let asked = Bound {
                    earliest: ANSWER_WITHIN,
                    latest: millis_up(latest.saturating_add(slack)),
                };
                Some(found(Fault::FirewallDrop).map_or(asked, |silent| Bound {
                    earliest: silent.earliest.min(asked.earliest),
                    latest: silent.latest.min(asked.latest),
                }))
            }
            (Loss::NewAddress | Loss::Unnoticed, _) => found(Fault::FirewallDrop),
        }
    }

    /// When an end gives its session up for good, if the client does not come back.
    #[must_use]
    pub fn given_up(&self, loss: Loss, side: Side) -> Option<Bound> {
        let (grace, away) = (self.resume?.grace, self.away(loss, side)?);
        let slack = self.end(side).timer_slack;
        Some(Bound {
            earliest: away.earliest.saturating_add(grace),
            latest: away.latest.saturating_add(grace).saturating_add(slack),
        })
    }

    /// The latest time at which the session has a connection again, if the first attempt gets
    /// through. The server knows of the loss by then, too.
    #[must_use]
    pub fn back(&self, loss: Loss) -> Option<Duration> {
        let away = self.away(loss, Side::Client)?;
        Some(away.latest.saturating_add(FIRST_WAIT).saturating_add(self.handshake()))
    }

    /// About how long it takes until all clients are back that lost their connection together,
    /// counted from when the server can be reached again. Sessions survive that, unless the server
    /// has restarted: then the clients get new ones.
    ///
    /// It is an expectation and no bound: in a measurement 2,692 clients a second could connect
    /// over TLS, with the server and all of them on two processors and nothing else on those. Where
    /// they get half as much processor time, half as many can.
    #[must_use]
    pub fn all_back(&self) -> Option<Duration> {
        let Resume { sessions, drain, .. } = self.resume?;
        let accepting = Duration::from_secs(sessions.div_ceil(CLIENTS_PER_S));
        let window = drain.max(MAX_WAIT);
        Some(window.saturating_add(self.handshake()).saturating_add(accepting))
    }

    /// The longest handshake, with the timer that begins it.
    fn handshake(&self) -> Duration {
        let slack = self.end(Side::Client).timer_slack;
        slack.saturating_add(self.rtt().saturating_mul(ROUND_TRIPS))
    }
}

#[cfg(test)]
mod tests;
