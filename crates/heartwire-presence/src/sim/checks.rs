//! What has to be true.

use core::time::Duration;
use std::collections::BTreeMap;

use super::Breach;
use super::calls::CALL_TIMEOUT;
use super::clients::At;
use super::faults::SECOND;
use super::machine::Machine;
use super::world::{START, World};
use crate::node::{COMPARE, COMPARE_AGAIN};
use crate::store::LEASE;
use crate::store::model::{Model, Told};
use crate::{Config, Entry, Kind};

/// How long a lost connection, a verdict and a client's return take at most, and how long the end
/// of a session is held back.
const CLIENTS: u64 = 60 * SECOND;
/// How long idle nodes are watched then.
pub(super) const IDLE: u64 = 30 * SECOND;
/// Two nodes that have contact have sessions of one name for this long at most: one renewal, by
/// which a node finds out that it was taken for dead, and three seconds for what is under way.
const DOUBLE: u64 = 8 * SECOND;
/// By how much clocks may differ beyond round trips.
const CLOCKS: u64 = SECOND / 2;
/// After faults and changes have ended, presence is the truth within this time.
pub(super) fn settles() -> u64 {
    CLIENTS + lost_within() + compares()
}

/// For so long after the store lost what it had, a node does not know what that was.
fn resets() -> u64 {
    compares() + DOUBLE
}

/// The names of a dead node are offline within the time that is printed, if another one has contact
/// all the time, and calls take theirs.
fn lost_within() -> u64 {
    let config = Config::new("node".parse().unwrap());
    micros(config.node_lost_bound(0)) + 4 * CALL_TIMEOUT
}

/// Within this time a difference is found, and put right.
fn compares() -> u64 {
    micros(LEASE * COMPARE + LEASE / COMPARE_AGAIN) + 2 * SECOND
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap()
}

/// What the checks remember.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) is_tick: bool,
    /// The store was called.
    pub(super) has_told: bool,
    /// What is wrong with the end of a session.
    wrong_end: Option<String>,
    pub(super) clock_stepped: bool,
    /// For how long each machine is gone when it is killed.
    pub(super) away: Vec<u64>,
    /// When the store lost something.
    reset_at: Option<u64>,
    /// How many of the changes were read, and the number of the last.
    read: usize,
    last_number: u64,
    /// What the changes said last of each name: the epoch, and whether it is online.
    said: BTreeMap<Box<str>, (u64, bool)>,
    /// Since when two nodes that have contact have sessions of a name.
    double_since: Vec<Option<u64>>,
    /// Since when a node that has contact knows better than the store.
    late_since: Vec<Option<u64>>,
    /// Since when a name is online on a node that is dead.
    lost_since: Vec<Option<u64>>,
    writes: Option<(u64, Vec<(u64, u64)>)>,
    settled_at: Option<u64>,
}

impl Checks {
    pub(super) fn new(clients: usize) -> Self {
        Self {
            is_tick: false,
            has_told: false,
            wrong_end: None,
            clock_stepped: false,
            away: vec![0; 4],
            reset_at: None,
            read: 0,
            last_number: 0,
            said: BTreeMap::new(),
            double_since: vec![None; clients],
            late_since: vec![None; clients],
            lost_since: vec![None; clients],
            writes: None,
            settled_at: None,
        }
    }

    /// The store lost something: what was said of it before counts no more.
    pub(super) fn store_reset(&mut self, now: u64, store: &Model) {
        self.reset_at = Some(now);
        (self.read, self.last_number) = (store.told.len(), store.last);
        self.said.clear();
        for (name, entry) in &store.entries {
            self.said.insert(name.clone(), (entry.epoch, true));
        }
    }

    fn is_reset(&self, now: u64) -> bool {
        self.reset_at.is_some_and(|at| now < at + resets())
    }
}

impl World {
    pub(super) fn check(&mut self) -> Result<(), Breach> {
        if let Some(what) = self.checks.wrong_end.take() {
            return Err(self.breach(what));
        }
        if core::mem::take(&mut self.checks.has_told) {
            self.check_changes()?;
        }
        if core::mem::take(&mut self.checks.is_tick) {
            self.check_memory()?;
            self.check_doubles()?;
            self.check_late()?;
            self.check_lost()?;
            self.check_idle()?;
        }
        Ok(())
    }

    /// The newest session of a client was ended for one that is taken for newer. That is wrong,
    /// unless clocks could not tell which was; and then the client has to be told to come back.
    pub(super) fn taken_over_wrongly(&mut self, client: usize, at: At, same_client: bool) {
        self.seen.wrong_takeovers += 1;
        let it = &self.clients[client];
        let (least, more) = self.plan.latency;
        let apart = it.online_since - it.before;
        let can_tell = apart > CLOCKS + 2 * (least + 10 * more);
        let is_sure = can_tell && !self.checks.clock_stepped && !self.checks.is_reset(self.now);
        if !same_client || is_sure {
            let what = format!("client {client} at {at:?} was told that a newer session is there");
            self.checks.wrong_end = Some(what);
        }
    }

    /// The changes that the store told since the last look.
    fn check_changes(&mut self) -> Result<(), Breach> {
        while let Some(told) = self.store.told.get(self.checks.read) {
            self.checks.read += 1;
            let Told::Change(change) = told.clone() else { continue };
            self.seen.changes += 1;
            if change.number <= self.checks.last_number {
                return Err(self.breach(format!("the number does not grow: {change:?}")));
            }
            self.checks.last_number = change.number;
            let entry = &change.entry;
            let is_online = change.kind != Kind::Offline;
            let said = self.checks.said.insert(entry.name.clone(), (entry.epoch, is_online));
            let (last, was_online) = said.unwrap_or((0, false));
            match change.kind {
                Kind::Online if was_online => {
                    return Err(self.breach(format!("online already: {change:?}")));
                }
                Kind::Moved | Kind::Offline if !was_online => {
                    return Err(self.breach(format!("not online: {change:?}")));
                }
                Kind::Moved | Kind::Offline if entry.epoch < last => {
                    return Err(self.breach(format!("older than {last}: {change:?}")));
                }
                Kind::Online if entry.epoch <= last && !self.checks.clock_stepped => {
                    self.seen.revenants += 1;
                    self.trace(|| format!("older than {last}: {change:?}"));
                }
                Kind::Moved => self.seen.moved += 1,
                Kind::Online | Kind::Offline => {}
            }
            let is_lost = change.reason.as_deref() == Some("node_lost");
            let is_well =
                |it: &&Machine| *it.node.id() == change.entry.node && it.is_well(self.now);
            if is_lost && self.machines.iter().any(|it| is_well(&it)) {
                return Err(self.breach(format!("its node is well: {change:?}")));
            }
            if change.kind != Kind::Offline || self.checks.is_reset(self.now) {
                continue;
            }
            let Some(client) = self.clients.iter().find(|client| client.name == entry.name) else {
                continue;
            };
            if let Some(at) = client.at
                && self.machines[at.machine].life == at.life
                && self.machines[at.machine].sessions.contains_key(&at.session)
                && self.now - client.online_since > 10 * SECOND
                && self.machines[at.machine].has_contact(self.now, 10 * SECOND)
            {
                return Err(self.breach(format!("online all the time at {at:?}: {change:?}")));
            }
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), Breach> {
        let is_over =
            |machine: &&Machine| machine.is_up && machine.node.kept() > machine.most_kept();
        match self.machines.iter().find(is_over) {
            Some(machine) => Err(self.breach(format!(
                "node-{} keeps {} names, and {} at most are to be told",
                machine.number,
                machine.node.kept(),
                machine.most_kept(),
            ))),
            None => Ok(()),
        }
    }

    fn check_doubles(&mut self) -> Result<(), Breach> {
        let contact = |machine: &&Machine| machine.has_contact(self.now, 0);
        let mut counts = vec![0; self.clients.len()];
        for machine in self.machines.iter().filter(contact).filter(|_| self.is_store_up) {
            for session in machine.by_name.values() {
                counts[machine.sessions[session].client] += 1;
            }
        }
        for (client, count) in counts.into_iter().enumerate() {
            if count < 2 || self.checks.is_reset(self.now) {
                self.checks.double_since[client] = None;
                continue;
            }
            let since = *self.checks.double_since[client].get_or_insert(self.now);
            let long = self.now - since;
            self.seen.double_ms = self.seen.double_ms.max(long / 1_000);
            if long > DOUBLE {
                return Err(self.breach(format!("client {client} is on {count} nodes")));
            }
        }
        Ok(())
    }

    /// What the store says is soon what the nodes know that have contact.
    fn check_late(&mut self) -> Result<(), Breach> {
        for client in 0..self.clients.len() {
            if !self.is_store_up || self.checks.is_reset(self.now) || !self.is_late(client) {
                self.checks.late_since[client] = None;
                continue;
            }
            let since = *self.checks.late_since[client].get_or_insert(self.now);
            let long = self.now - since;
            self.seen.late_ms = self.seen.late_ms.max(long / 1_000);
            if long > DOUBLE {
                let client = &self.clients[client];
                let entry = self.store.entries.get(&client.name);
                return Err(self.breach(format!("for {long} µs {client:?} was {entry:?}")));
            }
        }
        Ok(())
    }

    /// Whether a node that has contact knows better than the store of a client.
    fn is_late(&self, client: usize) -> bool {
        let client = &self.clients[client];
        let entry = self.store.entries.get(&client.name);
        let node = entry.and_then(|entry| {
            let contact = |it: &&Machine| it.has_contact(self.now, 0);
            self.machines.iter().filter(contact).find(|it| *it.node.id() == entry.node)
        });
        let session = entry.map(|entry| &*entry.session);
        if node.is_some_and(|node| !node.tells(&client.name, session)) {
            return true;
        }
        client.at.is_some_and(|at| {
            let machine = &self.machines[at.machine];
            let is_there = machine.life == at.life && machine.sessions.contains_key(&at.session);
            let is_told = session == Some(&*at.session.to_string());
            is_there && machine.has_contact(self.now, 0) && !is_told
        })
    }

    /// The names of a node that is dead are soon offline.
    fn check_lost(&mut self) -> Result<(), Breach> {
        let contacts = self.machines.iter().filter(|it| it.has_contact(self.now, 0));
        let contact = contacts.filter_map(|it| it.contact_since).min();
        for client in 0..self.clients.len() {
            let entry = self.store.entries.get(&self.clients[client].name);
            let is_dead = |entry: &&Entry| {
                !self.machines.iter().any(|it| it.is_up && *it.node.id() == entry.node)
            };
            let (Some(entry), Some(contact)) = (entry.filter(is_dead), contact) else {
                self.checks.lost_since[client] = None;
                continue;
            };
            let since = *self.checks.lost_since[client].get_or_insert(self.now);
            // A call that it made may arrive after its death.
            let lease = self.store.nodes.get(&entry.node).map_or(0, |end| end * 1_000);
            let renewed = lease.saturating_sub(START + micros(LEASE));
            let long = self.now.saturating_sub(since.max(contact).max(renewed));
            self.seen.lost_ms = self.seen.lost_ms.max(long / 1_000);
            if long > lost_within() && !self.checks.clock_stepped && self.is_store_up {
                return Err(self.breach(format!("for {long} µs no node found it lost: {entry:?}")));
            }
        }
        Ok(())
    }

    fn check_idle(&mut self) -> Result<(), Breach> {
        if self.is_calm() {
            match self.untruth() {
                Some(_) => self.checks.settled_at = None,
                None => drop(self.checks.settled_at.get_or_insert(self.now)),
            }
        }
        if self.now < self.plan.calm_at + settles() {
            return Ok(());
        }
        if let Some(what) = self.untruth() {
            return Err(self.breach(what));
        }
        let writes =
            || self.machines.iter().map(|machine| (machine.life, machine.writes)).collect();
        self.checks.writes.get_or_insert_with(|| (self.now, writes()));
        Ok(())
    }

    pub(super) fn check_end(&mut self) -> Result<(), Breach> {
        if let Some(what) = self.untruth() {
            return Err(self.breach(what));
        }
        if let Some(at) = self.checks.settled_at {
            self.seen.settled_ms = (at - self.plan.calm_at) / 1_000;
        }
        let Some((since, before)) = &self.checks.writes else {
            return Err(self.breach("idle nodes were not watched".into()));
        };
        for (machine, (life, writes)) in self.machines.iter().zip(before) {
            let seconds = (self.now - since) / SECOND;
            if machine.life == *life && machine.writes - writes > seconds {
                let count = machine.writes - writes;
                return Err(self.breach(format!("an idle node wrote {count} times in {seconds} s")));
            }
        }
        Ok(())
    }

    /// What presence says, and what is not so.
    fn untruth(&self) -> Option<String> {
        for (number, client) in self.clients.iter().enumerate() {
            let entry = self.store.entries.get(&client.name);
            if client.wants != client.at.is_some() {
                return Some(format!("client {number} is at {:?}", client.at));
            }
            let is_true = match (client.at, entry) {
                (None, None) => true,
                (Some(at), Some(entry)) => {
                    let machine = &self.machines[at.machine];
                    entry.node == *machine.node.id() && *entry.session == *at.session.to_string()
                }
                (None, Some(_)) | (Some(_), None) => false,
            };
            if !is_true {
                let at = client.at;
                return Some(format!("client {number} is at {at:?}, and the store says {entry:?}"));
            }
            let holders = self.machines.iter().filter(|it| it.by_name.contains_key(&client.name));
            let most = usize::from(client.at.is_some());
            if holders.clone().count() > most {
                let holders: Vec<_> = holders.map(|machine| machine.number).collect();
                return Some(format!("client {number} is held by {holders:?}"));
            }
        }
        None
    }
}
