//! The names of a node: who is online here, what the store has of it, and what it is still to be
//! told. Only the last state of a name waits, so however long the store is gone, what waits is
//! bounded by the names that are online here and those that the store has.

use core::mem;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use heartwire_core::Instant;

use super::clock::StoreClock;
use super::{End, Ended};
use crate::session::Session;
use crate::store::{Op, Outcome, hash};

/// By how much an epoch may differ from the time at which its session was passed on, before its
/// server's clock is taken for wrong: no more than a slow round trip makes of it.
const BELIEVED: u64 = 250_000;
/// Any epoch that the store may have, as its scripts have no greater integers.
const ANY: u64 = (1 << 53) - 1;
/// The digest is a sum modulo 2^40.
const DIGEST: u64 = (1 << 40) - 1;
/// Why a name is told offline that the store has of this node, and the node has not.
const NOT_HERE: &str = "not_here";

/// A name that is online here, or that the store still has.
#[derive(Debug, Default)]
struct Name {
    /// The session that is online here.
    here: Option<Here>,
    /// The epoch that the store has for the name on this node.
    stored: Option<u64>,
    /// Its place among those that wait to be told, and since when it waits.
    waiting: Option<(u64, Instant)>,
    /// Its place, and since when it waited, if the answer to what was told of it is awaited.
    told: Option<(u64, Instant)>,
    /// The epoch of a newer session elsewhere, of which the store spoke meanwhile.
    overtaken: Option<u64>,
    /// Whether it is not known what the store has, as there was no answer.
    is_unsure: bool,
    /// Why the last session ended, and in which incident.
    ended: Option<(&'static str, Option<Box<str>>)>,
    /// The number of the last look at the store's names in which it was found, or told.
    seen: u32,
}

/// A session that is online here.
#[derive(Debug)]
struct Here {
    session: Session,
    passed_at: Instant,
    /// The epoch that it has in the store, or with which it was told.
    claim: Option<u64>,
    /// A newer session has the name: this one was told to end, and is not told any more.
    is_over: bool,
}

/// All names of a node.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: HashMap<Box<str>, Name>,
    /// Those that wait to be told, in order.
    waiting: BTreeMap<u64, Box<str>>,
    /// The place of the last that began to wait.
    last_place: u64,
    online: usize,
    stored: u64,
    hash: u64,
    look: u32,
}

impl Names {
    /// A session is online, or replaced an older one of its name.
    pub(super) fn online(&mut self, now: Instant, session: Session) {
        let name = self.names.entry(session.name.clone()).or_default();
        match &name.here {
            Some(here) if here.session.epoch > session.epoch => return,
            Some(_) => {}
            None => self.online += 1,
        }
        let key = session.name.clone();
        name.here = Some(Here { session, passed_at: now, claim: None, is_over: false });
        self.settle(&key, now);
    }

    /// A session is offline.
    pub(super) fn offline(
        &mut self,
        now: Instant,
        session: &Session,
        reason: &'static str,
        incident: Option<Box<str>>,
    ) {
        let Some(name) = self.names.get_mut(&session.name) else { return };
        // A newer one may have its name.
        if name.here.as_ref().is_none_or(|here| here.session.id != session.id) {
            return;
        }
        name.here = None;
        name.ended = Some((reason, incident));
        self.online -= 1;
        self.settle(&session.name, now);
    }

    /// What waits longest, `most` names at most. To be handed to [`told`](Self::told) with the
    /// outcomes, or to [`not_told`](Self::not_told).
    pub(super) fn batch(&mut self, most: usize, clock: &StoreClock) -> Vec<Op> {
        let mut ops = Vec::with_capacity(most.min(self.waiting.len()));
        while ops.len() < most
            && let Some((_, key)) = self.waiting.pop_first()
        {
            let Some(name) = self.names.get_mut(&key) else { continue };
            name.told = name.waiting.take();
            ops.push(name.op(key, clock));
        }
        ops
    }

    /// The store answered a batch. Returns the sessions to end.
    pub(super) fn told(&mut self, now: Instant, ops: &[Op], outcomes: &[Outcome]) -> Vec<End> {
        let mut ends = Vec::new();
        for (op, outcome) in ops.iter().zip(outcomes) {
            let Some(name) = self.names.get_mut(op.name()) else { continue };
            let told = match op {
                Op::Online { epoch, .. } => Some(*epoch),
                Op::Offline { .. } => None,
            };
            // Not a newer session, which waits.
            let here = name.here.as_mut().filter(|here| told.is_some() && here.claim == told);
            let stored = match *outcome {
                Outcome::Online { epoch } => {
                    if let Some(here) = here {
                        here.claim = Some(epoch);
                    }
                    Some(epoch)
                }
                Outcome::Older { same_client, .. } => {
                    ends.extend(here.and_then(|here| here.take_over(same_client)));
                    None
                }
                Outcome::Offline => None,
            };
            (name.told, name.seen) = (None, self.look);
            // It was told before the newer session, or only after that had ended again.
            let overtaken = name.overtaken.take();
            name.is_unsure = stored.is_some() && overtaken > stored;
            self.store(op.name(), stored);
            self.settle(op.name(), now);
        }
        ends
    }

    /// There was no answer to a batch, so it is not known whether the store has it. Of each name
    /// its state is told again, as it is by then.
    pub(super) fn not_told(&mut self, ops: Vec<Op>) {
        for op in ops {
            let Some(name) = self.names.get_mut(op.name()) else { continue };
            name.is_unsure = true;
            name.overtaken = None;
            name.waiting = name.told.take();
            if let Some((place, _)) = name.waiting {
                self.waiting.insert(place, op.name().into());
            }
        }
    }

    /// A newer session of a name is online elsewhere. Returns the session to end.
    pub(super) fn taken_over(
        &mut self,
        now: Instant,
        key: &str,
        epoch: u64,
        same_client: bool,
    ) -> Option<End> {
        let name = self.names.get_mut(key)?;
        // A session that the store was never told of is not meant: the store decides about it.
        let is_older = |here: &&mut Here| here.claim.is_some_and(|claim| claim < epoch);
        let here = name.here.as_mut().filter(is_older);
        let end = here.and_then(|here| here.take_over(same_client));
        if name.told.is_some() {
            name.overtaken = name.overtaken.max(Some(epoch));
        } else if name.stored.is_some_and(|stored| stored < epoch) {
            self.store(key, None);
        }
        self.settle(key, now);
        end
    }

    /// An operator ends the session of a name, if it is not newer than `epoch`.
    pub(super) fn kick(&self, key: &str, epoch: u64, clock: &StoreClock) -> Option<End> {
        let here = self.names.get(key)?.here.as_ref()?;
        let is_meant = here.epoch(clock) <= epoch;
        is_meant.then_some(End { session: here.session.id, why: Ended::Kicked })
    }

    /// The store was emptied: it has none of the names.
    pub(super) fn tell_again(&mut self, now: Instant) {
        for key in self.keys() {
            self.store(&key, None);
            self.settle(&key, now);
        }
    }

    /// The node has a new id, of which the store knows nothing. The batch whose answer was awaited
    /// is dropped.
    pub(super) fn begin_again(&mut self, now: Instant) {
        for name in self.names.values_mut() {
            (name.told, name.overtaken, name.is_unsure) = (None, None, false);
        }
        self.tell_again(now);
    }

    /// How many names the store has of this node, and the sum of their hashes.
    pub(super) const fn digest(&self) -> (u64, u64) {
        (self.stored, self.hash)
    }

    /// Begins to look through all names that the store has of this node.
    pub(super) const fn begin_look(&mut self) {
        self.look = self.look.wrapping_add(1);
    }

    /// The store has these names. Returns how many of them differ.
    pub(super) fn look(&mut self, now: Instant, names: Vec<(Box<str>, u64)>) -> u64 {
        let mut differ = 0;
        for (key, epoch) in names {
            let name = self.names.entry(key.clone()).or_default();
            let is_known = name.told.is_some() || name.stored == Some(epoch);
            if mem::replace(&mut name.seen, self.look) == self.look || is_known {
                continue;
            }
            differ += 1;
            self.store(&key, Some(epoch));
            self.settle(&key, now);
        }
        differ
    }

    /// The store has no other names. Returns how many it lacks.
    pub(super) fn end_look(&mut self, now: Instant) -> u64 {
        let mut lacks = 0;
        for key in self.keys() {
            let Some(name) = self.names.get(&key) else { continue };
            if name.stored.is_none() || name.told.is_some() || name.seen == self.look {
                continue;
            }
            lacks += 1;
            self.store(&key, None);
            self.settle(&key, now);
        }
        lacks
    }

    /// The place of the last change that began to wait.
    pub(super) const fn last_place(&self) -> u64 {
        self.last_place
    }

    /// Whether no change waits up to this place.
    pub(super) fn were_told(&self, place: u64) -> bool {
        self.waiting.first_key_value().is_none_or(|(first, _)| *first > place)
    }

    /// How many names wait to be told.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many names are online here.
    pub(super) const fn online_count(&self) -> usize {
        self.online
    }

    /// Since when the first waits that waits.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let (_, key) = self.waiting.first_key_value()?;
        self.names.get(key)?.waiting.map(|(_, since)| since)
    }

    /// How many names are kept in memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.names.len().max(self.waiting.len())
    }

    /// How many names the store was told something of, and no answer came yet.
    #[cfg(test)]
    pub(super) fn unanswered(&self) -> usize {
        self.names.values().filter(|name| name.told.is_some() || name.is_unsure).count()
    }

    fn keys(&self) -> Vec<Box<str>> {
        self.names.keys().cloned().collect()
    }

    /// Sets what the store has of a name.
    fn store(&mut self, key: &str, stored: Option<u64>) {
        let Some(name) = self.names.get_mut(key) else { return };
        let old = mem::replace(&mut name.stored, stored);
        if old == stored {
            return;
        }
        let part = |epoch: Option<u64>| epoch.map_or(0, |epoch| hash(key, epoch));
        let count = |epoch: Option<u64>| u64::from(epoch.is_some());
        self.hash = self.hash.wrapping_sub(part(old)).wrapping_add(part(stored)) & DIGEST;
        self.stored = self.stored - count(old) + count(stored);
    }

    /// Lets a name wait if the store is to be told something of it, and forgets it if there is
    /// nothing to remember.
    fn settle(&mut self, key: &str, now: Instant) {
        let Some(name) = self.names.get(key) else { return };
        if name.told.is_some() {
            return; // What has changed meanwhile is seen when the answer comes.
        }
        if name.differs() {
            self.wait(key, now);
            return;
        }
        if let Some((place, _)) = name.waiting {
            self.waiting.remove(&place);
        }
        if let Entry::Occupied(mut entry) = self.names.entry(key.into()) {
            entry.get_mut().waiting = None;
            if entry.get().here.is_none() && entry.get().stored.is_none() {
                entry.remove();
            }
        }
    }

    fn wait(&mut self, key: &str, now: Instant) {
        let Some(name) = self.names.get_mut(key) else { return };
        if name.waiting.is_none() {
            self.last_place += 1;
            name.waiting = Some((self.last_place, now));
            self.waiting.insert(self.last_place, key.into());
        }
    }
}

impl Name {
    /// Whether the store has, or may have, another state of the name than is true.
    fn differs(&self) -> bool {
        let is_same = match &self.here {
            Some(here) if !here.is_over => self.stored.is_some() && here.claim == self.stored,
            Some(_) | None => self.stored.is_none(),
        };
        self.is_unsure || !is_same
    }

    /// What the store is told.
    fn op(&mut self, key: Box<str>, clock: &StoreClock) -> Op {
        if let Some(here) = self.here.as_mut().filter(|here| !here.is_over) {
            let epoch = here.epoch(clock);
            here.claim = Some(epoch);
            let session = here.session.id.to_string().into();
            let (peer, instance) = (here.session.peer.to_string().into(), here.session.instance);
            return Op::Online { name: key, epoch, session, instance, peer };
        }
        let epoch = if self.is_unsure { ANY } else { self.stored.unwrap_or(ANY) };
        let (reason, incident) = match (&self.here, &self.ended) {
            (Some(_), _) => ("taken_over", None),
            (None, Some(ended)) => ended.clone(),
            (None, None) => (NOT_HERE, None),
        };
        Op::Offline { name: key, epoch, reason: reason.into(), incident }
    }
}

impl Here {
    /// The session's epoch: as the store has it; as its server drew it; or, if that server's clock
    /// was wrong, the time at which it was passed on.
    fn epoch(&self, clock: &StoreClock) -> u64 {
        let drawn = self.session.epoch;
        let Some(passed) = clock.at(self.passed_at) else { return self.claim.unwrap_or(drawn) };
        self.claim.unwrap_or(if drawn.abs_diff(passed) <= BELIEVED { drawn } else { passed })
    }

    /// The session is to end, unless it was told so before.
    fn take_over(&mut self, same_client: bool) -> Option<End> {
        let why = Ended::TakenOver { same_client };
        let is_new = !mem::replace(&mut self.is_over, true);
        is_new.then_some(End { session: self.session.id, why })
    }
}
