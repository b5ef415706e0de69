//! What stays of sessions that have ended, for clients that come back to them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use heartwire_core::Instant;
use heartwire_core::resume::Position;
use heartwire_core::v1::ByeCode;

use super::id::SessionId;

/// Maximum number of ended sessions that are remembered, the latest: 65,536 take some 6 MB.
const MAX_TOMBSTONES: usize = 65_536;

/// What is known of a session that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tombstone {
    /// Up to where the application had taken over what the client sent.
    pub(super) taken: Position,
    /// Its client is not welcome again, for this reason.
    pub(super) refuses: Option<ByeCode>,
    /// Until when it is remembered.
    pub(super) until: Instant,
}

/// The ended sessions of a server; shared by all shards.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tombstones(Mutex<Graveyard>);

#[derive(Debug, Default)]
struct Graveyard {
    of: HashMap<SessionId, Tombstone>,
    /// The same sessions, in the order in which they ended.
    order: VecDeque<SessionId>,
}

impl Tombstones {
    pub(super) fn insert(&self, id: SessionId, tombstone: Tombstone, now: Instant) {
        let mut graveyard = self.lock();
        let Graveyard { of, order } = &mut *graveyard;
        // Two for each that comes, so that the number of expired ones shrinks.
        for _ in 0..2 {
            let Some(&oldest) = order.front() else { break };
            let is_over = of.get(&oldest).is_none_or(|tombstone| tombstone.until <= now);
            if !is_over && of.len() < MAX_TOMBSTONES {
                break;
            }
            order.pop_front();
            of.remove(&oldest);
        }
        of.insert(id, tombstone);
        order.push_back(id);
    }

    pub(super) fn find(&self, id: SessionId, now: Instant) -> Option<Tombstone> {
        self.lock().of.get(&id).copied().filter(|tombstone| tombstone.until > now)
    }

    fn lock(&self) -> MutexGuard<'_, Graveyard> {
        // Ignores poisoning: nothing panics under the lock, and every value is valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_sessions_are_remembered_for_their_time_and_the_latest_first() {
        let tombstones = Tombstones::default();
        let id = |n| SessionId::new(0, n, 0);
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        let of = |n, until| Tombstone {
            taken: Position { frames: n, bytes: n },
            refuses: None,
            until: at(until),
        };
        tombstones.insert(id(0), of(7, 10), at(0));
        assert_eq!(tombstones.find(id(0), at(9)), Some(of(7, 10)));
        assert_eq!((tombstones.find(id(0), at(10)), tombstones.find(id(1), at(0))), (None, None));
        // Expired ones make room.
        tombstones.insert(id(1), of(1, 30), at(20));
        assert_eq!(tombstones.lock().of.len(), 1);
        for n in 2..=u32::try_from(MAX_TOMBSTONES).unwrap() + 1 {
            tombstones.insert(id(n), of(2, 30), at(20));
        }
        assert_eq!(tombstones.lock().of.len(), MAX_TOMBSTONES);
        assert_eq!(tombstones.lock().order.len(), MAX_TOMBSTONES);
        assert_eq!(tombstones.find(id(1), at(20)), None);
        assert!(tombstones.find(id(2), at(20)).is_some());
    }
}
