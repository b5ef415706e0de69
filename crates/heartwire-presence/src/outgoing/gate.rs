//! Names that are online, and ends of sessions that are held back.

use std::collections::{BTreeMap, HashMap};

use heartwire::server::SessionId;
use heartwire_core::Instant;

use super::ending::Ending;
use crate::session::{Passed, Session};

/// The end of a session that is not told yet.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: Session,
    /// The name of the reason why it ended.
    pub(super) reason: &'static str,
    pub(super) ending: Ending,
    /// The shard that it was on.
    pub(super) shard: usize,
}

impl Held {
    pub(super) fn pass(self, incident: Option<Box<str>>) -> Passed {
        Passed::Offline { session: self.session, reason: self.reason, incident }
    }
}

/// Where the end of a name's session is.
#[derive(Clone, Copy, Debug)]
struct Place {
    queue: Queue,
    at: At,
}

/// The queues of held ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Told when they are due.
    Waiting,
    /// Part of an incident: told when they are due, and it lets them go.
    Incident,
}

/// When it may be told, and a number that no other one has.
type At = (Instant, u64);

/// The sessions with a name that are online, and the ends of others that are held back. Every
/// operation takes time logarithmic in the number of names; memory is bounded by that number.
#[derive(Debug, Default)]
pub(super) struct Gate {
    online: HashMap<SessionId, Session>,
    held: HashMap<Box<str>, Place>,
    waiting: BTreeMap<At, Held>,
    incident: BTreeMap<At, Held>,
    last_number: u64,
}

impl Gate {
    /// A session is online. Returns what is to be told of that, and from which queue the end of
    /// the name's last session was taken, if that was held back.
    pub(super) fn online(&mut self, session: Session) -> (Passed, Option<Queue>) {
        self.online.insert(session.id, session.clone());
        match self.take(&session.name) {
            Some((queue, _)) => (Passed::Replaced(session), Some(queue)),
            None => (Passed::Online(session), None),
        }
    }

    /// A session has ended: takes it out. `None` if it has no name.
    pub(super) fn end(&mut self, id: SessionId) -> Option<Session> {
        self.online.remove(&id)
    }

    /// Holds an end back in this queue, until `due` at least.
    pub(super) fn hold(&mut self, queue: Queue, due: Instant, held: Held) {
        self.last_number += 1;
        self.insert(queue, (due, self.last_number), held);
    }

    /// Takes out the end of a name's session, if it is held back.
    pub(super) fn take(&mut self, name: &str) -> Option<(Queue, Held)> {
        let place = self.held.remove(name)?;
        let held = self.queue(place.queue).remove(&place.at)?;
        Some((place.queue, held))
    }

    /// The epoch of a name's session whose end is held back.
    pub(super) fn held_epoch(&self, name: &str) -> Option<u64> {
        let place = self.held.get(name)?;
        let queue = match place.queue {
            Queue::Waiting => &self.waiting,
            Queue::Incident => &self.incident,
        };
        queue.get(&place.at).map(|held| held.session.epoch)
    }

    /// Takes out the next end of this queue, if it is due.
    pub(super) fn take_due(&mut self, queue: Queue, now: Instant) -> Option<Held> {
        let first = self.queue(queue).first_entry().filter(|first| first.key().0 <= now)?;
        let held = first.remove();
        self.held.remove(&held.session.name);
        Some(held)
    }

    /// When the next end of this queue is due.
    pub(super) fn next_due(&self, queue: Queue) -> Option<Instant> {
        let queue = match queue {
            Queue::Waiting => &self.waiting,
            Queue::Incident => &self.incident,
        };
        queue.first_key_value().map(|(&(due, _), _)| due)
    }

    /// Makes those that wait, and for which `is_part` is true, part of an incident. Looks at all
    /// that wait.
    pub(super) fn join(&mut self, mut is_part: impl FnMut(&Held) -> bool) {
        let waiting = core::mem::take(&mut self.waiting);
        for (at, held) in waiting {
            let queue = if is_part(&held) { Queue::Incident } else { Queue::Waiting };
            self.insert(queue, at, held);
        }
    }

    /// How many names are online, as far as was told.
    pub(super) fn names(&self) -> usize {
        self.online.len() + self.held.len()
    }

    /// How many ends are held back.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// How many ends an incident holds back.
    pub(super) fn held_by_incident(&self) -> usize {
        self.incident.len()
    }

    fn insert(&mut self, queue: Queue, at: At, held: Held) {
        let name = held.session.name.clone();
        if let Some(older) = self.held.insert(name, Place { queue, at }) {
            // Not with one session for each name; but what is held stays bounded by the names.
            if older.at != at {
                self.queue(older.queue).remove(&older.at);
            }
        }
        self.queue(queue).insert(at, held);
    }

    const fn queue(&mut self, queue: Queue) -> &mut BTreeMap<At, Held> {
        match queue {
            Queue::Waiting => &mut self.waiting,
            Queue::Incident => &mut self.incident,
        }
    }
}
