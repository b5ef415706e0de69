//! The world of a run: its events in order of time.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use fastrand::Rng;
use heartwire::Reason;
use heartwire::server::SessionId;

use super::broken::Broken;
use super::checks::Checks;
use super::clients::{At, Client};
use super::faults::{Fault, MS, Plan, SECOND};
use super::machine::{Machine, instant};
use super::{Breach, Seen};
use crate::PresenceEvent;
use crate::node::{End, Ended};
use crate::store::model::Model;
use crate::store::{Answer, Call};

/// What the clocks show when a run begins: microseconds since 1970.
pub(super) const START: u64 = 1_764_270_000_000_000;
/// How often the checks look at everything.
const TICK: u64 = 100 * MS;

#[derive(Debug)]
pub(super) enum Event {
    /// For a machine, in one of its lives.
    Machine(usize, u64, Todo),
    /// A call reaches the store: from a machine in one of its lives, with the call's number.
    Request(usize, u64, u64, Call),
    /// A client does what it planned.
    Client(usize, u64),
    /// A client hears that a session has ended.
    Told(usize, At, Why),
    Fault(Fault),
    Start(usize),
    StoreUp,
    Uncut(usize),
    Tick,
}

/// What happens in a process; it waits while that is stopped.
#[derive(Debug)]
pub(super) enum Todo {
    Poll,
    Answer(u64, Answer),
    GiveUp(u64),
    Connect,
    Disconnected,
    Read,
    /// The server's verdict on a session.
    Verdict(SessionId),
    /// The goodbye of a client.
    Goodbye(SessionId),
    Close,
    Kill,
    Correct,
}

/// Why a session has ended, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Lost,
    TakenOver(bool),
    Kicked,
}

#[derive(Debug)]
struct Queued {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    queue: BinaryHeap<Reverse<Queued>>,
    last_order: u64,
    pub(super) last_call: u64,
    pub(super) machines: Vec<Machine>,
    pub(super) clients: Vec<Client>,
    pub(super) store: Model,
    /// Earlier states of the store, with the time.
    pub(super) snapshots: Vec<(u64, Model)>,
    /// Which server the store is: another after each restart.
    pub(super) server: u64,
    pub(super) store_clock: i64,
    pub(super) is_store_up: bool,
    pub(super) store_stopped_until: u64,
    pub(super) checks: Checks,
    pub(super) seen: Seen,
    pub(super) broken: Option<Broken>,
    is_traced: bool,
}

impl World {
    pub(super) fn new(seed: u64, broken: Option<Broken>, is_traced: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(seed, &mut rng);
        let machines = (0..plan.machines).map(|number| Machine::new(number, &plan, broken));
        let clients = (0..plan.clients).map(|number| Client {
            name: format!("client {number}").into(),
            instance: (u64::try_from(number).unwrap() + 1).try_into().unwrap(),
            at: None,
            online_since: 0,
            before: 0,
            plan: 0,
            wants: rng.u8(..10) < 7,
        });
        Self {
            now: 0,
            queue: BinaryHeap::new(),
            last_order: 0,
            last_call: 0,
            machines: machines.collect(),
            clients: clients.collect(),
            store: Model::default(),
            snapshots: Vec::new(),
            server: 1,
            store_clock: 0,
            is_store_up: true,
            store_stopped_until: 0,
            checks: Checks::new(plan.clients),
            seen: Seen::default(),
            rng,
            plan,
            broken,
            is_traced,
        }
    }

    pub(super) fn run(mut self) -> Result<Seen, Breach> {
        if self.is_traced {
            println!("{:#?}", self.plan);
        }
        for machine in 0..self.machines.len() {
            self.for_machine(self.now, machine, Todo::Connect);
        }
        for client in 0..self.clients.len() {
            let at = self.rng.u64(..5 * SECOND);
            self.plan_client(client, at);
        }
        for (at, fault) in self.plan.faults.clone() {
            self.at(at, Event::Fault(fault));
        }
        self.at(0, Event::Tick);
        let end = self.plan.calm_at + super::checks::settles() + super::checks::IDLE;
        while let Some(Reverse(queued)) = self.queue.pop()
            && queued.at <= end
        {
            self.now = queued.at;
            self.handle(queued.event);
            self.check()?;
        }
        self.check_end()?;
        Ok(self.seen)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.now >= self.plan.calm_at
    }

    /// What the store's clock shows.
    pub(super) fn store_time(&self) -> u64 {
        (START + self.now).saturating_add_signed(self.store_clock)
    }

    pub(super) fn breach(&self, what: String) -> Breach {
        Breach { seed: self.plan.seed, at: self.now, what }
    }

    pub(super) fn trace(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{:?} {}", Duration::from_micros(self.now), what());
        }
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.last_order += 1;
        self.queue.push(Reverse(Queued { at, order: self.last_order, event }));
    }

    pub(super) fn for_machine(&mut self, at: u64, machine: usize, todo: Todo) {
        let life = self.machines[machine].life;
        self.at(at, Event::Machine(machine, life, todo));
    }

    pub(super) fn plan_client(&mut self, client: usize, at: u64) {
        self.clients[client].plan += 1;
        let plan = self.clients[client].plan;
        self.at(at, Event::Client(client, plan));
    }

    pub(super) fn latency(&mut self) -> u64 {
        let (least, more) = self.plan.latency;
        // A tenth takes ten times as long.
        let times = if self.rng.u8(..10) == 0 { 10 } else { 1 };
        least + self.rng.u64(..=more * times)
    }

    pub(super) fn is_lost(&mut self) -> bool {
        !self.is_calm() && self.rng.u64(..1_000) < self.plan.lost
    }

    pub(super) fn reaches_store(&self, machine: usize) -> bool {
        self.is_store_up && !self.machines[machine].is_cut
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Machine(machine, life, todo) => self.machine(machine, life, todo),
            Event::Request(machine, life, number, call) => {
                self.request(machine, life, number, call);
            }
            Event::Client(client, plan) if self.clients[client].plan == plan => self.act(client),
            Event::Client(..) => {}
            Event::Told(client, at, why) => self.told(client, at, why),
            Event::Fault(fault) => self.fault(fault),
            Event::Start(machine) if !self.machines[machine].is_up => {
                self.trace(|| format!("node-{machine} starts"));
                let seed = self.rng.u64(..);
                self.machines[machine].start(self.now, seed);
                self.for_machine(self.now, machine, Todo::Connect);
            }
            Event::Start(_) => {}
            Event::StoreUp => {
                self.trace(|| "the store is up".into());
                self.is_store_up = true;
            }
            Event::Uncut(machine) => {
                self.machines[machine].is_cut = false;
                self.machines[machine].well_since = self.now;
            }
            Event::Tick => {
                self.checks.is_tick = true;
                if self.is_store_up && self.rng.u8(..10) == 0 {
                    self.snapshots.retain(|(at, _)| self.now - at < 25 * SECOND);
                    self.snapshots.push((self.now, self.store.clone()));
                }
                if self.broken == Some(Broken::RenewsAllTheTime) {
                    for machine in 0..self.machines.len() {
                        let it = &self.machines[machine];
                        if it.is_connected && it.call.is_none() {
                            let call = Call::Renew { node: it.node.id().clone() };
                            self.make(machine, call);
                        }
                    }
                }
                self.at(self.now + TICK, Event::Tick);
            }
        }
    }

    fn machine(&mut self, machine: usize, life: u64, todo: Todo) {
        let it = &mut self.machines[machine];
        if it.life != life || !it.is_up {
            return;
        }
        if let Some(until) = it.stopped_until {
            if self.now < until {
                return self.at(until, Event::Machine(machine, life, todo));
            }
            (it.stopped_until, it.contact_since) = (None, None);
            it.well_since = self.now;
        }
        let now = instant(self.now);
        let reaches_store = self.reaches_store(machine);
        let it = &mut self.machines[machine];
        match todo {
            Todo::Poll if it.wakes_at.is_some_and(|at| at <= self.now) => it.wakes_at = None,
            Todo::Poll => return,
            Todo::Answer(number, answer) => self.answered(machine, number, Ok(answer)),
            Todo::GiveUp(number) => {
                if it.call.as_ref().is_none_or(|(under_way, _)| *under_way != number) {
                    return;
                }
                self.disconnect(machine);
            }
            Todo::Connect if it.is_connected => {}
            Todo::Connect if reaches_store => {
                self.trace(|| format!("node-{machine} connects to server {}", self.server));
                let it = &mut self.machines[machine];
                it.is_connected = true;
                it.node.connected(now, &self.server.to_string());
                self.for_machine(self.now, machine, Todo::Read);
            }
            Todo::Connect => {
                let pause = self.rng.u64(200 * MS..SECOND);
                self.for_machine(self.now + pause, machine, Todo::Connect);
            }
            Todo::Disconnected => self.disconnect(machine),
            Todo::Read => self.read(machine),
            Todo::Verdict(session) => self.end(machine, session, Reason::Reset),
            Todo::Goodbye(session) => self.end(machine, session, Reason::Done),
            Todo::Close => {
                it.is_closing = true;
                let sessions: Vec<_> = it.sessions.keys().copied().collect();
                for session in sessions {
                    self.end(machine, session, Reason::Shutdown);
                }
                self.machines[machine].close(self.now);
                self.for_machine(self.now + 5 * SECOND, machine, Todo::Kill);
            }
            Todo::Kill => return self.kill(machine),
            Todo::Correct => {}
        }
        self.poll(machine);
    }

    pub(super) fn poll(&mut self, machine: usize) {
        loop {
            let it = &mut self.machines[machine];
            let due = it.tell_due(self.now);
            let next = it.node.poll(instant(self.now));
            if let Some(time) = it.node.store_time(instant(self.now))
                && self.now >= it.corrects_at
            {
                it.correction = time.cast_signed() - it.raw_time(self.now).cast_signed();
            }
            for event in next.events {
                self.trace(|| format!("node-{machine} {event:?}"));
                match event {
                    PresenceEvent::Fenced { .. } => self.seen.fenced += 1,
                    PresenceEvent::Emptied => self.seen.emptied += 1,
                    PresenceEvent::Differed { .. } => self.seen.differed += 1,
                    PresenceEvent::NodeLost { .. } => self.seen.nodes_lost += 1,
                    PresenceEvent::Joined { .. }
                    | PresenceEvent::Lost { .. }
                    | PresenceEvent::Back { .. }
                    | PresenceEvent::Incident(_)
                    | PresenceEvent::IncidentOver(_)
                    | PresenceEvent::Hook(_)
                    | PresenceEvent::Failed { .. } => {}
                }
            }
            let is_done = next.end.is_empty();
            for end in next.end {
                self.obey(machine, end);
            }
            if let Some(call) = next.call {
                self.make(machine, call);
            }
            if next.is_closed {
                return self.kill(machine);
            }
            let wait_until = next.wait_until.map(|at| at.as_nanos().div_ceil(1_000));
            if let Some(at) = wait_until.into_iter().chain(due).min() {
                // A driver that is woken in the past would spin.
                let at = at.max(self.now + 1);
                if self.machines[machine].wakes_at.is_none_or(|wakes_at| at < wakes_at) {
                    self.machines[machine].wakes_at = Some(at);
                    self.for_machine(at, machine, Todo::Poll);
                }
            }
            if is_done {
                return;
            }
        }
    }

    /// The server of a machine ends a session.
    pub(super) fn end(&mut self, machine: usize, session: SessionId, reason: Reason) {
        let Some(live) = self.machines[machine].end(self.now, session, reason) else { return };
        self.tell_client(machine, &live, Why::Lost);
    }

    /// The node of a machine has its server end a session.
    pub(super) fn obey(&mut self, machine: usize, end: End) {
        self.trace(|| format!("node-{machine} ends {end:?}"));
        let (reason, why) = match end.why {
            Ended::TakenOver { same_client } => (Reason::TakenOver, Why::TakenOver(same_client)),
            Ended::Kicked => (Reason::Kicked, Why::Kicked),
        };
        let ended = self.machines[machine].end(self.now, end.session, reason);
        let Some(live) = ended else { return };
        self.seen.takeovers += u64::from(why != Why::Kicked);
        self.tell_client(machine, &live, why);
    }
}
