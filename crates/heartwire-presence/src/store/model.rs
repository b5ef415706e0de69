//! A model of the store: answers every call as the scripts do, in Rust and without Redis.
//!
//! The clock of Redis is handed in. A failure is an assignment: `*model = Model::default()` is a
//! Redis that lost everything, `*model = earlier.clone()` one that lost its last writes.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Call, Command, LEASE, Op, Outcome, StreamId, hash};
use crate::{Change, Entry, Kind, NodeId};

#[cfg(test)]
mod tests;

/// The pause after a portion of a dead node's names was told offline.
const REAP_PAUSE: Duration = Duration::from_millis(250);

/// How many names one answer to [`Call::Names`] has: few, so that a test sees several portions.
const NAMES_MAX: usize = 4;

/// One entry of the stream that all changes are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Presence changed.
    Change(Change),
    /// An incident began or is over.
    Incident {
        /// Orders it among the changes ([`Change::number`]).
        number: u64,
        /// `incident` or `incident_over`.
        kind: Box<str>,
        /// Its fields, as JSON.
        detail: Box<str>,
    },
}

/// All that the store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    /// Nodes with a lease, and when it ends: milliseconds since 1970. Over does not mean gone: that
    /// is a node only once another has begun to reap it.
    pub(crate) nodes: BTreeMap<NodeId, u64>,
    /// Nodes that are being reaped, and when the last portion was: milliseconds since 1970.
    pub(crate) reaping: BTreeMap<NodeId, u64>,
    /// What nodes say of themselves; also of those that are being reaped.
    pub(crate) about: BTreeMap<NodeId, About>,
    /// Which names are online.
    pub(crate) entries: BTreeMap<Box<str>, Entry>,
    /// The names of each node. Redis keeps no set that is empty, nor does this.
    pub(crate) names: BTreeMap<NodeId, BTreeSet<Box<str>>>,
    /// The stream of changes.
    pub(crate) told: Vec<Told>,
    /// The streams of commands to nodes.
    pub(crate) commands: BTreeMap<NodeId, Vec<(StreamId, Command)>>,
    /// When the store was first written: microseconds since 1970.
    pub(crate) generation: Option<u64>,
    /// The number of the last that was told.
    pub(crate) last: u64,
    /// Names that are reaped before others. Redis takes any.
    pub(super) reaped_first: Vec<Box<str>>,
}

/// What a node says of itself, and the last number of its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// Since when it is there: microseconds since 1970.
    pub(crate) since: u64,
    /// Where operators reach it.
    pub(crate) address: Box<str>,
    /// The number of its last [`Call::Apply`].
    pub(crate) applied: u64,
}

impl Model {
    /// Answers a call. The clock: microseconds since 1970, as the clock of Redis goes.
    pub(crate) fn call(&mut self, call: &Call, now: u64) -> Answer {
        match call {
            Call::Join { node, address } => self.join(node, address, now),
            Call::Renew { node } if self.nodes.contains_key(node) => self.lease(node, now, None),
            Call::Apply { node, number, ops } if self.nodes.contains_key(node) => {
                self.apply(node, *number, ops, now)
            }
            Call::Compare { node } if self.nodes.contains_key(node) => self.digest(node),
            Call::Renew { .. } | Call::Apply { .. } | Call::Compare { .. } => Answer::Fenced,
            Call::Names { node, cursor } => self.portion(node, *cursor),
            Call::Expired => self.expired(now),
            Call::Reap { node, most } => self.reap(node, *most, now),
            Call::Tell { kind, detail } => {
                let number = self.number(now);
                let (kind, detail) = ((*kind).into(), detail.clone());
                self.told.push(Told::Incident { number, kind, detail });
                Answer::Told
            }
            Call::Leave { node } => {
                self.leave(node);
                Answer::Told
            }
            Call::Kick { name } => self.kick(name, now),
        }
    }

    /// The commands to a node after an entry of their stream, in order.
    pub(crate) fn commands_after(&self, node: &NodeId, id: StreamId) -> Vec<(StreamId, Command)> {
        let all = self.commands.get(node).into_iter().flatten();
        all.filter(|(at, _)| *at > id).cloned().collect()
    }

    fn join(&mut self, node: &NodeId, address: &str, now: u64) -> Answer {
        if self.reaping.contains_key(node) {
            return Answer::Fenced;
        }
        let about = self.about.entry(node.clone()).or_default();
        about.address = address.into();
        if about.since == 0 {
            about.since = now;
        }
        let others = by_time(&self.nodes);
        let namesake = others.into_iter().find(|(end, other)| {
            *end > now / 1000 && *other != node && other.name() == node.name()
        });
        let namesake = namesake.map(|(_, other)| other.clone());
        self.lease(node, now, namesake)
    }

    fn lease(&mut self, node: &NodeId, now: u64, namesake: Option<NodeId>) -> Answer {
        self.nodes.insert(node.clone(), now / 1000 + millis(LEASE));
        let generation = self.generation.get_or_insert(now).to_string().into();
        Answer::Leased { now, generation, namesake }
    }

    fn apply(&mut self, node: &NodeId, number: u64, ops: &[Op], now: u64) -> Answer {
        let about = self.about.entry(node.clone()).or_default();
        if number < about.applied {
            return Answer::Stale;
        }
        about.applied = number;
        let outcomes = ops.iter().map(|op| match op {
            Op::Online { name, epoch, session, instance, peer } => {
                let (name, session, peer) = (name.clone(), session.clone(), peer.clone());
                let (node, epoch, instance) = (node.clone(), *epoch, *instance);
                self.online(Entry { name, epoch, node, session, since: now, peer, instance }, now)
            }
            Op::Offline { name, epoch, reason, incident } => {
                self.offline(node, name, *epoch, reason, incident.as_deref(), now);
                Outcome::Offline
            }
        });
        Answer::Applied(outcomes.collect())
    }

    /// Puts a name online, unless another node has a newer session of it.
    ///
    /// - An epoch ahead of the clock of Redis counts as now.
    /// - The same session again keeps the epoch that it has in the store, and nothing is told.
    /// - A node knows the order of its own sessions: its last word is the newest, and if the epoch
    ///   does not say so, it is raised. So is it where the stored one is not behind the clock: then
    ///   clocks cannot tell, and the last to come is the newest.
    /// - A node that was taken for dead says again what it has, under its new id: the same session
    ///   with the epoch stored is no older one. It has moved.
    /// - Of another session on the same node nothing is told. On another node it has moved, and the
    ///   node that had it is told, unless that is being reaped.
    fn online(&mut self, mut entry: Entry, now: u64) -> Outcome {
        let proposed = entry.epoch;
        entry.epoch = proposed.min(now);
        let Some(old) = self.entries.get(&entry.name).cloned() else {
            let outcome = Outcome::Online { epoch: entry.epoch };
            self.put(entry.clone());
            self.tell(Kind::Online, entry, None, None, None, now);
            return outcome;
        };
        entry.since = old.since;
        let is_own = old.node == entry.node;
        let is_same_session = old.session == entry.session;
        let same_client = old.instance.is_some() && old.instance == entry.instance;
        if is_own && is_same_session {
            entry.epoch = old.epoch;
        } else if entry.epoch <= old.epoch {
            let is_again =
                is_same_session && proposed == old.epoch && old.node.name() == entry.node.name();
            if is_own || old.epoch >= now {
                entry.epoch = old.epoch + 1;
            } else if !is_again {
                return Outcome::Older { epoch: old.epoch, same_client };
            }
        }
        let epoch = entry.epoch;
        self.take(&old);
        self.put(entry.clone());
        if !is_own {
            if self.nodes.contains_key(&old.node) {
                let name = entry.name.clone();
                self.command(&old.node, Command::TakenOver { name, epoch, same_client }, now);
            }
            self.tell(Kind::Moved, entry, Some(old.node), None, None, now);
        }
        Outcome::Online { epoch }
    }

    fn offline(
        &mut self,
        node: &NodeId,
        name: &str,
        epoch: u64,
        reason: &str,
        incident: Option<&str>,
        now: u64,
    ) {
        let entry = self.entries.get(name);
        if let Some(entry) = entry.filter(|it| it.node == *node && it.epoch <= epoch).cloned() {
            self.take(&entry);
            self.tell(Kind::Offline, entry, None, Some(reason), incident, now);
        }
    }

    fn digest(&self, node: &NodeId) -> Answer {
        let names = self.names.get(node).into_iter().flatten();
        let hashes = names.clone().map(|name| hash(name, self.entries[name].epoch));
        let sum = hashes.fold(0, |sum, hash| (sum + hash) % (1 << super::DIGEST_BITS));
        Answer::Digest { names: count(names.count()), hash: sum }
    }

    /// Names in the order of their hashes: so one that is there all the time is in one portion, no
    /// matter which come and go. That is also what Redis promises; it may give one twice.
    fn portion(&self, node: &NodeId, cursor: u64) -> Answer {
        let all = self.names.get(node).into_iter().flatten();
        let mut rest: Vec<_> = all.map(|name| (hash(name, 0), name)).collect();
        rest.retain(|(at, _)| *at >= cursor);
        rest.sort_unstable();
        let cursor = rest.get(NAMES_MAX).map_or(0, |(at, _)| *at);
        rest.truncate(NAMES_MAX);
        let names = rest.into_iter().map(|(_, name)| (name.clone(), self.entries[name].epoch));
        Answer::Names { names: names.collect(), cursor }
    }

    /// Nodes whose lease is over, those first whose lease was over first; then those being reaped,
    /// those first whose last portion was first. A lease that ends later than any that could be
    /// taken now was taken before the clock of Redis stepped back: it is cut.
    fn expired(&mut self, now: u64) -> Answer {
        let now = now / 1000;
        for end in self.nodes.values_mut() {
            *end = (*end).min(now + millis(LEASE));
        }
        let over = by_time(&self.nodes).into_iter().take_while(|(end, _)| *end <= now);
        let reaping = by_time(&self.reaping);
        Answer::Expired(over.chain(reaping).map(|(_, node)| node.clone()).collect())
    }

    /// Begins to reap a node whose lease is over, or goes on. A node that the store does not know
    /// (any more) has nothing left.
    fn reap(&mut self, node: &NodeId, most: u32, now: u64) -> Answer {
        let ms = now / 1000;
        if let Some(end) = self.nodes.get(node) {
            if *end > ms {
                return Answer::Alive;
            }
            self.nodes.remove(node);
            self.reaping.insert(node.clone(), 0);
        }
        let Some(&last) = self.reaping.get(node) else {
            return Answer::Reaped { offline: 0, left: 0, wait: Duration::ZERO };
        };
        let names = self.names.get(node).cloned().unwrap_or_default();
        if last <= ms && ms - last < millis(REAP_PAUSE) {
            let wait = Duration::from_millis(last + millis(REAP_PAUSE) - ms);
            return Answer::Reaped { offline: 0, left: count(names.len()), wait };
        }
        self.reaping.insert(node.clone(), ms);
        let first = core::mem::take(&mut self.reaped_first);
        let first = first.into_iter().filter(|name| names.contains(name));
        let mut order: Vec<_> = first.collect();
        let rest = names.iter().filter(|name| !order.contains(name)).cloned().collect::<Vec<_>>();
        order.extend(rest);
        order.truncate(most.try_into().unwrap());
        for name in &order {
            let entry = self.entries[name].clone();
            self.take(&entry);
            self.tell(Kind::Offline, entry, None, Some("node_lost"), None, now);
        }
        let (offline, left) = (order.len().try_into().unwrap(), count(names.len() - order.len()));
        if left == 0 {
            self.forget(node);
            return Answer::Reaped { offline, left, wait: Duration::ZERO };
        }
        Answer::Reaped { offline, left, wait: REAP_PAUSE }
    }

    /// Has the node reaped at once, or forgets it if it has no names.
    fn leave(&mut self, node: &NodeId) {
        if self.nodes.remove(node).is_none() {
            return;
        }
        if self.names.contains_key(node) {
            self.reaping.insert(node.clone(), 0);
        } else {
            self.forget(node);
        }
    }

    fn kick(&mut self, name: &str, now: u64) -> Answer {
        let entry = self.entries.get(name).filter(|it| self.nodes.contains_key(&it.node)).cloned();
        if let Some(Entry { name, epoch, node, .. }) = entry.clone() {
            self.command(&node, Command::Kick { name, epoch }, now);
        }
        Answer::Kicked(entry.map(|it| it.node))
    }

    fn put(&mut self, entry: Entry) {
        self.names.entry(entry.node.clone()).or_default().insert(entry.name.clone());
        self.entries.insert(entry.name.clone(), entry);
    }

    fn take(&mut self, entry: &Entry) {
        self.entries.remove(&entry.name);
        if let Some(names) = self.names.get_mut(&entry.node) {
            names.remove(&entry.name);
            if names.is_empty() {
                self.names.remove(&entry.node);
            }
        }
    }

    fn forget(&mut self, node: &NodeId) {
        self.reaping.remove(node);
        self.about.remove(node);
        self.commands.remove(node);
    }

    fn number(&mut self, now: u64) -> u64 {
        self.last = now.max(self.last + 1);
        self.last
    }

    fn tell(
        &mut self,
        kind: Kind,
        entry: Entry,
        from: Option<NodeId>,
        reason: Option<&str>,
        incident: Option<&str>,
        now: u64,
    ) {
        let number = self.number(now);
        let (reason, incident) = (reason.map(Into::into), incident.map(Into::into));
        let change = Change { number, kind, entry, from, reason, incident };
        self.told.push(Told::Change(change));
    }

    fn command(&mut self, node: &NodeId, command: Command, now: u64) {
        let stream = self.commands.entry(node.clone()).or_default();
        let first = StreamId { ms: now / 1000, sequence: 0 };
        let id = stream.last().map_or(first, |(last, _)| {
            first.max(StreamId { sequence: last.sequence + 1, ..*last })
        });
        stream.push((id, command));
    }
}

/// Nodes by time, then by id: the order of a sorted set.
fn by_time(nodes: &BTreeMap<NodeId, u64>) -> Vec<(u64, &NodeId)> {
    let mut by_time: Vec<_> = nodes.iter().map(|(node, at)| (*at, node)).collect();
    by_time.sort_unstable();
    by_time
}

fn millis(duration: Duration) -> u64 {
    duration.as_secs() * 1000 + u64::from(duration.subsec_millis())
}

fn count(count: usize) -> u64 {
    count.try_into().unwrap()
}
