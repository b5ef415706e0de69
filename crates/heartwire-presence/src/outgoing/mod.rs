//! What leaves a node, and when: the ends of sessions may be held back.
//!
//! A name whose client is back before the end of its last session was told was never offline. Of
//! many clients that are lost at once, one incident is told instead of all their ends.

use core::time::Duration;

use heartwire::Reason;
use heartwire::server::SessionId;
use heartwire_core::Instant;

mod ending;
mod gate;
mod governor;
mod incident;
mod losses;
mod news;
mod settings;

pub use incident::{Incident, IncidentCause, IncidentOver, NetworkLoss};
pub use settings::OfflineBound;

use ending::Ending;
use gate::{Gate, Held, Queue};
use governor::Governor;
pub(crate) use news::News;
pub(crate) use settings::Settings;

use crate::NodeName;
use crate::session::{Passed, Session};

/// How long the end of a session waits if the client is online right after. A server welcomes the
/// session that took another one over when it has told the end of that: within a turn of its
/// shards, or a pause. A client whose session has reached its greatest age connects within 1 s.
const RENEWED_WAIT: Duration = Duration::from_secs(2);

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
    governor: Option<Governor>,
    counts: Counts,
    is_closing: bool,
}

impl Outgoing {
    /// For a node of this name. It has no sessions yet.
    pub(crate) fn new(settings: Settings, node: &NodeName, now: Instant) -> Self {
        let hold = settings.hold;
        let governor = hold.map(|hold| Governor::new(node.as_str(), hold, &settings, now));
        let (gate, counts) = (Gate::default(), Counts::default());
        Self { settings, gate, governor, counts, is_closing: false }
    }

    /// An event of the server, from this shard. The answer is to be told at once: that a name is
    /// online is never held back.
    #[must_use]
    pub(crate) fn handle(&mut self, now: Instant, shard: usize, news: News) -> Option<Passed> {
        match news {
            News::Online(session) => return Some(self.online(session)),
            News::Offline { id, reason } => self.offline(now, shard, id, &reason),
            News::Paused(gap) => {
                self.governor.iter_mut().for_each(|governor| governor.handle_pause(now, gap));
            }
        }
        None
    }

    /// An interface of this node, with this name, went down.
    pub(crate) fn interface_down(&mut self, now: Instant, name: &str) {
        self.governor.iter_mut().for_each(|governor| governor.handle_interface_down(now, name));
    }

    /// How many times something has arrived from a client, since the server has started; to be
    /// told each second.
    pub(crate) fn arrivals(&mut self, now: Instant, arrivals: u64) {
        let names = self.names();
        let begins = |governor: &mut Governor| governor.handle_arrivals(now, arrivals, names);
        if self.governor.as_mut().is_some_and(begins) {
            self.join_all(now);
        }
    }

    /// A name is online on another node, with this epoch: the end of an older session, if it is
    /// held back here, is due. (Redis drops it, and knows that the name has moved.)
    pub(crate) fn moved(&mut self, now: Instant, name: &str, epoch: u64) {
        if self.gate.held_epoch(name).is_none_or(|held| held >= epoch) {
            return;
        }
        if let Some((queue, held)) = self.gate.take(name) {
            self.count_return(queue);
            self.gate.hold(Queue::Waiting, now, held);
        }
    }

    /// Everything that is held back, or will be, is due at once: the node ends. Sessions that end
    /// because the server drains wait before that like all others, so that clients that go to
    /// another node have moved, and were not offline.
    pub(crate) fn close(&mut self, now: Instant) {
        self.is_closing = true;
        self.governor.iter_mut().for_each(|governor| governor.close(now));
    }

    /// What is to be told now. `wall` is the same time as `now`, in microseconds since 1970.
    #[must_use]
    pub(crate) fn poll(&mut self, now: Instant, wall: u64) -> Option<Out> {
        let until = if self.is_closing { Instant::from_nanos(u64::MAX) } else { now };
        if let Some(incident) = self.governor.as_mut().and_then(|g| g.tell(now, wall)) {
            self.counts.incidents += 1;
            return Some(Out::Incident(incident));
        }
        if let Some(held) = self.gate.take_due(Queue::Waiting, until) {
            self.counts.offline += 1;
            return Some(Out::Passed(held.pass(None)));
        }
        let governor = self.governor.as_mut()?;
        if governor.lets_go(now)
            && let Some(held) = self.gate.take_due(Queue::Incident, until)
        {
            self.counts.offline += 1;
            return Some(Out::Passed(held.pass(governor.let_go(now))));
        }
        if self.gate.held_by_incident() > 0 {
            return None;
        }
        governor.end(now).map(Out::IncidentOver)
    }

    /// When [`poll`](Self::poll) has something next, if nothing happens before.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waiting = self.gate.next_due(Queue::Waiting);
        let first = self.gate.next_due(Queue::Incident);
        let incident = self.governor.as_ref().and_then(|governor| governor.deadline(first));
        waiting.into_iter().chain(incident).min()
    }

    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        let (held, held_by_incident) = (self.gate.held(), self.gate.held_by_incident());
        Counts { held, held_by_incident, ..self.counts }
    }

    fn online(&mut self, session: Session) -> Passed {
        let (passed, from) = self.gate.online(session);
        if let Some(queue) = from {
            self.counts.cancelled += 1;
            self.count_return(queue);
        }
        passed
    }

    /// Those without a name are nothing to tell.
    fn offline(&mut self, now: Instant, shard: usize, id: SessionId, reason: &Reason) {
        let names = self.names();
        let Some(session) = self.gate.end(id) else { return };
        let held = Held { session, reason: reason.name(), ending: Ending::of(reason), shard };
        let mut wait = self.settings.offline_after;
        if held.ending == Ending::Renewed {
            wait = wait.max(RENEWED_WAIT);
        }
        let Some(governor) = self.governor.as_mut().filter(|_| !self.is_closing) else {
            return self.gate.hold(Queue::Waiting, now.saturating_add(wait), held);
        };
        if held.ending != Ending::Lost {
            return self.gate.hold(Queue::Waiting, now.saturating_add(wait), held);
        }
        let due = now.saturating_add(self.settings.wait());
        if governor.takes(now) {
            governor.join(now, &held);
            self.gate.hold(Queue::Incident, due, held);
        } else {
            self.gate.hold(Queue::Waiting, due, held);
        }
        if governor.handle_loss(now, names) {
            self.join_all(now);
        }
    }

    /// An incident has begun: what was lost just before is part of it.
    fn join_all(&mut self, now: Instant) {
        let Some(governor) = &mut self.governor else { return };
        self.gate.join(|held| {
            let is_part = held.ending == Ending::Lost;
            if is_part {
                governor.join(now, held);
            }
            is_part
        });
    }

    /// An end was taken out of this queue, because its name is online again.
    fn count_return(&mut self, from: Queue) {
        if from == Queue::Incident {
            self.governor.iter_mut().for_each(Governor::handle_return);
        }
    }

    /// How many names are online, as far as was told.
    #[must_use]
    pub(crate) fn names(&self) -> u32 {
        u32::try_from(self.gate.names()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
