//! One run: hosts, links and troubles on one clock, and the checks after every step.

mod troubles;

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::{MIN_PAUSE, Side};

use super::breach::{Breach, Failure};
use super::broken::Broken;
use super::client::Client;
use super::host::{Host, State};
use super::link::{Both, Ended};
use super::machine::Shared;
use super::net::{Cuts, Net, Poller};
use super::outbox::Outbox;
use super::queue::{Happening, HostId, Queue, SERVER};
use super::scenario::Scenario;
use super::server::Server;
use super::tally::{Ends, Mishaps, Sums};
use super::time::{Clock, WorldTime, nanos};
use super::trace::Trace;

/// The most events in one run, so that no scenario takes forever.
const MAX_STEPS: u64 = 40_000;

/// Of 256 writes of a v1 client, so many come with a promise.
const PROMISES: u8 = 16;

/// Where the random source of the latest features begins. This number leaves the lives of all kept
/// seeds as they were.
const SESSIONS: u64 = 2_948;

/// The same of [`Scenario::draw_for_cause`].
const CAUSES: u64 = 40_113;

/// The result of a run, if it broke no promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Time that passed in it.
    pub time: Duration,
    /// What happened in it.
    pub sums: Sums,
    /// What went wrong.
    pub mishaps: Mishaps,
    /// How its connections ended.
    pub ends: Ends,
}

impl Summary {
    pub(super) fn add(&mut self, other: &Self) {
        let Self { time, sums, mishaps, ends } = other;
        self.time += *time;
        self.sums.add(sums);
        self.mishaps.add(mishaps);
        self.ends.add(ends);
    }
}

/// One run.
#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    scenario: Scenario,
    net: Shared,
    clients: Vec<Client>,
    server: Server,
    rng: fastrand::Rng,
    until: WorldTime,
    struck_at: Option<WorldTime>,
}

impl World {
    /// The world of a seed; with `broken`, the driver of that side breaks a rule.
    pub(super) fn new(seed: u64, broken: Option<(Side, Broken)>, trace: Trace) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Each part has its own random source, so that one does not change the others.
        let mut scenario = Scenario::draw(&mut rng.fork(), broken);
        scenario.draw_more(&mut fastrand::Rng::with_seed(!seed));
        scenario.draw_for_sessions(&mut fastrand::Rng::with_seed(seed ^ SESSIONS));
        scenario.draw_for_cause(&mut fastrand::Rng::with_seed(seed ^ CAUSES));
        Self::of(seed, scenario, rng, trace)
    }

    /// The world of a scenario.
    pub(super) fn of(seed: u64, scenario: Scenario, mut rng: fastrand::Rng, trace: Trace) -> Self {
        let hosts: Vec<Host> = scenario
            .clockworks
            .iter()
            .map(|&clockwork| {
                let origin = rng.u64(0..1_000_000_000_000);
                Host::new(Clock::new(clockwork, origin), WorldTime::START)
            })
            .collect();
        let count = hosts.len();
        let net = Net {
            now: WorldTime::START,
            queue: Queue::new(rng.fork()),
            rng: rng.fork(),
            hosts,
            paths: vec![scenario.path; count],
            links: Vec::new(),
            sessions: Vec::new(),
            first_session: 0,
            run: 0,
            keeps_messages: scenario.terms.client.keeps_messages,
            cuts: Cuts::new(fastrand::Rng::with_seed(seed), scenario.cut_of_100),
            backlog: VecDeque::new(),
            poller: Poller::default(),
            is_listening: false,
            drains_since: None,
            revoked_at: None,
            outboxes: (0..count).map(|_| Outbox::new(scenario.terms.server.accepts())).collect(),
            dialled: vec![None; count],
            attempts: vec![0; count],
            lateness: scenario.lateness,
            jiffy: scenario.jiffy,
            trace,
            sums: Sums::default(),
            mishaps: Mishaps::default(),
            ends: Ends::default(),
            watched: Vec::new(),
            breach: None,
        };
        let net = Shared::new(net);
        let server = Server::new(net.clone(), scenario.terms);
        let clients = (1..count)
            .map(|host| {
                let (net, seed) = (net.clone(), rng.u64(..));
                Client::new(net, host, scenario.terms, scenario.backoff, seed)
            })
            .collect();
        let until = WorldTime::START.after(scenario.length);
        Self { seed, scenario, net, clients, server, rng, until, struck_at: None }
    }

    /// Runs until its time is up, or a promise is broken.
    pub(super) fn run(&mut self) -> Result<Summary, Failure> {
        self.begin();
        while let Some(happening) = self.next() {
            self.handle(happening);
            self.net.lock().check(None);
            self.fail_if_broken()?;
        }
        Ok(self.summary())
    }

    fn next(&self) -> Option<Happening> {
        let mut net = self.net.lock();
        let (at, happening) = net.queue.pop()?;
        if at > self.until || net.sums.steps >= MAX_STEPS {
            return None;
        }
        net.mishaps.simultaneous += u64::from(at == net.now);
        net.now = at;
        net.sums.steps += 1;
        Some(happening)
    }

    /// The log of the run.
    pub(super) fn into_lines(self) -> Vec<String> {
        core::mem::take(&mut self.net.lock().trace).into_lines()
    }

    /// How the first connection ended, at both ends.
    pub(super) fn ends(&self) -> Option<Both<Option<Ended>>> {
        self.net.lock().links.first().map(|link| link.ends)
    }

    /// Whether it was stopped by the maximum number of events.
    pub(super) fn was_cut_short(&self) -> bool {
        self.net.lock().sums.steps >= MAX_STEPS
    }

    /// When the trouble began that waited for a quiet moment.
    pub(super) const fn struck_at(&self) -> Option<WorldTime> {
        self.struck_at
    }

    fn begin(&mut self) {
        let text = format!("{:#?}", self.scenario);
        let mut net = self.net.lock();
        for line in text.lines() {
            net.log(&"scenario", format_args!("{line}"));
        }
        for (index, planned) in self.scenario.troubles.iter().enumerate() {
            net.queue.push(planned.at, Happening::Fault { index });
        }
        let count = net.hosts.len();
        drop(net);
        for host in 0..count {
            self.net.lock().wake(host);
            self.plan_write(host);
        }
    }

    fn summary(&self) -> Summary {
        let connections = self.clients.iter().map(|client| u64::from(client.connections)).sum();
        let net = self.net.lock();
        Summary {
            time: net.now.since(WorldTime::START),
            sums: Sums { connections, ..net.sums },
            mishaps: net.mishaps,
            ends: net.ends,
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Packet { link, to, packet } => {
                self.net.lock().handle_packet(link, to, packet);
            }
            Happening::Retransmit { link, from } => self.net.lock().handle_retransmit(link, from),
            Happening::Turn { host, number } => self.begin_turn(host, number),
            Happening::Rest { host, number } => self.end_turn(host, number),
            Happening::Dialled { host, attempt } => self.net.lock().handle_dialled(host, attempt),
            Happening::Write { host } => self.write(host),
            Happening::Sever { client } => self.net.lock().sever_all(client),
            Happening::Fault { index } => self.begin_trouble(index),
            Happening::Mend { index } => self.end_trouble(index),
        }
    }

    // Turns.

    fn begin_turn(&mut self, host: HostId, number: u32) {
        let mut net = self.net.lock();
        let machine = net.host(host);
        if machine.number != number || machine.state != State::Runs {
            return;
        }
        machine.turn_at = None;
        // What it should have done by now.
        net.check(Some(host));
        if let Some(wait) = net.held_up(host) {
            net.mishaps.held_up += u64::from(wait >= MIN_PAUSE);
            let at = net.now.after(wait);
            let wake = net.read_clocks(host);
            let machine = net.host(host);
            machine.in_turn = Some(wake);
            machine.number += 1;
            let number = machine.number;
            net.queue.push(at, Happening::Rest { host, number });
            return;
        }
        drop(net);
        self.turn(host);
    }

    fn end_turn(&mut self, host: HostId, number: u32) {
        let mut net = self.net.lock();
        let now = net.clock(host);
        let machine = net.host(host);
        if machine.number != number || machine.state != State::Runs {
            return;
        }
        // It read its clocks before it was held up.
        machine.woke = machine.in_turn.take();
        if machine.woke.is_none() {
            return;
        }
        machine.runs_since = machine.runs_since.max(now);
        let was_woken = core::mem::take(&mut machine.was_woken);
        drop(net);
        self.turn(host);
        if was_woken {
            self.net.lock().wake(host);
        }
    }

    fn turn(&mut self, host: HostId) {
        self.net.lock().host(host).set_in_a_turn(true);
        match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.turn(),
            None => self.server.turn(),
        }
        self.net.lock().host(host).set_in_a_turn(false);
    }

    fn fail_if_broken(&self) -> Result<(), Failure> {
        let mut net = self.net.lock();
        let Some((side, Breach { invariant, what })) = net.breach.take() else { return Ok(()) };
        net.log(&"broken", format_args!("{}: {what}", invariant.name()));
        Err(Failure { seed: self.seed, at: net.now, side, invariant, what })
    }

    // Applications.

    fn plan_write(&mut self, host: HostId) {
        let side = if host == SERVER { Side::Server } else { Side::Client };
        let Some(mean) = *self.scenario.writes.of(side) else { return };
        let wait = Duration::from_nanos(self.rng.u64(0..=nanos(mean) * 2));
        let mut net = self.net.lock();
        let at = net.now.after(wait);
        net.queue.push(at, Happening::Write { host });
    }

    fn write(&mut self, host: HostId) {
        self.plan_write(host);
        let body_len = self.rng.usize(0..=self.scenario.max_frame);
        if self.net.lock().host(host).state != State::Runs {
            return;
        }
        let side = if host == SERVER { Side::Server } else { Side::Client };
        let ends = self.scenario.terms.of(side).ends;
        let ends = ends > 0 && self.rng.u8(..) < ends;
        let Some(client) = self.clients.get_mut(host.wrapping_sub(1)) else {
            if ends {
                self.server.end(&mut self.rng);
            }
            return self.server.send(&mut self.rng, body_len);
        };
        if ends {
            client.end();
        }
        if self.rng.u8(..) < PROMISES {
            client.promise(self.rng.u32(1..=4));
        }
        client.send(body_len);
    }
}
