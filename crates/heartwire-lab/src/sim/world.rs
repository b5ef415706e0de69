//! One run: hosts, links and troubles on one clock, and the checks after every step.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Side;

use super::breach::{Breach, Failure};
use super::broken::Broken;
use super::client::Client;
use super::host::{Host, State};
use super::link::{Both, Ended};
use super::net::Net;
use super::queue::{Happening, HostId, Queue, SERVER};
use super::scenario::Scenario;
use super::server::Server;
use super::time::{Clock, Clockwork, WorldTime, nanos};
use super::trace::Trace;
use super::trouble::Trouble;

/// A trouble that waits for a quiet moment looks for one this often.
const RETRY_QUIET: Duration = Duration::from_millis(10);

/// Things that happen in one run at most, so that no scenario takes for ever.
const STEPS_MAX: u64 = 40_000;

/// Of 256 writes of a client that speaks wire v1, so many come with a promise.
const PROMISES: u8 = 16;

/// What a run came to, if it broke no promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Things that happened.
    pub steps: u64,
    /// Time that passed in it.
    pub time: Duration,
    /// Connections of its clients.
    pub connections: u64,
    /// Verdicts of both ends.
    pub verdicts: u64,
    /// Beats and their answers.
    pub beats: u64,
}

impl Summary {
    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.time += other.time;
        self.connections += other.connections;
        self.verdicts += other.verdicts;
        self.beats += other.beats;
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
    steps: u64,
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
            verdicts: 0,
            beats: 0,
        };
        let server = Server::new(&mut net, scenario.terms, scenario.wheel_tick);
        let clients = (1..count)
            .map(|host| {
                let seed = rng.u64(..);
                Client::new(&net, host, scenario.terms, scenario.backoff, seed)
            })
            .collect();
        let until = WorldTime::START.after(scenario.length);
        Self { seed, scenario, net, clients, server, rng, until, steps: 0, struck_at: None }
    }

    /// Runs until its time is up, or a promise is broken.
    pub(super) fn run(&mut self) -> Result<Summary, Failure> {
        self.begin();
        while let Some((at, happening)) = self.net.queue.pop() {
            if at > self.until || self.steps >= STEPS_MAX {
                break;
            }
            self.net.now = at;
            self.steps += 1;
            self.handle(happening).and_then(|()| self.check())?;
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
        self.steps >= STEPS_MAX
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
            steps: self.steps,
            time: self.net.now.since(WorldTime::START),
            connections,
            verdicts: self.net.verdicts,
            beats: self.net.beats,
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
        let now = self.net.clock(host);
        let machine = self.net.host(host);
        if machine.number != number || machine.state != State::Runs {
            return Ok(());
        }
        machine.turn_at = None;
        if let Some(wait) = self.net.held_up(host) {
            let at = self.net.now.after(wait);
            let machine = self.net.host(host);
            machine.in_turn = Some(now);
            machine.number += 1;
            let number = machine.number;
            self.net.queue.push(at, Happening::Rest { host, number });
            return Ok(());
        }
        self.turn(host, now)
    }

    fn end_turn(&mut self, host: HostId, number: u32) -> Result<(), Failure> {
        let now = self.net.clock(host);
        let machine = self.net.host(host);
        if machine.number != number || machine.state != State::Runs {
            return Ok(());
        }
        let Some(begun_at) = machine.in_turn.take() else { return Ok(()) };
        machine.runs_since = machine.runs_since.max(now);
        let was_woken = core::mem::take(&mut machine.was_woken);
        self.turn(host, begun_at)?;
        if was_woken {
            self.net.wake(host);
        }
        Ok(())
    }

    fn turn(&mut self, host: HostId, now: heartwire_core::Instant) -> Result<(), Failure> {
        let Self { net, clients, server, .. } = self;
        let (side, outcome) = match clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => (Side::Client, client.turn(net, now)),
            None => (Side::Server, server.turn(net, now)),
        };
        outcome.map_err(|breach| self.failure(side, breach))
    }

    fn failure(&mut self, side: Side, breach: Breach) -> Failure {
        let Breach { invariant, what } = breach;
        self.net.log(&"broken", format_args!("{}: {what}", invariant.name()));
        Failure { seed: self.seed, at: self.net.now, side, invariant, what }
    }

    /// What has to hold after every step.
    fn check(&mut self) -> Result<(), Failure> {
        let Self { net, clients, server, .. } = self;
        let by_clients = clients.iter_mut().filter_map(Client::holder);
        let mut by_all = by_clients.chain(server.holders());
        let broken = by_all.find_map(|holder| {
            let host = net.host(holder.host);
            if host.state != State::Runs || host.in_turn.is_some() {
                return None;
            }
            let runs_since = host.runs_since;
            holder.check(net, runs_since).err().map(|breach| (holder.side, breach))
        });
        drop(by_all);
        broken.map_or(Ok(()), |(side, breach)| Err(self.failure(side, breach)))
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
                holder.promise(&mut self.net, self.rng.u32(1..=4));
            }
            holder.messages.push(body_len);
            self.net.wake(host);
        }
    }

    // Troubles.

    fn begin_trouble(&mut self, index: usize) -> Result<(), Failure> {
        let Some(&planned) = self.scenario.troubles.get(index) else { return Ok(()) };
        if planned.when_quiet && !self.net.is_quiet(1) {
            let wait = self.net.draw(RETRY_QUIET);
            self.net.queue.push(self.net.now.after(wait), Happening::Fault { index });
            return Ok(());
        }
        if planned.when_quiet {
            self.struck_at = Some(self.net.now);
            self.until = self.net.now.after(planned.lasts);
        }
        self.net.log(&"trouble", format_args!("{:?} for {:?}", planned.trouble, planned.lasts));
        self.disturb(planned.trouble, true);
        let until = self.net.now.after(planned.lasts);
        match planned.trouble {
            Trouble::Cut { client, from } => self.set_cut(client, from, true),
            Trouble::Swallow { client, from } => {
                *self.net.path(client).swallowed.of_mut(from) = true;
            }
            Trouble::Loss { client, of_2_32 } => self.net.path(client).loss = of_2_32,
            Trouble::Delay { client, more } => self.net.path(client).delay += more,
            Trouble::Dribble { client, segment_max, pace } => {
                let path = self.net.path(client);
                path.segment_max = segment_max;
                path.pace = pace;
            }
            Trouble::Leave { host } => self.leave(host)?,
            Trouble::Forget { client, resets } => self.net.forget_all(client, resets),
            Trouble::Reset { client } => self.net.reset_all(client),
            Trouble::Freeze { host } => self.stop(host, State::Frozen),
            Trouble::Suspend { host } => self.stop(host, State::Suspended),
            Trouble::Crash { host } => self.stop(host, State::Crashed),
            Trouble::PowerLoss { host } => self.stop(host, State::Off),
            Trouble::Stutter { host } => self.net.host(host).stutters = true,
            Trouble::SlowOwner { host } => {
                let machine = self.net.host(host);
                machine.busy_until = machine.busy_until.max(until);
            }
        }
        self.net.queue.push(until, Happening::Mend { index });
        Ok(())
    }

    fn end_trouble(&mut self, index: usize) {
        let Some(&planned) = self.scenario.troubles.get(index) else { return };
        self.net.log(&"mended", format_args!("{:?}", planned.trouble));
        self.disturb(planned.trouble, false);
        for path in &mut self.net.paths {
            // What comes now need not wait for what was sent the long way.
            path.last_arrival = Both::default();
        }
        match planned.trouble {
            Trouble::Cut { client, from } => self.set_cut(client, from, false),
            Trouble::Swallow { .. }
            | Trouble::Leave { .. }
            | Trouble::Forget { .. }
            | Trouble::Reset { .. } => {}
            Trouble::Loss { client, .. } => {
                self.net.path(client).loss = self.scenario.path.loss;
            }
            Trouble::Delay { client, more } => {
                let path = self.net.path(client);
                path.delay = path.delay.saturating_sub(more);
            }
            Trouble::Dribble { client, .. } => {
                let path = self.net.path(client);
                path.segment_max = self.scenario.path.segment_max;
                path.pace = Duration::ZERO;
                path.busy_until = Both::default();
            }
            Trouble::Freeze { host } => self.resume(host, State::Frozen),
            Trouble::Suspend { host } => self.resume(host, State::Suspended),
            Trouble::Crash { host } => self.resume(host, State::Crashed),
            Trouble::PowerLoss { host } => self.resume(host, State::Off),
            Trouble::Stutter { host } => self.net.host(host).stutters = false,
            Trouble::SlowOwner { host } => self.net.wake(host),
        }
    }

    /// Nobody can be expected to stay connected through this.
    fn disturb(&mut self, trouble: Trouble, begins: bool) {
        for link in self.net.links.iter_mut().filter(|link| trouble.is_near(link.path)) {
            link.is_calm = false;
        }
        for (host, path) in self.net.paths.iter_mut().enumerate() {
            if trouble.is_near(host) {
                let before = path.troubles;
                path.troubles = if begins { before + 1 } else { before.saturating_sub(1) };
            }
        }
    }

    /// The process at a host reads what there is and closes its connections.
    fn leave(&mut self, host: HostId) -> Result<(), Failure> {
        let Self { net, clients, server, .. } = self;
        let (side, left) = match clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => (Side::Client, client.leave(net)),
            None => (Side::Server, server.leave(net)),
        };
        left.map_err(|breach| self.failure(side, breach))
    }

    fn set_cut(&mut self, client: HostId, from: Option<Side>, is_cut: bool) {
        for side in [Side::Client, Side::Server] {
            if from.is_none_or(|from| from == side) {
                *self.net.path(client).cut.of_mut(side) = is_cut;
            }
        }
    }

    /// A process or a machine stops, unless it already has.
    fn stop(&mut self, host: HostId, state: State) {
        let now = self.net.now;
        let machine = self.net.host(host);
        if machine.state != State::Runs {
            return;
        }
        machine.state = state;
        machine.stopped_at = now;
        machine.was_woken |= machine.turn_at.take().is_some();
        // Turns that were planned do not take place.
        machine.number += 1;
        if !state.has_process() {
            self.drop_process(host, state);
        }
    }

    fn drop_process(&mut self, host: HostId, state: State) {
        match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.crash(),
            None => {
                self.server.crash();
                self.net.backlog.clear();
            }
        }
        self.net.drop_sockets(host, state == State::Crashed);
    }

    fn resume(&mut self, host: HostId, from: State) {
        let now = self.net.now;
        let machine = self.net.host(host);
        if machine.state != from {
            return;
        }
        let stopped_for = now.since(machine.stopped_at);
        machine.state = State::Runs;
        match from {
            State::Runs => {}
            // A timer that stood still in a suspend before may still be late.
            State::Frozen => {
                machine.runs_since = machine.runs_since.max(machine.clock.read(now));
            }
            State::Suspended => self.resume_machine(host, stopped_for),
            State::Crashed | State::Off => return self.restart(host),
        }
        self.net.resume_turns(host);
    }

    fn resume_machine(&mut self, host: HostId, stopped_for: Duration) {
        let now = self.net.now;
        let machine = self.net.host(host);
        machine.clock.handle_suspend(stopped_for);
        machine.runs_since = machine.clock.read(now);
        match machine.clock.clockwork {
            Clockwork::AllCount => machine.suspended += stopped_for,
            Clockwork::ClockCounts => {
                machine.suspended += stopped_for;
                machine.timer_at = machine.timer_at.map(|at| at.after(stopped_for));
                // It sleeps on until its timer rings.
                let wakes_at = machine.timer_at.unwrap_or(now).max(now);
                machine.runs_since = machine.clock.read(wakes_at);
            }
            Clockwork::NothingCounts => {
                machine.timer_at = machine.timer_at.map(|at| at.after(stopped_for));
            }
        }
        if machine.can_notice(stopped_for) {
            let now = machine.clock.read(now);
            for holder in self.holders_of(host) {
                holder.oracle.handle_resume(now);
            }
        }
        self.net.resume_system(host);
    }

    fn holders_of(&mut self, host: HostId) -> impl Iterator<Item = &mut super::end::Holder> {
        let Self { clients, server, .. } = self;
        let clients = clients.iter_mut().filter_map(Client::holder);
        clients.chain(server.holders()).filter(move |holder| holder.host == host)
    }

    fn restart(&mut self, host: HostId) {
        let now = self.net.clock(host);
        self.net.host(host).handle_start(now);
        let seed = self.rng.u64(..);
        let backoff = self.scenario.backoff;
        match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.restart(&mut self.net, backoff, seed),
            None => self.server.restart(&mut self.net),
        }
        self.net.wake(host);
    }
}
