//! The sessions of one shard, by slot.

use super::id::{SLOTS_MAX, SessionId};
use super::session::Session;

/// A slab whose slots count their uses, so that an id names one session for ever.
#[derive(Debug)]
pub(super) struct Sessions<S> {
    shard: u8,
    slots: Vec<Slot<S>>,
    /// The first slot that can be used again.
    free: Option<u32>,
    count: usize,
}

#[derive(Debug)]
struct Slot<S> {
    /// Which use of this slot it is; the current one if occupied, else the next.
    generation: u32,
    state: State<S>,
}

#[derive(Debug)]
enum State<S> {
    Occupied(Session<S>),
    /// With the next free slot.
    Vacant(Option<u32>),
}

impl<S> Sessions<S> {
    pub(super) const fn new(shard: u8) -> Self {
        Self { shard, slots: Vec::new(), free: None, count: 0 }
    }

    /// Puts a session in and returns its slot; drops it if there are too many.
    pub(super) fn insert(&mut self, session: Session<S>) -> Option<u32> {
        if let Some(index) = self.free {
            if let Some(slot) = self.slots.get_mut(as_index(index)) {
                if let State::Vacant(next) = slot.state {
                    self.free = next;
                    slot.state = State::Occupied(session);
                    self.count += 1;
                    return Some(index);
                }
            }
        }
        let index = u32::try_from(self.slots.len()).ok().filter(|&index| index < SLOTS_MAX)?;
        self.slots.push(Slot { generation: 0, state: State::Occupied(session) });
        self.count += 1;
        Some(index)
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<Session<S>> {
        let slot = self.slots.get_mut(as_index(index))?;
        if matches!(slot.state, State::Vacant(_)) {
            return None;
        }
        let state = core::mem::replace(&mut slot.state, State::Vacant(None));
        if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            slot.state = State::Vacant(self.free.replace(index));
        }
        self.count -= 1;
        match state {
            State::Occupied(session) => Some(session),
            State::Vacant(_) => None,
        }
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Session<S>> {
        match &mut self.slots.get_mut(as_index(index))?.state {
            State::Occupied(session) => Some(session),
            State::Vacant(_) => None,
        }
    }

    /// The id of the session in a slot.
    pub(super) fn id(&self, index: u32) -> Option<SessionId> {
        let slot = self.slots.get(as_index(index))?;
        match slot.state {
            State::Occupied(_) => Some(SessionId::new(self.shard, index, slot.generation)),
            State::Vacant(_) => None,
        }
    }

    /// The slot of a session that has not ended.
    pub(super) fn slot(&self, id: SessionId) -> Option<u32> {
        (self.id(id.slot()) == Some(id)).then_some(id.slot())
    }

    /// Takes all sessions out. Their slots are not used again.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Session<S>> + use<S> {
        self.free = None;
        self.count = 0;
        core::mem::take(&mut self.slots).into_iter().filter_map(|slot| match slot.state {
            State::Occupied(session) => Some(session),
            State::Vacant(_) => None,
        })
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// All occupied slots. For commands about everybody; nothing periodic may call it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session<S>)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| match &slot.state {
            State::Occupied(session) => {
                Some((SessionId::new(self.shard, index, slot.generation), session))
            }
            State::Vacant(_) => None,
        })
    }
}

fn as_index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
