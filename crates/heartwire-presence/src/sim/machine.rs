//! One process: a node of the shipping code, its server with sessions, the ends that are held back,
//! and the driver that makes its calls.

use std::collections::BTreeMap;

use heartwire::Reason;
use heartwire::server::SessionId;
use heartwire_core::Instant;

use super::broken::Broken;
use super::faults::{Plan, SECOND};
use super::world::START;
use crate::node::Node;
use crate::outgoing::{News, Out, Outgoing, Settings};
use crate::session::{Passed, Session};
use crate::store::{Call, Command, StreamId};
use crate::{NodeId, NodeName};

/// A session on this machine's server.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) client: usize,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) number: usize,
    /// Counts the lives of the machine. What was meant for an earlier one is dropped.
    pub(super) life: u64,
    pub(super) node: Node,
    pub(super) sessions: BTreeMap<SessionId, Live>,
    pub(super) by_name: BTreeMap<Box<str>, SessionId>,
    outgoing: Outgoing,
    /// Sessions whose end that holds back.
    held: BTreeMap<Box<str>, SessionId>,
    settings: Settings,
    last_slot: u64,
    last_epoch: u64,
    /// By how much its clock is wrong, and by how much that was corrected; in microseconds.
    pub(super) clock_error: i64,
    pub(super) correction: i64,
    pub(super) corrects_at: u64,
    /// The call under way, with its number.
    pub(super) call: Option<(u64, Call)>,
    pub(super) is_connected: bool,
    pub(super) is_up: bool,
    pub(super) is_closing: bool,
    pub(super) is_cut: bool,
    pub(super) stopped_until: Option<u64>,
    /// Since when it has been neither stopped nor cut from the store.
    pub(super) well_since: u64,
    /// Since when every call had its answer.
    pub(super) contact_since: Option<u64>,
    /// How far the commands to an id were read, on a server.
    pub(super) read: Option<(NodeId, u64, StreamId)>,
    pub(super) wakes_at: Option<u64>,
    pub(super) writes: u64,
    broken: Option<Broken>,
}

pub(super) fn instant(at: u64) -> Instant {
    Instant::from_nanos(at * 1_000)
}

fn name(number: usize) -> NodeName {
    format!("node-{number}").parse().unwrap()
}

fn node(number: usize, seed: u64, at: u64) -> Node {
    Node::new(instant(at), name(number), "".into(), seed)
}

fn outgoing(number: usize, settings: Settings, at: u64) -> Outgoing {
    Outgoing::new(settings, &name(number), instant(at))
}

impl Machine {
    pub(super) fn new(number: usize, plan: &Plan, broken: Option<Broken>) -> Self {
        Self {
            number,
            life: 0,
            node: node(number, plan.seed ^ 0x5eed, 0),
            sessions: BTreeMap::new(),
            by_name: BTreeMap::new(),
            outgoing: outgoing(number, plan.settings, 0),
            settings: plan.settings,
            held: BTreeMap::new(),
            last_slot: 0,
            last_epoch: 0,
            clock_error: plan.clock_errors[number],
            correction: 0,
            corrects_at: plan.corrects_at,
            call: None,
            is_connected: false,
            is_up: true,
            is_closing: false,
            is_cut: false,
            stopped_until: None,
            well_since: 0,
            contact_since: None,
            read: None,
            wakes_at: None,
            writes: 0,
            broken,
        }
    }

    /// The process is gone, with all that it knew.
    pub(super) fn kill(&mut self) -> Vec<Live> {
        self.is_up = false;
        self.life += 1;
        (self.call, self.is_connected, self.contact_since) = (None, false, None);
        (self.is_closing, self.stopped_until) = (false, None);
        self.by_name.clear();
        self.held.clear();
        core::mem::take(&mut self.sessions).into_values().collect()
    }

    /// Another process of the same name.
    pub(super) fn start(&mut self, at: u64, seed: u64) {
        (self.is_up, self.well_since) = (true, at);
        self.node = node(self.number, seed, at);
        self.outgoing = outgoing(self.number, self.settings, at);
        (self.last_epoch, self.correction, self.read, self.wakes_at) = (0, 0, None, None);
    }

    /// Whether clients reach it.
    pub(super) fn accepts(&self) -> bool {
        self.is_up && self.stopped_until.is_none() && !self.is_closing
    }

    /// Whether the store and this machine have had contact for that long, in microseconds.
    pub(super) fn has_contact(&self, now: u64, long: u64) -> bool {
        let runs = self.is_up && self.stopped_until.is_none();
        runs && self.contact_since.is_some_and(|since| now.saturating_sub(since) >= long)
    }

    /// Whether other nodes are wrong to take it for dead.
    pub(super) fn is_well(&self, now: u64) -> bool {
        let is_apart = self.stopped_until.is_some() || self.is_cut;
        self.accepts() && !is_apart && now - self.well_since > 10 * SECOND
    }

    /// What its clock shows without the correction.
    pub(super) fn raw_time(&self, at: u64) -> u64 {
        (START + at).saturating_add_signed(self.clock_error)
    }

    /// A client connects. Returns its session, and the older one of the name that it replaces.
    pub(super) fn accept(
        &mut self,
        at: u64,
        client: usize,
        name: &str,
        instance: u64,
    ) -> (SessionId, Option<Live>) {
        self.last_slot += 1;
        let drawn = self.raw_time(at).saturating_add_signed(self.correction);
        self.last_epoch = drawn.max(self.last_epoch + 1);
        let id: SessionId = format!("0-{}-{}", self.last_slot, self.life + 1).parse().unwrap();
        let session = Session {
            name: name.into(),
            epoch: self.last_epoch,
            id,
            peer: "127.0.0.1:1".parse().unwrap(),
            instance: instance.try_into().ok(),
        };
        let older = self.by_name.get(name).copied();
        let older = older.and_then(|older| self.end(at, older, Reason::TakenOver));
        self.held.remove(name);
        self.sessions.insert(id, Live { session: session.clone(), client });
        self.by_name.insert(name.into(), id);
        match self.outgoing.handle(instant(at), 0, News::Online(session)) {
            Some(Passed::Replaced(_)) if self.broken == Some(Broken::ForgetsReplaced) => {}
            passed => passed.into_iter().for_each(|it| self.node.passed(instant(at), it)),
        }
        (id, older)
    }

    /// A session ends.
    pub(super) fn end(&mut self, at: u64, id: SessionId, reason: Reason) -> Option<Live> {
        let live = self.sessions.remove(&id)?;
        let name = &live.session.name;
        if self.by_name.get(name) == Some(&id) {
            self.by_name.remove(name);
        }
        self.held.insert(name.clone(), id);
        let passed = self.outgoing.handle(instant(at), 0, News::Offline { id, reason });
        passed.into_iter().for_each(|it| self.node.passed(instant(at), it));
        Some(live)
    }

    /// Tells the node what was held back long enough. Returns when there is more.
    pub(super) fn tell_due(&mut self, at: u64) -> Option<u64> {
        while let Some(out) = self.outgoing.poll(instant(at), START + at) {
            match out {
                Out::Passed(passed) => self.pass(at, passed),
                Out::Incident(_) => self.node.tell("incident", "{}".into()),
                Out::IncidentOver(_) => self.node.tell("incident_over", "{}".into()),
            }
        }
        self.outgoing.deadline().map(|at| at.as_nanos().div_ceil(1_000))
    }

    fn pass(&mut self, at: u64, passed: Passed) {
        if let Passed::Offline { session, .. } = &passed
            && self.held.get(&session.name) == Some(&session.id)
        {
            self.held.remove(&session.name);
        }
        self.node.passed(instant(at), passed);
    }

    /// Another node, or an operator, wants something.
    pub(super) fn command(&mut self, at: u64, command: &Command) {
        if let Command::TakenOver { name, epoch, .. } = command {
            self.outgoing.moved(instant(at), name, *epoch);
        }
        self.node.command(instant(at), command);
    }

    /// The process is to end.
    pub(super) fn close(&mut self, at: u64) {
        self.outgoing.close(instant(at));
        self.node.close();
    }

    /// Whether the name is online here with this session, as far as is told.
    pub(super) fn tells(&self, name: &str, session: Option<&str>) -> bool {
        let ids = self.by_name.get(name).into_iter().chain(self.held.get(name));
        ids.map(|id| id.to_string()).any(|id| session == Some(&id))
    }

    /// The most that the node may keep in memory.
    pub(super) fn most_kept(&self) -> usize {
        let stored = usize::try_from(self.node.digest().0).unwrap();
        self.sessions.len() + self.outgoing.counts().held + stored + self.node.unanswered()
    }
}
