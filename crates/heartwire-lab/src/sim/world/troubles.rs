//! How troubles begin and end.

use core::time::Duration;

use heartwire_core::Side;

use super::World;
use crate::sim::breach::Failure;
use crate::sim::host::State;
use crate::sim::link::Both;
use crate::sim::queue::{Happening, HostId};
use crate::sim::time::Clockwork;
use crate::sim::trouble::Trouble;

/// A trouble that waits for a quiet moment looks for one this often.
const RETRY_QUIET: Duration = Duration::from_millis(10);

impl World {
    pub(super) fn begin_trouble(&mut self, index: usize) -> Result<(), Failure> {
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
                self.net.mishaps.slow_owner += 1;
                let machine = self.net.host(host);
                machine.busy_until = machine.busy_until.max(until);
            }
        }
        self.net.queue.push(until, Happening::Mend { index });
        Ok(())
    }

    pub(super) fn end_trouble(&mut self, index: usize) {
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
        let clockwork = machine.clock.clockwork;
        self.count_stop(state, clockwork);
        let machine = self.net.host(host);
        machine.was_woken |= machine.turn_at.take().is_some();
        // Turns that were planned do not take place.
        machine.number += 1;
        if !state.has_process() {
            self.drop_process(host, state);
        }
    }

    const fn count_stop(&mut self, state: State, clockwork: Clockwork) {
        let mishaps = &mut self.net.mishaps;
        let count = match (state, clockwork) {
            (State::Runs, _) => return,
            (State::Frozen, _) => &mut mishaps.frozen,
            (State::Suspended, Clockwork::NothingCounts) => &mut mishaps.suspended_uncounted,
            (State::Suspended, Clockwork::AllCount | Clockwork::ClockCounts) => {
                &mut mishaps.suspended
            }
            (State::Crashed, _) => &mut mishaps.crashed,
            (State::Off, _) => &mut mishaps.power_lost,
        };
        *count += 1;
    }

    fn drop_process(&mut self, host: HostId, state: State) {
        match self.clients.get_mut(host.wrapping_sub(1)) {
            Some(client) => client.crash(),
            None => {
                self.server.crash();
                self.net.backlog.clear();
            }
        }
        self.net.unwatch(host);
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
            self.net.note_resume(host);
        }
        self.net.resume_system(host);
    }

    fn restart(&mut self, host: HostId) {
        self.net.mishaps.restarted += 1;
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
