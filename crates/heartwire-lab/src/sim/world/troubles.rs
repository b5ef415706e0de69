//! How troubles begin and end.

use core::time::Duration;

use heartwire_core::Side;

use super::World;
use crate::sim::host::State;
use crate::sim::link::Both;
use crate::sim::net::Net;
use crate::sim::queue::{Happening, HostId, SERVER};
use crate::sim::tally::Mishaps;
use crate::sim::time::Clockwork;
use crate::sim::trouble::Trouble;

/// A trouble that waits for a quiet moment looks for one this often.
const RETRY_QUIET: Duration = Duration::from_millis(10);

impl World {
    pub(super) fn begin_trouble(&mut self, index: usize) {
        let Some(&planned) = self.scenario.troubles.get(index) else { return };
        if planned.when_quiet && !self.net.lock().is_quiet(1) {
            let mut net = self.net.lock();
            let wait = net.draw(RETRY_QUIET);
            let at = net.now.after(wait);
            net.queue.push(at, Happening::Fault { index });
            return;
        }
        if planned.when_quiet {
            self.struck_at = Some(self.net.lock().now);
            self.until = self.net.lock().now.after(planned.lasts);
        }
        self.net
            .lock()
            .log(&"trouble", format_args!("{:?} for {:?}", planned.trouble, planned.lasts));
        self.disturb(planned.trouble, true);
        let until = self.net.lock().now.after(planned.lasts);
        match planned.trouble {
            Trouble::Cut { client, from } => self.set_cut(client, from, true),
            Trouble::Swallow { client, from } => {
                *self.net.lock().path(client).swallowed.of_mut(from) = true;
            }
            Trouble::Loss { client, of_2_32 } => self.net.lock().path(client).loss = of_2_32,
            Trouble::Delay { client, more } => self.net.lock().path(client).delay += more,
            Trouble::Dribble { client, max_segment, pace } => {
                let mut net = self.net.lock();
                let path = net.path(client);
                path.max_segment = max_segment;
                path.pace = pace;
            }
            Trouble::Leave { host } => self.leave(host, !planned.when_quiet),
            Trouble::Forget { client, resets } => self.net.lock().forget_all(client, resets),
            Trouble::Reset { client } => self.net.lock().reset_all(client),
            Trouble::Flap { client, every } => {
                let mut net = self.net.lock();
                let mut at = net.now;
                while at < until {
                    net.queue.push(at, Happening::Sever { client });
                    at = at.after(every);
                }
            }
            Trouble::Freeze { host } => self.stop(host, State::Frozen),
            Trouble::Suspend { host } => self.stop(host, State::Suspended),
            Trouble::Crash { host } => self.stop(host, State::Crashed),
            Trouble::PowerLoss { host } => self.stop(host, State::Off),
            Trouble::Stutter { host } => self.net.lock().host(host).stutters = true,
            Trouble::Revoke => self.server.revoke(),
            Trouble::SlowApplication { host } => {
                let mut net = self.net.lock();
                net.mishaps.slow_application += 1;
                let machine = net.host(host);
                machine.busy_until = machine.busy_until.max(until);
            }
        }
        self.net.lock().queue.push(until, Happening::Mend { index });
    }

    pub(super) fn end_trouble(&mut self, index: usize) {
        let Some(&planned) = self.scenario.troubles.get(index) else { return };
        self.net.lock().log(&"mended", format_args!("{:?}", planned.trouble));
        self.disturb(planned.trouble, false);
        for path in &mut self.net.lock().paths {
            // New packets need not wait for those on the slower path.
            path.last_arrival = Both::default();
        }
        match planned.trouble {
            Trouble::Cut { client, from } => self.set_cut(client, from, false),
            Trouble::Swallow { .. }
            | Trouble::Leave { .. }
            | Trouble::Revoke
            | Trouble::Forget { .. }
            | Trouble::Flap { .. }
            | Trouble::Reset { .. } => {}
            Trouble::Loss { client, .. } => {
                self.net.lock().path(client).loss = self.scenario.path.loss;
            }
            Trouble::Delay { client, more } => {
                let mut net = self.net.lock();
                let path = net.path(client);
                path.delay = path.delay.saturating_sub(more);
            }
            Trouble::Dribble { client, .. } => {
                let mut net = self.net.lock();
                let path = net.path(client);
                path.max_segment = self.scenario.path.max_segment;
                path.pace = Duration::ZERO;
                path.busy_until = Both::default();
            }
            Trouble::Freeze { host } => self.resume(host, State::Frozen),
            Trouble::Suspend { host } => self.resume(host, State::Suspended),
            Trouble::Crash { host } => self.resume(host, State::Crashed),
            Trouble::PowerLoss { host } => self.resume(host, State::Off),
            Trouble::Stutter { host } => self.net.lock().host(host).stutters = false,
            Trouble::SlowApplication { host } => self.net.lock().wake(host),
        }
    }

    /// No connection has to survive this.
    fn disturb(&mut self, trouble: Trouble, begins: bool) {
        let mut net = self.net.lock();
        for link in net.links.iter_mut().filter(|link| trouble.is_near(link.path)) {
            link.is_calm = false;
        }
        for (host, path) in net.paths.iter_mut().enumerate() {
            if trouble.is_near(host) {
                let before = path.troubles;
                path.troubles = if begins { before + 1 } else { before.saturating_sub(1) };
            }
        }
    }

    /// The process at a host closes its connections. A server goes on, or shuts down for good and
    /// is started again.
    fn leave(&mut self, host: HostId, may_shutdown: bool) {
        match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.leave(),
            None => self.server.leave(may_shutdown && self.rng.bool()),
        }
    }

    fn set_cut(&mut self, client: HostId, from: Option<Side>, is_cut: bool) {
        for side in [Side::Client, Side::Server] {
            if from.is_none_or(|from| from == side) {
                *self.net.lock().path(client).cut.of_mut(side) = is_cut;
            }
        }
    }

    /// A process or a machine stops, unless it already has.
    fn stop(&mut self, host: HostId, state: State) {
        let mut net = self.net.lock();
        let now = net.now;
        let machine = net.host(host);
        if machine.state != State::Runs {
            return;
        }
        machine.state = state;
        machine.stopped_at = now;
        let clockwork = machine.clock.clockwork;
        count_stop(&mut net.mishaps, state, clockwork);
        let machine = net.host(host);
        machine.was_woken |= machine.turn_at.take().is_some();
        // Turns that were planned do not take place.
        machine.number += 1;
        drop(net);
        if !state.has_process() {
            self.drop_process(host, state);
        }
    }

    fn drop_process(&mut self, host: HostId, state: State) {
        let mut net = self.net.lock();
        net.unwatch(host);
        net.drop_sockets(host, state == State::Crashed);
        if host == SERVER {
            net.backlog.clear();
        }
        drop(net);
        match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.crash(),
            None => self.server.crash(),
        }
    }

    fn resume(&mut self, host: HostId, from: State) {
        let mut net = self.net.lock();
        let now = net.now;
        let machine = net.host(host);
        if machine.state != from {
            return;
        }
        let stopped_for = now.since(machine.stopped_at);
        machine.state = State::Runs;
        match from {
            State::Runs => {}
            // A timer that stopped in an earlier suspend may still be late.
            State::Frozen => {
                machine.runs_since = machine.runs_since.max(machine.clock.read(now));
            }
            State::Suspended => resume_machine(&mut net, host, stopped_for),
            State::Crashed | State::Off => {
                drop(net);
                return self.restart(host);
            }
        }
        net.resume_turns(host);
    }
    fn restart(&mut self, host: HostId) {
        self.net.lock().mishaps.restarted += 1;
        match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.start(),
            None => self.server.start(),
        }
        let mut net = self.net.lock();
        let now = net.clock(host);
        net.host(host).handle_start(now);
        net.wake(host);
    }
}

const fn count_stop(mishaps: &mut Mishaps, state: State, clockwork: Clockwork) {
    let count = match (state, clockwork) {
        (State::Runs, _) => return,
        (State::Frozen, _) => &mut mishaps.frozen,
        (State::Suspended, Clockwork::NothingCounts) => &mut mishaps.suspended_uncounted,
        (State::Suspended, Clockwork::AllCount | Clockwork::ClockCounts) => &mut mishaps.suspended,
        (State::Crashed, _) => &mut mishaps.crashed,
        (State::Off, _) => &mut mishaps.power_lost,
    };
    *count += 1;
}

fn resume_machine(net: &mut Net, host: HostId, stopped_for: Duration) {
    let now = net.now;
    let machine = net.host(host);
    machine.clock.handle_suspend(stopped_for);
    machine.runs_since = machine.clock.read(now);
    match machine.clock.clockwork {
        Clockwork::AllCount => machine.suspended += stopped_for,
        Clockwork::ClockCounts => {
            machine.suspended += stopped_for;
            machine.timer_at = machine.timer_at.map(|at| at.after(stopped_for));
            // It sleeps until its timer fires.
            let wakes_at = machine.timer_at.unwrap_or(now).max(now);
            machine.runs_since = machine.clock.read(wakes_at);
        }
        Clockwork::NothingCounts => {
            machine.timer_at = machine.timer_at.map(|at| at.after(stopped_for));
        }
    }
    if machine.can_notice(stopped_for) {
        net.note_resume(host);
    }
    net.resume_system(host);
}
