//! What clients do.

use core::mem;
use core::num::NonZero;

use fastrand::Rng;
use heartwire::server::SessionId;

use super::faults::{MS, SECOND};
use super::machine::Live;
use super::world::{Event, Todo, Why, World};

/// After how long a server gives its verdict on a client that is gone without a word.
const VERDICT: u64 = 20 * SECOND;

/// Where a session is: the machine, its life, and the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) machine: usize,
    pub(super) life: u64,
    pub(super) session: SessionId,
}

/// One client. Each has a name of its own.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: Box<str>,
    pub(super) instance: NonZero<u64>,
    /// The session that the client itself believes in.
    pub(super) at: Option<At>,
    pub(super) online_since: u64,
    /// When its session before that began.
    pub(super) before: u64,
    /// Counts what the client plans: only the last counts.
    pub(super) plan: u64,
    /// Whether it is to be online in the end.
    pub(super) wants: bool,
}

/// What a client that is online does next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Goes, with a goodbye.
    Leave,
    /// Goes without a word: the server's verdict comes later.
    Vanish,
    /// Comes back after this time, on any machine; the old session ends with a goodbye.
    Move(u64),
    /// As before, and the old session has no end that its server sees.
    MoveSilently(u64),
    /// Nothing.
    Stay,
}

impl Act {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        // Some within a millisecond, some later than all that is held back.
        let pause = [rng.u64(1..MS), rng.u64(MS..500 * MS), rng.u64(SECOND..20 * SECOND)];
        let pause = pause[rng.usize(..3)];
        match rng.u8(..10) {
            0 | 1 => Self::Leave,
            2 | 3 => Self::Vanish,
            4 | 5 => Self::Move(pause),
            6..=8 => Self::MoveSilently(pause),
            _ => Self::Stay,
        }
    }
}

impl World {
    pub(super) fn tell_client(&mut self, machine: usize, live: &Live, why: Why) {
        let life = self.machines[machine].life;
        let at = At { machine, life, session: live.session.id };
        let when = self.now + self.rng.u64(100..50 * MS);
        self.at(when, Event::Told(live.client, at, why));
    }

    pub(super) fn told(&mut self, client: usize, at: At, why: Why) {
        if self.clients[client].at != Some(at) {
            return;
        }
        self.clients[client].at = None;
        let pause = match why {
            Why::Lost => self.rng.u64(10 * MS..2 * SECOND),
            Why::TakenOver(same_client) => {
                self.taken_over_wrongly(client, at, same_client);
                self.rng.u64(100 * MS..2 * SECOND)
            }
            Why::Kicked => self.rng.u64(5 * SECOND..20 * SECOND),
        };
        self.plan_client(client, self.now + pause);
    }

    pub(super) fn act(&mut self, client: usize) {
        let at = self.clients[client].at;
        if self.is_calm() {
            match at {
                None if self.clients[client].wants => self.connect(client),
                Some(at) if !self.clients[client].wants => {
                    self.clients[client].at = None;
                    self.goodbye(at);
                }
                None | Some(_) => {}
            }
            return;
        }
        let Some(at) = at else {
            self.connect(client);
            return;
        };
        let act = Act::draw(&mut self.rng);
        self.trace(|| format!("client {client} at {at:?}: {act:?}"));
        let mut pause = self.rng.u64(..self.plan.act_every * 2);
        match act {
            Act::Stay => {}
            Act::Leave => self.goodbye(at),
            Act::Vanish => self.vanish(at),
            Act::Move(after) => {
                pause = after;
                self.goodbye(at);
            }
            Act::MoveSilently(after) => {
                pause = after;
                self.vanish(at);
            }
        }
        if !matches!(act, Act::Stay) {
            self.clients[client].at = None;
        }
        self.plan_client(client, self.now + pause);
    }

    pub(super) fn goodbye(&mut self, at: At) {
        let when = self.now + self.rng.u64(50..5 * MS);
        self.at(when, Event::Machine(at.machine, at.life, Todo::Goodbye(at.session)));
    }

    pub(super) fn vanish(&mut self, at: At) {
        let when = self.now + self.rng.u64(SECOND..VERDICT);
        self.at(when, Event::Machine(at.machine, at.life, Todo::Verdict(at.session)));
    }

    pub(super) fn connect(&mut self, client: usize) {
        let open = self.machines.iter().filter(|machine| machine.accepts());
        let open: Vec<_> = open.map(|machine| machine.number).collect();
        let Some(&machine) = self.rng.choice(&open) else {
            let pause = self.rng.u64(100 * MS..SECOND);
            return self.plan_client(client, self.now + pause);
        };
        let it = &mut self.machines[machine];
        let name = self.clients[client].name.clone();
        let instance = self.clients[client].instance.get();
        let (session, _older) = it.accept(self.now, client, &name, instance);
        let at = At { machine, life: it.life, session };
        self.trace(|| format!("client {client} is at {at:?}"));
        let it = &mut self.clients[client];
        it.before = mem::replace(&mut it.online_since, self.now);
        it.at = Some(at);
        self.poll(machine);
        let pause = self.rng.u64(..self.plan.act_every * 2);
        // In the end each does what it wants, and stays so.
        let next = if self.is_calm() {
            self.now + pause
        } else {
            (self.now + pause).min(self.plan.calm_at)
        };
        self.plan_client(client, next);
    }
}
