//! Who watches the ends of connections.

use core::time::Duration;

use heartwire_core::{Side, Verdict, Violation};

use super::Net;
use crate::sim::breach::Breach;
use crate::sim::ended::End;
use crate::sim::host::{Sign, State, Wake};
use crate::sim::link::{Both, LinkId};
use crate::sim::observer::Observer;
use crate::sim::queue::HostId;
use crate::sim::terms::Terms;

#[expect(
    clippy::indexing_slicing,
    reason = "hosts and links are never removed, so that their numbers always name one"
)]
impl Net {
    /// A process has a connection from now on.
    pub(in crate::sim) fn watch(&mut self, link: LinkId, side: Side, terms: &Both<Terms>) {
        let host = self.links[link].sockets.of(side).host;
        let peer = terms.of(crate::sim::link::other(side));
        let observer = Observer::new(self, (link, side, host), (*terms.of(side), peer));
        *self.links[link].observers.of_mut(side) = Some(Box::new(observer));
        self.watched.push((link, side));
    }

    /// Its process is gone.
    pub(in crate::sim) fn unwatch(&mut self, host: HostId) {
        let links = &mut self.links;
        self.watched.retain(|&(link, side)| {
            let is_elsewhere = links[link].sockets.of(side).host != host;
            if !is_elsewhere {
                *links[link].observers.of_mut(side) = None;
            }
            is_elsewhere
        });
    }

    /// Has the observer of an end look at something. What it finds broken is kept for the world.
    fn observe(
        &mut self,
        link: LinkId,
        side: Side,
        look: impl FnOnce(&mut Observer, &mut Self) -> Result<(), Breach>,
    ) {
        let Some(mut observer) = self.links[link].observers.of_mut(side).take() else { return };
        let seen = look(&mut observer, self);
        *self.links[link].observers.of_mut(side) = Some(observer);
        if let Err(breach) = seen {
            self.breach.get_or_insert((side, breach));
        }
    }

    pub(super) fn observe_read(&mut self, link: LinkId, side: Side, bytes: &[u8]) {
        self.observe(link, side, |observer, net| observer.handle_read(net, bytes));
    }

    pub(super) fn observe_write(&mut self, link: LinkId, side: Side, bytes: &[u8], len: usize) {
        self.observe(link, side, |observer, net| observer.handle_write(net, bytes, len));
    }

    /// A process whose owner is slow has looked whether there is something in a socket.
    pub(in crate::sim) fn note_backpressure(&mut self, link: LinkId, side: Side) {
        let host = self.links[link].sockets.of(side).host;
        let now = self.clock(host);
        self.mishaps.postponed += 1;
        self.observe(link, side, |observer, net| {
            observer.handle_backpressure(net, now);
            Ok(())
        });
    }

    /// A process compares its clocks with what it expected. Returns how it can know that it stood still.
    pub(in crate::sim) fn compare_clocks(&mut self, host: HostId, wake: Wake) -> Option<Sign> {
        self.hosts[host].handle_wake(wake)
    }

    /// A process knows that it stood still.
    pub(in crate::sim) fn note_stall(&mut self, host: HostId, wake: Wake) {
        for (link, side) in self.watched_of(host) {
            self.observe(link, side, |observer, net| {
                observer.handle_stall(net, wake.at);
                Ok(())
            });
        }
    }

    /// A machine has resumed from a suspend that a driver must not hold against its peers.
    pub(in crate::sim) fn note_resume(&mut self, host: HostId) {
        let now = self.clock(host);
        for (link, side) in self.watched_of(host) {
            self.observe(link, side, |observer, _| {
                observer.handle_resume(now);
                Ok(())
            });
        }
    }

    fn watched_of(&self, host: HostId) -> Vec<(LinkId, Side)> {
        let is_its =
            |&(link, side): &(LinkId, Side)| self.links[link].sockets.of(side).host == host;
        self.watched.iter().copied().filter(is_its).collect()
    }

    // What applications are told.

    pub(in crate::sim) fn tell_data(&mut self, link: LinkId, side: Side, data: &[u8]) {
        self.observe(link, side, |observer, net| observer.tell_data(net, data));
    }

    pub(in crate::sim) fn tell_round_trip(&mut self, link: LinkId, side: Side, told: Duration) {
        self.observe(link, side, |observer, net| observer.tell_round_trip(net, told));
    }

    pub(in crate::sim) fn tell_verdict(&mut self, link: LinkId, side: Side, verdict: &Verdict) {
        self.observe(link, side, |observer, net| observer.tell_verdict(net, verdict));
    }

    pub(in crate::sim) fn tell_violation(&mut self, link: LinkId, side: Side, what: Violation) {
        let host = self.links[link].sockets.of(side).host;
        let now = self.clock(host);
        self.observe(link, side, |observer, net| observer.tell_violation(net, now, what));
    }

    pub(in crate::sim) fn tell_end(&mut self, link: LinkId, side: Side, end: &End) {
        self.observe(link, side, |observer, net| observer.tell_end(net, end));
        self.watched.retain(|&watched| watched != (link, side));
    }

    /// What has to hold at any time; with `only`, at the ends that a host has.
    pub(in crate::sim) fn check(&mut self, only: Option<HostId>) {
        for index in 0..self.watched.len() {
            let Some(&(link, side)) = self.watched.get(index) else { return };
            let host = self.links[link].sockets.of(side).host;
            let machine = &self.hosts[host];
            let is_asked = only.is_none_or(|only| only == host);
            if is_asked && machine.state == State::Runs && machine.in_turn.is_none() {
                let runs_since = machine.runs_since;
                self.observe(link, side, |observer, net| observer.check(net, runs_since));
            }
        }
    }
}
