//! Event queue: future events in order of time, and those of the same moment in random order.

use core::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use heartwire_core::Side;

use super::link::LinkId;
use super::packet::Packet;
use super::time::WorldTime;

/// A host: the server is 0, the clients follow.
pub(super) type HostId = usize;

/// The number of the server among the hosts.
pub(super) const SERVER: HostId = 0;

/// A future event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    /// A packet comes to one end of a link.
    Packet { link: LinkId, to: Side, packet: Packet },
    /// An end's system may have to send something again.
    Retransmit { link: LinkId, from: Side },
    /// A process runs, if this turn was not called off.
    Turn { host: HostId, number: u32 },
    /// A process that was held up in the middle of a turn goes on.
    Rest { host: HostId, number: u32 },
    /// A client's attempt to connect comes to its end.
    Dialled { host: HostId, attempt: u32 },
    /// The application at a host may have something to send.
    Write { host: HostId },
    /// A client is told that its connections are gone, and the server is not.
    Sever { client: HostId },
    /// A fault of the scenario begins.
    Fault { index: usize },
    /// And ends.
    Mend { index: usize },
}

#[derive(Debug)]
struct Entry {
    at: WorldTime,
    tie: u32,
    happening: Happening,
}

impl Entry {
    const fn key(&self) -> (WorldTime, u32) {
        (self.at, self.tie)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// The heap of future events.
#[derive(Debug)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    now: WorldTime,
    rng: fastrand::Rng,
}

impl Queue {
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self { heap: BinaryHeap::with_capacity(64), now: WorldTime::START, rng }
    }

    /// Adds an event, now if its time has passed.
    pub(super) fn push(&mut self, at: WorldTime, happening: Happening) {
        let at = at.max(self.now);
        let tie = self.rng.u32(..);
        self.heap.push(Reverse(Entry { at, tie, happening }));
    }

    /// Time has gone on, and nothing that is left happens before `now`.
    pub(super) fn set_now(&mut self, now: WorldTime) {
        self.now = self.now.max(now);
    }

    /// The next event, if it is due by then.
    pub(super) fn pop_by(&mut self, until: WorldTime) -> Option<(WorldTime, Happening)> {
        let Reverse(next) = self.heap.peek()?;
        if next.at > until { None } else { self.pop() }
    }

    pub(super) fn pop(&mut self) -> Option<(WorldTime, Happening)> {
        let Reverse(Entry { at, happening, .. }) = self.heap.pop()?;
        self.now = at;
        Some((at, happening))
    }
}
