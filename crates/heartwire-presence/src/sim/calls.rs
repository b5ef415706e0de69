//! Calls of machines, the store's answers, and its commands.

use core::mem;

use super::broken::Broken;
use super::faults::{MS, SECOND};
use super::machine::instant;
use super::world::{Event, Todo, World};
use crate::store::{Answer, Call, StreamId};

/// After how long a call is given up.
pub(super) const CALL_TIMEOUT: u64 = 2 * SECOND;

impl World {
    /// A machine makes a call.
    pub(super) fn make(&mut self, machine: usize, mut call: Call) {
        self.seen.calls += 1;
        self.last_call += 1;
        let number = self.last_call;
        let time = self.store_time();
        let it = &mut self.machines[machine];
        if !matches!(call, Call::Expired | Call::Compare { .. } | Call::Names { .. }) {
            it.writes += 1;
        }
        it.call = Some((number, call.clone()));
        let life = it.life;
        if let Some(broken) = self.broken {
            if let Some(answer) = broken.invents(&call, it.node.digest(), time) {
                return self.for_machine(self.now + 1, machine, Todo::Answer(number, answer));
            }
            broken.call(&mut call);
        }
        self.for_machine(self.now + CALL_TIMEOUT, machine, Todo::GiveUp(number));
        if self.is_lost() {
            return;
        }
        let mut at = self.now + self.latency();
        if !self.is_calm() && self.rng.u64(..1_000) < self.plan.late {
            at += self.rng.u64(CALL_TIMEOUT..20 * SECOND);
        }
        self.at(at, Event::Request(machine, life, number, call));
    }

    pub(super) fn request(&mut self, machine: usize, life: u64, number: u64, call: Call) {
        if !self.reaches_store(machine) {
            return;
        }
        if self.now < self.store_stopped_until {
            let at = self.store_stopped_until + self.rng.u64(..MS);
            return self.at(at, Event::Request(machine, life, number, call));
        }
        let answer = self.store.call(&call, self.store_time());
        self.trace(|| format!("node-{machine} {call:?} -> {answer:?}"));
        self.checks.has_told = true;
        if let (Some(Broken::ReapsAtOnce), Answer::Expired(nodes)) = (self.broken, &answer) {
            for node in nodes.clone() {
                if node != *self.machines[machine].node.id() {
                    self.store.call(&Call::Reap { node, most: 500 }, self.store_time());
                }
            }
        }
        self.tell_readers();
        if self.is_lost() {
            return;
        }
        let at = self.now + self.latency();
        self.at(at, Event::Machine(machine, life, Todo::Answer(number, answer)));
    }

    /// The readers of commands wait for them, and get them a little later.
    pub(super) fn tell_readers(&mut self) {
        for machine in 0..self.machines.len() {
            let it = &self.machines[machine];
            if it.is_connected && self.store.commands.contains_key(it.node.id()) {
                let at = self.now + self.latency();
                self.for_machine(at, machine, Todo::Read);
            }
        }
    }

    pub(super) fn read(&mut self, machine: usize) {
        if !self.reaches_store(machine) || !self.machines[machine].is_connected {
            return;
        }
        let it = &mut self.machines[machine];
        let id = it.node.id().clone();
        let after = match it.read.take() {
            Some((of, server, after)) if of == id && server == self.server => after,
            _ => StreamId::default(),
        };
        let commands = self.store.commands_after(&id, after);
        let last = commands.last().map_or(after, |(last, _)| *last);
        it.read = Some((id, self.server, last));
        for (_, command) in commands {
            let command = match self.broken {
                Some(broken) => broken.command(command),
                None => Some(command),
            };
            if let Some(command) = command {
                self.trace(|| format!("node-{machine} reads {command:?}"));
                self.machines[machine].command(self.now, &command);
            }
        }
    }

    pub(super) fn answered(&mut self, machine: usize, number: u64, answer: Result<Answer, ()>) {
        let time = self.store_time();
        let it = &mut self.machines[machine];
        let Some((_, call)) = it.call.take_if(|(under_way, _)| *under_way == number) else {
            return;
        };
        if answer.is_ok() {
            it.contact_since.get_or_insert(self.now);
        } else {
            it.contact_since = None;
            self.seen.unanswered += 1;
        }
        let answer = match self.broken {
            Some(broken) => broken.answer(&call, answer, time),
            None => answer,
        };
        it.node.answered(instant(self.now), call, answer);
    }

    pub(super) fn disconnect(&mut self, machine: usize) {
        let it = &mut self.machines[machine];
        if !mem::take(&mut it.is_connected) {
            return;
        }
        it.contact_since = None;
        if let Some((number, _)) = it.call {
            self.answered(machine, number, Err(()));
        }
        self.machines[machine].node.disconnected();
        let pause = self.rng.u64(MS..SECOND);
        self.for_machine(self.now + pause, machine, Todo::Connect);
    }
}
