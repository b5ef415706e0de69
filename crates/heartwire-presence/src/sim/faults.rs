//! What goes wrong in a run, drawn from its seed.

use core::time::Duration;

use fastrand::Rng;

use super::clients::At;
use super::world::{Event, Todo, Why, World};
use crate::outgoing::Settings;
use crate::store::Call;
use crate::store::model::Model;

/// After how long a client leaves a server that does not answer.
const CLIENT_TIMEOUT: u64 = 8 * SECOND;

/// Microseconds in a second.
pub(super) const SECOND: u64 = 1_000_000;
/// Microseconds in a millisecond.
pub(super) const MS: u64 = 1_000;

/// Something that goes wrong, for a time in microseconds where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A machine is killed, and starts again later.
    Kill(usize, u64),
    /// A process is stopped, as by SIGSTOP.
    Stop(usize, u64),
    /// A machine is told to shut down, and starts again later.
    Close(usize, u64),
    /// The network between a machine and the store is cut.
    Cut(usize, u64),
    /// The connection of a machine to the store is lost, and made again.
    Reconnect(usize),
    /// The store is killed, and starts with all that it had.
    StoreDown(u64),
    /// The store is stopped, as by SIGSTOP, and reads what was sent meanwhile later.
    StoreStopped(u64),
    /// The store is emptied while it runs.
    StoreEmptied,
    /// The store's machine is lost for a time: another starts empty.
    StoreWiped(u64),
    /// The store fails over to a replica that lags by the second time.
    StoreRolledBack(u64, u64),
    /// The store's clock is stepped.
    StoreClock(i64),
    /// A machine's clock is stepped.
    Clock(usize, i64),
    /// An operator ends the session of a name.
    Kick(usize),
}

/// All that is drawn in advance.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) machines: usize,
    pub(super) clients: usize,
    /// When faults and changes end.
    pub(super) calm_at: u64,
    /// How long a message takes at least, and up to how much longer.
    pub(super) latency: (u64, u64),
    /// How many in a thousand messages are lost.
    pub(super) lost: u64,
    /// How many in a thousand calls arrive long after they were given up.
    pub(super) late: u64,
    /// How long ends are held back.
    pub(super) settings: Settings,
    /// How often a client does something.
    pub(super) act_every: u64,
    pub(super) clock_errors: Vec<i64>,
    /// From when on clocks are corrected.
    pub(super) corrects_at: u64,
    pub(super) faults: Vec<(u64, Fault)>,
}

impl Plan {
    pub(super) fn draw(seed: u64, rng: &mut Rng) -> Self {
        let machines = rng.usize(2..=4);
        let clients = rng.usize(3..=24);
        let calm_at = rng.u64(60..=150) * SECOND;
        let clock_errors = (0..machines).map(|_| clock_error(rng)).collect();
        let mut plan = Self {
            seed,
            machines,
            clients,
            calm_at,
            latency: [(100, 400), (MS, MS), (5 * MS, 30 * MS), (50 * MS, 200 * MS)][rng.usize(..4)],
            lost: [0, 0, 5, 50][rng.usize(..4)],
            late: [0, 0, 10][rng.usize(..3)],
            settings: Settings {
                offline_after: Duration::from_secs([0, 0, 2, 10][rng.usize(..4)]),
                hold: [None, Some(Duration::from_secs(20))][rng.usize(..2)],
                ..Settings::default()
            },
            act_every: [SECOND / 5, SECOND, 5 * SECOND, 20 * SECOND][rng.usize(..4)],
            clock_errors,
            corrects_at: if rng.u8(..4) == 0 { rng.u64(..calm_at) } else { 0 },
            faults: Vec::new(),
        };
        for _ in 0..rng.u64(0..=8) {
            let at = rng.u64(2 * SECOND..calm_at);
            let fault = plan.fault(rng);
            plan.faults.push((at, fault));
        }
        plan
    }

    fn fault(&self, rng: &mut Rng) -> Fault {
        let machine = rng.usize(..self.machines);
        let short = rng.u64(MS..5 * SECOND);
        let long = rng.u64(5 * SECOND..60 * SECOND);
        let time = if rng.bool() { short } else { long };
        match rng.u8(..16) {
            0 | 1 => Fault::Kill(machine, time),
            2 | 3 => Fault::Stop(machine, time),
            4 => Fault::Close(machine, time),
            5 | 6 => Fault::Cut(machine, time),
            7 => Fault::Reconnect(machine),
            8 => Fault::StoreDown(time),
            9 => Fault::StoreStopped(time),
            10 => Fault::StoreEmptied,
            11 => Fault::StoreWiped(short),
            12 | 13 => Fault::StoreRolledBack(short, rng.u64(MS..20 * SECOND)),
            14 if rng.bool() => Fault::StoreClock(clock_error(rng)),
            14 => Fault::Clock(machine, clock_error(rng)),
            _ => Fault::Kick(rng.usize(..self.clients)),
        }
    }
}

/// By how much a clock is wrong, in microseconds: often little, sometimes an hour.
fn clock_error(rng: &mut Rng) -> i64 {
    const HOUR: i64 = 3_600_000_000;
    match rng.u8(..8) {
        0 => HOUR,
        1 => -HOUR,
        2 => rng.i64(-5_000_000..5_000_000),
        3 | 4 => rng.i64(-20_000..20_000),
        _ => 0,
    }
}

impl World {
    pub(super) fn kill(&mut self, machine: usize) {
        self.trace(|| format!("node-{machine} is gone"));
        let life = self.machines[machine].life;
        for live in self.machines[machine].kill() {
            let at = At { machine, life, session: live.session.id };
            let when = self.now + self.rng.u64(MS..CLIENT_TIMEOUT);
            self.at(when, Event::Told(live.client, at, Why::Lost));
        }
        let at = self.now + self.checks.away[machine];
        self.at(at, Event::Start(machine));
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.trace(|| format!("{fault:?}"));
        // All faults are over when calm begins.
        let calm_at = self.plan.calm_at;
        let until = |time: u64| (self.now + time).min(calm_at);
        match fault {
            Fault::Kill(machine, time) => {
                self.checks.away[machine] = until(time) - self.now;
                if self.machines[machine].is_up {
                    self.kill(machine);
                }
            }
            Fault::Stop(machine, time) => {
                let until = until(time);
                let it = &mut self.machines[machine];
                if !it.is_up {
                    return;
                }
                it.stopped_until = it.stopped_until.max(Some(until));
                let sessions: Vec<_> = it.sessions.values().cloned().collect();
                if until - self.now > CLIENT_TIMEOUT {
                    let life = it.life;
                    for live in sessions {
                        // The client leaves, and the server reads of it when it goes on.
                        let at = At { machine, life, session: live.session.id };
                        let when = self.now + CLIENT_TIMEOUT - self.rng.u64(..3 * SECOND);
                        self.at(when, Event::Told(live.client, at, Why::Lost));
                        self.for_machine(when, machine, Todo::Goodbye(live.session.id));
                    }
                }
                self.for_machine(until, machine, Todo::Correct);
            }
            Fault::Close(machine, time) => {
                self.checks.away[machine] = until(time) - self.now;
                self.for_machine(self.now, machine, Todo::Close);
            }
            Fault::Cut(machine, time) => {
                let until = until(time);
                self.machines[machine].is_cut = true;
                self.at(until, Event::Uncut(machine));
            }
            Fault::Reconnect(machine) => self.for_machine(self.now, machine, Todo::Disconnected),
            Fault::StoreDown(time) => {
                let until = until(time);
                self.store_down(until);
            }
            Fault::StoreStopped(time) => self.store_stopped_until = until(time),
            Fault::StoreEmptied => {
                self.store = Model::default();
                self.checks.store_reset(self.now, &self.store);
            }
            Fault::StoreWiped(time) => {
                let until = until(time);
                self.store = Model::default();
                self.checks.store_reset(self.now, &self.store);
                self.store_down(until);
            }
            Fault::StoreRolledBack(time, lag) => {
                let until = until(time);
                let before = self.now.saturating_sub(lag);
                let older = self.snapshots.iter().rfind(|(at, _)| *at <= before);
                if let Some((_, older)) = older.or(self.snapshots.first()) {
                    self.store = older.clone();
                    self.checks.store_reset(self.now, &self.store);
                }
                self.store_down(until);
            }
            Fault::StoreClock(by) => {
                self.store_clock += by;
                self.checks.clock_stepped = true;
            }
            Fault::Clock(machine, by) => self.machines[machine].clock_error += by,
            Fault::Kick(client) => {
                if self.is_store_up {
                    let name = self.clients[client].name.clone();
                    self.store.call(&Call::Kick { name }, self.store_time());
                    self.tell_readers();
                }
            }
        }
    }

    /// The store is gone, and comes back as another server.
    pub(super) fn store_down(&mut self, until: u64) {
        self.is_store_up = false;
        self.server += 1;
        self.snapshots.clear();
        self.at(until, Event::StoreUp);
        for machine in 0..self.machines.len() {
            // Some see that the connection is lost, others that there is no answer.
            if self.rng.bool() {
                let when = self.now + self.rng.u64(..10 * MS);
                self.for_machine(when, machine, Todo::Disconnected);
            }
        }
    }
}
