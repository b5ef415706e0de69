//! What one node says to the store, and when.
//!
//! Nothing here reads a clock or a socket. A driver makes the [calls](Call) that
//! [`poll`](Node::poll) asks for, one at a time, and hands the answers back. What a call without an
//! answer was about is told or asked again.

mod clock;
mod names;
mod next;
mod sweep;
#[cfg(test)]
mod tests;

use core::mem;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Instant;

use self::clock::StoreClock;
use self::names::Names;
pub(crate) use self::next::{End, Ended, Next, NodeFigures};
use self::sweep::Sweep;
use crate::session::Passed;
use crate::store::{Answer, Call, Command, LEASE};
use crate::{NodeId, NodeName, PresenceEvent};

/// A lease is renewed after a third of it: 5 s.
const RENEW: u32 = 3;
/// A poll or an answer that comes a sixth of a lease late (2.5 s) means that this process, or the
/// store, was stopped.
const STOPPED: u32 = 6;
/// How many changes are told in one call.
const BATCH: usize = 200;
/// How many names of a dead node one call tells offline: all nodes together tell that many in each
/// 250 ms.
const REAP: u32 = 500;
/// The node and the store compare what they have of it every four leases (60 s), at least.
pub(crate) const COMPARE: u32 = 4;
/// They compare again a fifteenth of a lease (1 s) after they differed. What is under way has
/// arrived by then.
pub(crate) const COMPARE_AGAIN: u32 = 15;
/// The pause before a node whose new id was fenced, too, joins again.
const JOIN_AGAIN: Duration = Duration::from_secs(1);
/// How many incidents wait to be told: there are few in an hour.
const MAX_TELL: usize = 16;
/// What is told of an incident after its changes.
const INCIDENT_OVER: &str = "incident_over";

/// Something about an incident that is to be told.
#[derive(Debug)]
struct Telling {
    kind: &'static str,
    detail: Box<str>,
    /// The [place](Names::last_place) of the last change that comes before it; 0 if none does.
    after: u64,
}

/// The decisions of one node.
#[derive(Debug)]
pub(crate) struct Node {
    name: NodeName,
    address: Box<str>,
    /// How long the store keeps a place that is not renewed. Most times follow from it.
    lease: Duration,
    rng: fastrand::Rng,
    id: NodeId,
    /// Whether the store has leased a place to this id.
    is_joined: bool,
    generation: Option<Box<str>>,
    /// Whether there is a connection to the store.
    is_connected: bool,
    /// Which server the store is, or was the last time.
    server: Option<Box<str>>,
    names: Names,
    clock: StoreClock,
    sweep: Sweep,
    /// The number of the last call that told changes.
    number: u64,
    tell: VecDeque<Telling>,
    /// When the call was made whose answer is awaited.
    asked_at: Option<Instant>,
    /// No call before that.
    join_at: Option<Instant>,
    renew_at: Instant,
    compare_at: Instant,
    sweep_at: Instant,
    /// Whether the last comparison found a difference.
    has_differed: bool,
    /// Where the look at the store's names goes on, with the number of those that differ.
    look: Option<(u64, u64)>,
    /// Whether the last call told changes: then others have their turn.
    has_told: bool,
    /// When the driver was asked to poll again.
    wake_at: Option<Instant>,
    is_closing: bool,
    is_closed: bool,
    fenced: u64,
    end: Vec<End>,
    events: Vec<PresenceEvent>,
}

impl Node {
    /// A node that has no connection to the store yet. Operators reach it at this address.
    #[must_use]
    pub(crate) fn new(now: Instant, name: NodeName, address: Box<str>, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            id: NodeId::new(&name, rng.u32(..)),
            name,
            address,
            lease: LEASE,
            rng,
            is_joined: false,
            generation: None,
            server: None,
            is_connected: false,
            names: Names::default(),
            clock: StoreClock::default(),
            sweep: Sweep::new(LEASE),
            number: 0,
            tell: VecDeque::new(),
            asked_at: None,
            join_at: None,
            renew_at: now,
            compare_at: now,
            sweep_at: now,
            has_differed: false,
            look: None,
            has_told: false,
            wake_at: None,
            is_closing: false,
            is_closed: false,
            fenced: 0,
            end: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Another lease, as the store gives it: for the lab, which has no time.
    #[must_use]
    pub(crate) fn lease(self, lease: Duration) -> Self {
        Self { lease, sweep: Sweep::new(lease), ..self }
    }

    /// A change of this node's sessions is to be told.
    pub(crate) fn passed(&mut self, now: Instant, passed: Passed) {
        match passed {
            Passed::Online(session) | Passed::Replaced(session) => self.names.online(now, session),
            Passed::Offline { session, reason, incident } => {
                self.names.offline(now, &session, reason, incident);
            }
        }
    }

    /// Something about an incident is to be told: that it began before the changes that wait, and
    /// that it is over after them.
    pub(crate) fn tell(&mut self, kind: &'static str, detail: Box<str>) {
        if self.tell.len() == MAX_TELL {
            self.tell.pop_front();
        }
        let after = if kind == INCIDENT_OVER { self.names.last_place() } else { 0 };
        self.tell.push_back(Telling { kind, detail, after });
    }

    /// There is a connection to the store. `server` is another one after a restart or a failover:
    /// returns whether it is.
    pub(crate) fn connected(&mut self, now: Instant, server: &str) -> bool {
        let before = self.server.replace(server.into());
        let is_other = before.is_some_and(|before| &*before != server);
        if is_other {
            self.compare_at = now;
            self.look = None;
        }
        (self.is_connected, self.join_at) = (true, None);
        self.renew_at = now;
        is_other
    }

    /// The connection to the store was lost.
    pub(crate) fn disconnected(&mut self) {
        self.is_connected = false;
        self.sweep.contact_lost();
    }

    /// The store answered a call of [`poll`](Self::poll), or did not: then the connection is not
    /// used any more.
    pub(crate) fn answered(&mut self, now: Instant, call: Call, answer: Result<Answer, ()>) {
        let asked_at = self.asked_at.take().unwrap_or(now);
        let Ok(answer) = answer else {
            match call {
                Call::Apply { ops, .. } => self.names.not_told(ops),
                Call::Tell { kind, detail } => {
                    self.tell.push_front(Telling { kind, detail, after: 0 });
                }
                Call::Join { .. }
                | Call::Renew { .. }
                | Call::Compare { .. }
                | Call::Names { .. }
                | Call::Expired
                | Call::Reap { .. }
                | Call::Leave { .. }
                | Call::Kick { .. } => {} // Asked again, as it is still due.
            }
            return self.disconnected();
        };
        self.join_at = None;
        if now.saturating_since(asked_at) > self.lease / STOPPED {
            self.sweep.contact_lost();
        }
        self.sweep.heard(now);
        self.handle(now, asked_at, call, answer);
    }

    /// The store, or an operator, wants something.
    pub(crate) fn command(&mut self, now: Instant, command: &Command) {
        let end = match command {
            Command::TakenOver { name, epoch, same_client } => {
                self.names.taken_over(now, name, *epoch, *same_client)
            }
            Command::Kick { name, epoch } => self.names.kick(name, *epoch, &self.clock),
        };
        self.end.extend(end);
    }

    /// The node is to leave as soon as the store was told all.
    pub(crate) const fn close(&mut self) {
        self.is_closing = true;
    }

    /// What to do next. To be called after each of the other calls, and at the time that it says.
    pub(crate) fn poll(&mut self, now: Instant) -> Next {
        if self.wake_at.is_some_and(|at| now.saturating_since(at) > self.lease / STOPPED) {
            self.sweep.contact_lost(); // This process was stopped.
        }
        let call = self.next_call(now);
        if call.is_some() {
            self.asked_at = Some(now);
        }
        self.wake_at = self.wait_until();
        Next {
            call,
            end: mem::take(&mut self.end),
            events: mem::take(&mut self.events),
            wait_until: self.wake_at,
            is_closed: self.is_closed,
        }
    }

    /// The node's id, under which commands for it come.
    #[must_use]
    pub(crate) const fn id(&self) -> &NodeId {
        &self.id
    }

    /// What the store's clock shows now, if that is known: microseconds since 1970. Epochs are
    /// drawn by it.
    #[must_use]
    pub(crate) fn store_time(&self, now: Instant) -> Option<u64> {
        self.clock.at(now)
    }

    /// Figures of the node.
    #[must_use]
    pub(crate) fn figures(&self, now: Instant) -> NodeFigures {
        let since = self.names.waiting_since();
        NodeFigures {
            is_connected: self.is_connected,
            is_joined: self.is_joined,
            online: self.names.online_count(),
            waiting: self.names.waiting(),
            lag: since.map_or(Duration::ZERO, |since| now.saturating_since(since)),
            fenced: self.fenced,
        }
    }

    #[cfg(test)]
    pub(crate) const fn digest(&self) -> (u64, u64) {
        self.names.digest()
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.names.kept()
    }

    #[cfg(test)]
    pub(crate) fn unanswered(&self) -> usize {
        self.names.unanswered()
    }

    fn next_call(&mut self, now: Instant) -> Option<Call> {
        let may_call = self.is_connected && self.asked_at.is_none() && !self.is_closed;
        if !may_call || self.join_at.is_some_and(|at| now < at) {
            return None;
        }
        self.join_at = None;
        let has_changes = self.names.waiting() > 0;
        if !self.is_joined {
            // What the store may have of an old id is told offline by other nodes.
            self.is_closed = self.is_closing && !has_changes;
            return (!self.is_closed)
                .then(|| Call::Join { node: self.id.clone(), address: self.address.clone() });
        }
        let node = self.id.clone();
        if now >= self.renew_at {
            return Some(Call::Renew { node });
        }
        if let Some(Telling { kind, detail, .. }) = self.next_telling() {
            return Some(Call::Tell { kind, detail });
        }
        if self.is_closing && !has_changes {
            return Some(Call::Leave { node });
        }
        let other = if self.is_closing || has_changes && !self.has_told {
            None
        } else {
            self.other_call(now)
        };
        self.has_told = other.is_none() && has_changes;
        if let Some(call) = other {
            return Some(call);
        }
        has_changes.then(|| {
            self.number += 1;
            let ops = self.names.batch(BATCH, &self.clock);
            Call::Apply { node, number: self.number, ops }
        })
    }

    /// Takes out what is to be told of an incident now.
    fn next_telling(&mut self) -> Option<Telling> {
        let is_due = |telling: &Telling| telling.after == 0 || self.names.were_told(telling.after);
        let first = self.tell.iter().position(is_due)?;
        self.tell.remove(first)
    }

    /// A call that is not about this node's own changes.
    fn other_call(&self, now: Instant) -> Option<Call> {
        let node = || self.id.clone();
        if now >= self.sweep_at {
            return Some(Call::Expired);
        }
        if let Some((_, dead)) = self.sweep.next().filter(|(at, _)| now >= *at) {
            return Some(Call::Reap { node: dead.clone(), most: REAP });
        }
        if let Some((cursor, _)) = self.look {
            return Some(Call::Names { node: node(), cursor });
        }
        (now >= self.compare_at).then(|| Call::Compare { node: node() })
    }

    fn wait_until(&self) -> Option<Instant> {
        if !self.is_connected || self.asked_at.is_some() || self.is_closed {
            return None;
        }
        let reap_at = self.sweep.next().map(|(at, _)| at);
        let first = [self.renew_at, self.compare_at, self.sweep_at].into_iter().chain(reap_at);
        self.join_at.or(first.min())
    }

    fn handle(&mut self, now: Instant, asked_at: Instant, call: Call, answer: Answer) {
        match (call, answer) {
            (Call::Join { node, .. }, Answer::Leased { now: time, generation, namesake }) => {
                self.is_joined = true;
                self.leased(now, asked_at, time, generation);
                self.sweep_at = now.saturating_add(self.sweep_pause());
                self.compare_at = now.saturating_add(self.compare_pause());
                self.events.push(PresenceEvent::Joined { node, namesake });
            }
            (Call::Renew { .. }, Answer::Leased { now: time, generation, .. }) => {
                self.leased(now, asked_at, time, generation);
            }
            (Call::Apply { ops, .. }, Answer::Applied(outcomes)) => {
                self.end.extend(self.names.told(now, &ops, &outcomes));
            }
            (Call::Apply { ops, .. }, Answer::Stale) => self.names.not_told(ops),
            (Call::Compare { .. }, Answer::Digest { names, hash }) => {
                self.compared(now, self.names.digest() == (names, hash));
            }
            (Call::Names { .. }, Answer::Names { names, cursor }) => {
                self.looked(now, names, cursor);
            }
            (Call::Expired, Answer::Expired(nodes)) => {
                self.sweep_at = now.saturating_add(self.sweep_pause());
                let dead = self.sweep.looked(now, &self.id, nodes);
                self.events.extend(dead.into_iter().map(|node| PresenceEvent::NodeLost { node }));
            }
            (Call::Reap { node, .. }, Answer::Reaped { left, wait, .. }) if left > 0 => {
                self.sweep.reap_at(&node, now.saturating_add(wait));
            }
            (Call::Reap { node, .. }, Answer::Reaped { .. } | Answer::Alive) => {
                self.sweep.clear(&node);
            }
            (Call::Tell { .. }, Answer::Told) => {}
            (Call::Leave { .. }, Answer::Told) => self.is_closed = true,
            (_, Answer::Fenced) => self.begin_again(now),
            (call, answer) => {
                tracing::error!(?call, ?answer, "the store gave an answer to another call");
            }
        }
    }

    fn leased(&mut self, now: Instant, asked_at: Instant, time: u64, generation: Box<str>) {
        // One that took so long says little.
        if self.clock.at(now).is_none() || now.saturating_since(asked_at) <= self.lease / STOPPED {
            self.clock.measure(asked_at, now, time);
        }
        self.renew_at = asked_at.saturating_add(self.lease / RENEW);
        let is_new = self.generation.as_ref() != Some(&generation);
        if self.generation.replace(generation).is_some() && is_new {
            self.names.tell_again(now);
            self.look = None;
            self.events.push(PresenceEvent::Emptied);
        }
    }

    fn compared(&mut self, now: Instant, is_same: bool) {
        let pause = self.compare_pause();
        self.compare_at = now.saturating_add(pause);
        let has_differed = mem::replace(&mut self.has_differed, !is_same);
        if is_same {
            return;
        }
        // A command that is under way tells the same. So it counts when seen twice.
        if has_differed {
            self.has_differed = false;
            self.names.begin_look();
            self.look = Some((0, 0));
        } else {
            self.compare_at = now.saturating_add(self.lease / COMPARE_AGAIN);
        }
    }

    fn looked(&mut self, now: Instant, names: Vec<(Box<str>, u64)>, cursor: u64) {
        let Some((_, differ)) = self.look.take() else { return };
        let mut differ = differ + self.names.look(now, names);
        if cursor != 0 {
            self.look = Some((cursor, differ));
            return;
        }
        differ += self.names.end_look(now);
        if differ > 0 {
            self.events.push(PresenceEvent::Differed { names: differ });
        }
    }

    fn begin_again(&mut self, now: Instant) {
        self.fenced += 1;
        let new = NodeId::new(&self.name, self.rng.u32(..));
        let node = mem::replace(&mut self.id, new);
        // A new id is fenced only if the answer to its first call was lost for long.
        let is_again = !mem::replace(&mut self.is_joined, false);
        self.join_at = is_again.then(|| now.saturating_add(JOIN_AGAIN));
        (self.look, self.has_differed) = (None, false);
        self.names.begin_again(now);
        self.events.push(PresenceEvent::Fenced { node });
    }

    /// Looks for dead nodes are a renewal apart, or up to a tenth more: not all nodes in step.
    fn sweep_pause(&mut self) -> Duration {
        self.lease / RENEW + (self.lease / 30).mul_f64(self.rng.f64())
    }

    /// Somewhat less than a minute, so that not all nodes do it at once.
    fn compare_pause(&mut self) -> Duration {
        (self.lease * COMPARE).mul_f64(1.0 - self.rng.f64() / 6.0)
    }
}
