//! The sessions of one shard, by slot.

use super::id::{MAX_SLOTS, SessionId};
use super::session::Session;

/// Room for sessions at the start: 136 KiB, for the reason of
/// [`FIRST_TIMERS`](super::agenda::FIRST_TIMERS).
const FIRST_SLOTS: usize = 1024;

/// A slab whose slots count their uses, so that an id is never reused.
#[derive(Debug)]
pub(super) struct Sessions<S> {
    shard: u8,
    slots: Vec<Slot<S>>,
    /// The first slot that can be used again.
    free: Option<u32>,
    count: usize,
}

#[derive(Debug)]
enum Slot<S> {
    Occupied(Session<S>),
    Vacant {
        /// The generation of the slot's next session.
        generation: u32,
        /// The next free slot.
        next: Option<u32>,
    },
    /// Its generations are used up.
    Retired,
}

impl<S> Sessions<S> {
    pub(super) fn new(shard: u8) -> Self {
        Self { shard, slots: Vec::with_capacity(FIRST_SLOTS), free: None, count: 0 }
    }

    /// Inserts the session that `make` creates for its id; `None`, without calling it, if there are
    /// too many.
    pub(super) fn insert(
        &mut self,
        make: impl FnOnce(SessionId) -> Session<S>,
    ) -> Option<&mut Session<S>> {
        let free = self.free.and_then(|index| match self.slots.get(as_index(index))? {
            &Slot::Vacant { generation, next } => Some((index, generation, next)),
            Slot::Occupied(_) | Slot::Retired => None,
        });
        let (index, generation) = if let Some((index, generation, next)) = free {
            self.free = next;
            (index, generation)
        } else {
            let index = u32::try_from(self.slots.len()).ok().filter(|&index| index < MAX_SLOTS)?;
            self.slots.push(Slot::Retired);
            (index, 0)
        };
        let slot = self.slots.get_mut(as_index(index))?;
        *slot = Slot::Occupied(make(SessionId::new(self.shard, index, generation)));
        self.count += 1;
        self.get_mut(index)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Session<S>> {
        let slot = self.slots.get_mut(as_index(index))?;
        if !matches!(slot, Slot::Occupied(_)) {
            return None;
        }
        let Slot::Occupied(session) = core::mem::replace(slot, Slot::Retired) else { return None };
        if let Some(generation) = session.id.generation().checked_add(1) {
            *slot = Slot::Vacant { generation, next: self.free.replace(index) };
        }
        self.count -= 1;
        Some(session)
    }

    pub(super) fn get(&self, index: u32) -> Option<&Session<S>> {
        match self.slots.get(as_index(index))? {
            Slot::Occupied(session) => Some(session),
            Slot::Vacant { .. } | Slot::Retired => None,
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Session<S>> {
        match self.slots.get_mut(as_index(index))? {
            Slot::Occupied(session) => Some(session),
            Slot::Vacant { .. } | Slot::Retired => None,
        }
    }

    /// The session with this id, if it was not removed.
    pub(super) fn find(&mut self, id: SessionId) -> Option<&mut Session<S>> {
        self.get_mut(id.slot()).filter(|session| session.id == id)
    }

    /// Removes all sessions. Their slots are not used again.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Session<S>> + use<S> {
        self.free = None;
        self.count = 0;
        core::mem::take(&mut self.slots).into_iter().filter_map(|slot| match slot {
            Slot::Occupied(session) => Some(session),
            Slot::Vacant { .. } | Slot::Retired => None,
        })
    }

    /// The number of slots that were ever used.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// All sessions. Only for commands to all of them, not for periodic work.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Session<S>> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Occupied(session) => Some(session),
            Slot::Vacant { .. } | Slot::Retired => None,
        })
    }

    /// All sessions, mutable.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session<S>> {
        self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Occupied(session) => Some(session),
            Slot::Vacant { .. } | Slot::Retired => None,
        })
    }
}

fn as_index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
