//! One run: hosts, links and troubles on one clock, and the checks after every step.

mod troubles;

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::{STALL_MIN, Side};

use super::breach::{Breach, Failure};
use super::broken::Broken;
use super::client::Client;
use super::host::{Host, State, Wake};
use super::link::{Both, Ended};
use super::net::Net;
use super::queue::{Happening, HostId, Queue, SERVER};
use super::scenario::Scenario;
use super::server::Server;
use super::tally::{Ends, Mishaps, Sums};
use super::time::{Clock, WorldTime, nanos};
use super::trace::Trace;

/// Things that happen in one run at most, so that no scenario takes for ever.
const STEPS_MAX: u64 = 40_000;

/// Of 256 writes of a client that speaks wire v1, so many come with a promise.
const PROMISES: u8 = 16;

/// What a run came to, if it broke no promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Time that passed in it.
    pub time: Duration,
    /// What there was in it.
    pub sums: Sums,
    /// What went wrong.
    pub mishaps: Mishaps,
    /// How the ends of its connections came to theirs.
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
    net: Net,
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
        // Each part has its own source, so that what one draws does not change the others.
        let scenario = Scenario::draw(&mut rng.fork(), broken);
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
        let mut net = Net {
            now: WorldTime::START,
            queue: Queue::new(rng.fork()),
            rng: rng.fork(),
            hosts,
            paths: vec![scenario.path; count],
            links: Vec::new(),
            backlog: VecDeque::new(),
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
        let server = Server::new(&mut net, scenario.terms, scenario.wheel_tick);
        let clients = (1..count)
            .map(|host| {
                let seed = rng.u64(..);
                Client::new(&net, host, scenario.terms, scenario.backoff, seed)
            })
            .collect();
        let until = WorldTime::START.after(scenario.length);
        Self { seed, scenario, net, clients, server, rng, until, struck_at: None }
    }

    /// Runs until its time is up, or a promise is broken.
    pub(super) fn run(&mut self) -> Result<Summary, Failure> {
        self.begin();
        while let Some((at, happening)) = self.net.queue.pop() {
            if at > self.until || self.net.sums.steps >= STEPS_MAX {
                break;
            }
            self.net.mishaps.simultaneous += u64::from(at == self.net.now);
            self.net.now = at;
            self.net.sums.steps += 1;
            self.handle(happening)?;
            self.net.check(None);
            self.fail_if_broken()?;
        }
        Ok(self.summary())
    }

    /// The log of the run.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.net.trace.into_lines()
    }

    /// What became of the ends of the first connection.
    pub(super) fn ends(&self) -> Option<&Both<Option<Ended>>> {
        self.net.links.first().map(|link| &link.ends)
    }

    /// Whether too much happened for its time to be up.
    pub(super) const fn was_cut_short(&self) -> bool {
        self.net.sums.steps >= STEPS_MAX
    }

    /// When the trouble began that waited for a quiet moment.
    pub(super) const fn struck_at(&self) -> Option<WorldTime> {
        self.struck_at
    }

    fn begin(&mut self) {
        let text = format!("{:#?}", self.scenario);
        for line in text.lines() {
            self.net.log(&"scenario", format_args!("{line}"));
        }
        for host in 0..self.net.hosts.len() {
            self.net.wake(host);
            self.plan_write(host);
        }
        for (index, planned) in self.scenario.troubles.iter().enumerate() {
            self.net.queue.push(planned.at, Happening::Fault { index });
        }
    }

    fn summary(&self) -> Summary {
        let connections = self.clients.iter().map(|client| u64::from(client.connections)).sum();
        Summary {
            time: self.net.now.since(WorldTime::START),
            sums: Sums { connections, ..self.net.sums },
            mishaps: self.net.mishaps,
            ends: self.net.ends,
        }
    }

    fn handle(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Packet { link, to, packet } => self.net.handle_packet(link, to, packet),
            Happening::Retransmit { link, from } => self.net.handle_retransmit(link, from),
            Happening::Turn { host, number } => return self.begin_turn(host, number),
            Happening::Rest { host, number } => return self.end_turn(host, number),
            Happening::Dialled { host, attempt } => self.net.handle_dialled(host, attempt),
            Happening::Write { host } => self.write(host),
            Happening::Fault { index } => return self.begin_trouble(index),
            Happening::Mend { index } => self.end_trouble(index),
        }
        Ok(())
    }

    // Turns.

    fn begin_turn(&mut self, host: HostId, number: u32) -> Result<(), Failure> {
        let machine = self.net.host(host);
        if machine.number != number || machine.state != State::Runs {
            return Ok(());
        }
        machine.turn_at = None;
        // What it should have done by now.
        self.net.check(Some(host));
        let wake = self.net.read_clocks(host);
        if let Some(wait) = self.net.held_up(host) {
            self.net.mishaps.held_up += u64::from(wait >= STALL_MIN);
            let at = self.net.now.after(wait);
            let machine = self.net.host(host);
            machine.in_turn = Some(wake);
            machine.number += 1;
            let number = machine.number;
            self.net.queue.push(at, Happening::Rest { host, number });
            return Ok(());
        }
        self.turn(host, wake)
    }

    fn end_turn(&mut self, host: HostId, number: u32) -> Result<(), Failure> {
        let now = self.net.clock(host);
        let machine = self.net.host(host);
        if machine.number != number || machine.state != State::Runs {
            return Ok(());
        }
        let Some(wake) = machine.in_turn.take() else { return Ok(()) };
        machine.runs_since = machine.runs_since.max(now);
        let was_woken = core::mem::take(&mut machine.was_woken);
        self.turn(host, wake)?;
        if was_woken {
            self.net.wake(host);
        }
        Ok(())
    }

    fn turn(&mut self, host: HostId, wake: Wake) -> Result<(), Failure> {
        let Self { net, clients, server, .. } = self;
        let (side, outcome) = match clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => (Side::Client, client.turn(net, wake)),
            None => (Side::Server, server.turn(net, wake)),
        };
        outcome.map_err(|breach| self.failure(side, breach))
    }

    fn failure(&mut self, side: Side, breach: Breach) -> Failure {
        let Breach { invariant, what } = breach;
        self.net.log(&"broken", format_args!("{}: {what}", invariant.name()));
        Failure { seed: self.seed, at: self.net.now, side, invariant, what }
    }

    fn fail_if_broken(&mut self) -> Result<(), Failure> {
        match self.net.breach.take() {
            Some((side, breach)) => Err(self.failure(side, breach)),
            None => Ok(()),
        }
    }

    // Applications.

    fn plan_write(&mut self, host: HostId) {
        let side = if host == SERVER { Side::Server } else { Side::Client };
        let Some(mean) = *self.scenario.writes.of(side) else { return };
        let wait = Duration::from_nanos(self.rng.u64(0..=nanos(mean) * 2));
        self.net.queue.push(self.net.now.after(wait), Happening::Write { host });
    }

    fn write(&mut self, host: HostId) {
        self.plan_write(host);
        let body_len = self.rng.usize(0..=self.scenario.body_len_max);
        if self.net.host(host).state != State::Runs {
            return;
        }
        let holder = match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.holder(),
            None => {
                let count = self.server.holders().count().max(1);
                self.server.holders().nth(self.rng.usize(0..count))
            }
        };
        if let Some(holder) = holder {
            if host != SERVER && self.rng.u8(..) < PROMISES {
                holder.promise(self.rng.u32(1..=4));
            }
            holder.messages.push(body_len);
            self.net.wake(host);
        }
    }
}
