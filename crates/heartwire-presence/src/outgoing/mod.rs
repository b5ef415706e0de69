//! What leaves a node, and when: the ends of sessions may be held back.
//!
//! A name whose client is back before the end of its last session was told was never offline. Of
//! many clients that are lost at once, one incident is told instead of all their ends.

use core::num::NonZeroU32;
use core::time::Duration;

use heartwire::Reason;
use heartwire::server::SessionId;
use heartwire_core::Instant;

mod ending;
mod gate;
mod incident;

pub use incident::{Incident, IncidentCause, IncidentOver, NetworkLoss};

use ending::Ending;
use gate::{Gate, Held, Queue};

use crate::session::{Passed, Session};

/// How long the end of a session that a newer one took over waits for that one to be online. A
/// server welcomes the newer one when it has told the end of the older: within a turn of its
/// shards, or a pause.
const TAKEN_OVER_WAIT: Duration = Duration::from_secs(2);

/// How long what leaves a node may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The end of a session is told this much later, if its name is not online by then.
    pub(crate) offline_after: Duration,
    /// How long the ends of many sessions that are lost at once are held. `None`: never.
    pub(crate) hold: Option<Duration>,
    /// How many of them are told per second after that.
    pub(crate) pace: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            offline_after: Duration::ZERO,
            hold: Some(Duration::from_secs(60)),
            pace: NonZeroU32::MIN.saturating_add(199),
        }
    }
}

/// What a node has to tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    /// A change of a name.
    Passed(Passed),
    /// Many clients were lost at once. What is told of each has the incident's id, and follows.
    Incident(Incident),
    /// Nothing more follows of an incident.
    IncidentOver(IncidentOver),
}

/// What there is and was, for counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Ends that are held back now.
    pub(crate) held: usize,
    /// How many of them an incident holds.
    pub(crate) held_by_incident: usize,
    /// Ends that were never told, because the name was online again.
    pub(crate) cancelled: u64,
    /// Ends that were told.
    pub(crate) offline: u64,
    /// Incidents.
    pub(crate) incidents: u64,
}

/// What a node's server tells goes in, what the node tells to others comes out. No clock is read:
/// after each call take what [`poll`](Self::poll) has until it has nothing, and call it again at
/// the [`deadline`](Self::deadline).
///
/// For each name, sessions must be told in order: the end of one before the next is online. That
/// holds where a name has one session at a time.
#[derive(Debug)]
pub(crate) struct Outgoing {
    settings: Settings,
    gate: Gate,
    counts: Counts,
    is_closing: bool,
}

impl Outgoing {
    pub(crate) fn new(settings: Settings) -> Self {
        let (gate, counts) = (Gate::default(), Counts::default());
        Self { settings, gate, counts, is_closing: false }
    }

    /// A session with a name is online. That is never held back: the answer is to be told at once.
    #[must_use]
    pub(crate) fn online(&mut self, _now: Instant, session: Session) -> Passed {
        let (passed, from) = self.gate.online(session);
        self.counts.cancelled += u64::from(from.is_some());
        passed
    }

    /// A session has ended. Those without a name are nothing to tell.
    pub(crate) fn offline(&mut self, now: Instant, shard: usize, id: SessionId, reason: &Reason) {
        let Some(session) = self.gate.end(id) else { return };
        let ending = Ending::of(reason);
        let held = Held { session, reason: reason.name(), ending, shard };
        let wait = match ending {
            Ending::TakenOver => TAKEN_OVER_WAIT,
            Ending::Lost | Ending::Closed | Ending::Meant => Duration::ZERO,
        };
        let due = now.saturating_add(wait.max(self.settings.offline_after));
        self.gate.hold(Queue::Waiting, due, held);
    }

    /// A name is online on another node, with this epoch: the end of an older session, if it is
    /// held back here, is due. (Redis drops it, and knows that the name has moved.)
    pub(crate) fn moved(&mut self, now: Instant, name: &str, epoch: u64) {
        if self.gate.held_epoch(name).is_none_or(|held| held >= epoch) {
            return;
        }
        if let Some((_, held)) = self.gate.take(name) {
            self.gate.hold(Queue::Waiting, now, held);
        }
    }

    /// Everything that is held back, or will be, is due at once: the node ends. Sessions that end
    /// because the server drains wait before that like all others, so that clients that go to
    /// another node have moved, and were not offline.
    pub(crate) const fn close(&mut self) {
        self.is_closing = true;
    }

    /// What is to be told now. `wall` is the same time as `now`, in microseconds since 1970.
    #[must_use]
    pub(crate) fn poll(&mut self, now: Instant, _wall: u64) -> Option<Out> {
        let until = if self.is_closing { Instant::from_nanos(u64::MAX) } else { now };
        let held = self.gate.take_due(Queue::Waiting, until)?;
        self.counts.offline += 1;
        Some(Out::Passed(held.pass(None)))
    }

    /// When [`poll`](Self::poll) has something next, if nothing happens before.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.gate.next_due(Queue::Waiting)
    }

    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        let (held, held_by_incident) = (self.gate.held(), self.gate.held_by_incident());
        Counts { held, held_by_incident, ..self.counts }
    }
}

#[cfg(test)]
mod tests;
