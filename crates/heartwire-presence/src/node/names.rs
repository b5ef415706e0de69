//! The names of a node: who is online here, what the store has of it, and what it is still to be
//! told. Only the last state of a name waits, so however long the store is gone, what waits is
//! bounded by the names that are online here and those that the store has.

use core::mem;
use core::time::Duration;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use heartwire_core::Instant;

use super::clock::StoreClock;
use super::{End, Ended};
use crate::session::Session;
use crate::store::{Op, Outcome, hash};

/// How far in the future an epoch may lie before its server's clock is taken for wrong.
const AHEAD: Duration = Duration::from_secs(1);
/// How old an epoch may be when its session is passed on. That takes microseconds, unless the
/// process was stopped right then.
const BEHIND: Duration = Duration::from_secs(60);
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
    /// Its place among those that wait to be told.
    waiting: Option<u64>,
    /// Whether it is in the batch whose answer is awaited.
    is_told: bool,
    /// A newer session elsewhere, of which the store spoke while that answer was awaited: its
    /// epoch, and whether it is of the same client.
    overtaken: Option<(u64, bool)>,
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
    /// Those that wait to be told, in order, with the time since when.
    waiting: BTreeMap<u64, (Box<str>, Instant)>,
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
        self.wait(&key, now);
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
            && let Some((_, (key, _))) = self.waiting.pop_first()
        {
            let Some(name) = self.names.get_mut(&key) else { continue };
            name.waiting = None;
            name.is_told = true;
            ops.push(name.op(key, clock));
        }
        ops
    }

    /// The store answered a batch. Returns the sessions to end.
    pub(super) fn told(&mut self, now: Instant, ops: &[Op], outcomes: &[Outcome]) -> Vec<End> {
        let mut ends = Vec::new();
        for (op, outcome) in ops.iter().zip(outcomes) {
            let Some(name) = self.names.get_mut(op.name()) else { continue };
            name.is_told = false;
            let overtaken = name.overtaken.take();
            name.seen = self.look;
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
            self.store(op.name(), stored);
            self.settle(op.name(), now);
            if let Some((epoch, same_client)) = overtaken {
                ends.extend(self.taken_over(now, op.name(), epoch, same_client));
            }
        }
        ends
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
        if name.is_told {
            name.overtaken = name.overtaken.max(Some((epoch, same_client)));
            return None;
        }
        // A session that the store has not heard of, or that is newer, is not meant: the store
        // decides about it when it is told.
        let stored = name.stored.filter(|stored| *stored < epoch)?;
        let here = name.here.as_mut().filter(|here| here.claim == Some(stored));
        let end = here.and_then(|here| here.take_over(same_client));
        self.store(key, None);
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
            (name.is_told, name.overtaken) = (false, None);
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
            let is_known = name.is_told || name.stored == Some(epoch);
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
            if name.stored.is_none() || name.is_told || name.seen == self.look {
                continue;
            }
            lacks += 1;
            self.store(&key, None);
            self.settle(&key, now);
        }
        lacks
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
        self.waiting.first_key_value().map(|(_, (_, since))| *since)
    }

    /// How many names are kept in memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.names.len().max(self.waiting.len())
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
        if name.is_told {
            return; // What has changed meanwhile is seen when the answer comes.
        }
        if name.differs() {
            self.wait(key, now);
            return;
        }
        if let Some(place) = name.waiting {
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
        if name.waiting.is_none() && !name.is_told {
            self.last_place += 1;
            name.waiting = Some(self.last_place);
            self.waiting.insert(self.last_place, (key.into(), now));
        }
    }
}

impl Name {
    /// Whether the store has another state of the name than is true.
    fn differs(&self) -> bool {
        match &self.here {
            Some(here) if !here.is_over => self.stored.is_none() || here.claim != self.stored,
            Some(_) | None => self.stored.is_some(),
        }
    }

    /// What the store is told.
    fn op(&mut self, key: Box<str>, clock: &StoreClock) -> Op {
        if let Some(here) = self.here.as_mut().filter(|here| !here.is_over) {
            let mut epoch = here.epoch(clock);
            // What the store has is of an older session here.
            if let Some(stored) = self.stored
                && here.claim != Some(stored)
            {
                epoch = epoch.max(stored + 1);
            }
            here.claim = Some(epoch);
            let session = here.session.id.to_string().into();
            let (peer, instance) = (here.session.peer.to_string().into(), here.session.instance);
            return Op::Online { name: key, epoch, session, instance, peer };
        }
        let epoch = self.stored.unwrap_or(0);
        let (reason, incident) = self.ended.clone().unwrap_or((NOT_HERE, None));
        Op::Offline { name: key, epoch, reason: reason.into(), incident }
    }
}

impl Here {
    /// The session's epoch: as the store has it; as its server drew it; or, if that server's clock
    /// was wrong, the time at which it was passed on.
    fn epoch(&self, clock: &StoreClock) -> u64 {
        let drawn = self.session.epoch;
        let Some(passed) = clock.at(self.passed_at) else { return self.claim.unwrap_or(drawn) };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let believed = passed.saturating_sub(micros(BEHIND))..=passed.saturating_add(micros(AHEAD));
        self.claim.unwrap_or(if believed.contains(&drawn) { drawn } else { passed })
    }

    /// The session is to end, unless it was told so before.
    fn take_over(&mut self, same_client: bool) -> Option<End> {
        let why = Ended::TakenOver { same_client };
        let is_new = !mem::replace(&mut self.is_over, true);
        is_new.then_some(End { session: self.session.id, why })
    }
}
