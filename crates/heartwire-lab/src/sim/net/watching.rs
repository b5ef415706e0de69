//! Calls the observers of connections.

use core::time::Duration;

use heartwire::{Cause, Reason, TICK};
use heartwire_core::{Instant, Side, Verdict, Violation};

use super::Net;
use crate::sim::breach::{Breach, Invariant};
use crate::sim::ended::End;
use crate::sim::host::{Sign, State, Wake};
use crate::sim::ledger::len_of;
use crate::sim::link::{Body, Both, LinkId};
use crate::sim::observer::Observer;
use crate::sim::queue::{HostId, SERVER};
use crate::sim::server::{DRAIN, MAX_BODY};
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
        self.forget_sessions(host);
        let links = &mut self.links;
        self.watched.retain(|&(link, side)| {
            let is_elsewhere = links[link].sockets.of(side).host != host;
            if !is_elsewhere {
                *links[link].observers.of_mut(side) = None;
            }
            is_elsewhere
        });
    }

    /// A client has not used a spare connection.
    pub(in crate::sim) fn unwatch_spare(&mut self, link: LinkId) {
        self.links[link].observers.client = None;
        self.watched.retain(|&watched| watched != (link, Side::Client));
    }

    /// Calls the observer of an end. A breach that it finds is kept for the world.
    pub(super) fn observe(
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

    /// A process whose application is slow has looked whether there is something in a socket.
    pub(in crate::sim) fn note_backpressure(&mut self, link: LinkId, side: Side) {
        let host = self.links[link].sockets.of(side).host;
        let now = self.clock(host);
        self.mishaps.postponed += 1;
        self.observe(link, side, |observer, net| {
            observer.handle_backpressure(net, now);
            Ok(())
        });
    }

    /// A process reads its clocks, and compares them with what it expected. It may have been held
    /// up since it read them.
    pub(in crate::sim) fn compare_clocks(&mut self, host: HostId) -> Wake {
        let now = self.now;
        let machine = &mut self.hosts[host];
        let wake = machine.woke.take().unwrap_or_else(|| machine.read_clocks(now));
        if host == SERVER {
            // It checks for every deadline whether it is late.
            if machine.handle_wake(wake, true).is_none() {
                return wake;
            }
            if machine.interruption.is_some() {
                // Only the process knows its next deadline: its handler may get a pause, or not.
                machine.may_know_of_pause = Some(wake.at);
            } else {
                self.note_pause(host, wake.at);
            }
            return wake;
        }
        // A client reads before it reports a pause, and compares its clocks again then. Its work in
        // between is assumed to be short.
        let is_first = !machine.is_in_turn();
        let sign = machine.handle_wake(wake, true).map(|sign| (sign, wake.at));
        let before = machine.sign.take();
        if is_first {
            machine.sign = sign;
        } else if let Some((_, at)) = sign.or(before) {
            let by_clocks_alone = before.or(sign).is_some_and(|(sign, _)| sign == Sign::Clocks);
            self.mishaps.suspended_in_time += u64::from(by_clocks_alone);
            self.note_pause(host, at);
        }
        wake
    }

    /// A process has nothing more to do, and has noticed its pause if there was one.
    pub(super) fn end_turn(&mut self, host: HostId) {
        if let Some((_, at)) = self.hosts[host].sign.take() {
            self.note_pause(host, at);
        }
    }

    /// A process knows of its pause.
    pub(in crate::sim) fn note_pause(&mut self, host: HostId, now: Instant) {
        self.note_pause_of_sessions(host);
        for (link, side) in self.watched_of(host) {
            self.observe(link, side, |observer, net| {
                observer.handle_pause(net, now);
                Ok(())
            });
        }
    }

    /// A machine has resumed from a suspend that a driver must not blame its peers for.
    pub(in crate::sim) fn note_resume(&mut self, host: HostId) {
        let now = self.clock(host);
        for (link, side) in self.watched_of(host) {
            self.observe(link, side, |observer, _| {
                observer.handle_resume(now);
                Ok(())
            });
        }
    }

    pub(super) fn watched_of(&self, host: HostId) -> Vec<(LinkId, Side)> {
        let is_its =
            |&(link, side): &(LinkId, Side)| self.links[link].sockets.of(side).host == host;
        self.watched.iter().copied().filter(is_its).collect()
    }

    /// A client has connected to the server on this link, with its name.
    pub(in crate::sim) fn note_claim(&mut self, by: LinkId, now: Instant) {
        let path = self.links[by].path;
        for &(link, side) in &self.watched {
            let is_older = side == Side::Server && link != by && self.links[link].path == path;
            let observer = self.links[link].observers.server.as_mut();
            if let Some(observer) = observer.filter(|_| is_older) {
                observer.handle_claim(by, now);
            }
        }
    }

    /// A process has written all that it will.
    pub(in crate::sim) fn note_last_word(&mut self, link: LinkId, side: Side) {
        self.observe(link, side, |observer, _| {
            observer.handle_last_word();
            Ok(())
        });
    }

    /// A process has closed its socket, or is gone.
    pub(in crate::sim) fn handle_closed(&mut self, link: LinkId, side: Side) {
        if !self.hosts[self.links[link].sockets.of(side).host].state.has_process() {
            return;
        }
        self.observe(link, side, Observer::handle_closed);
    }

    /// A process has lost its connection. Its later reports describe this time.
    pub(in crate::sim) fn note_loss(&mut self, link: LinkId, side: Side) {
        self.observe(link, side, |observer, net| {
            observer.handle_loss(net);
            Ok(())
        });
    }

    /// Whether the client's process has lost its connection.
    pub(in crate::sim) fn is_client_lost(&self, link: LinkId) -> bool {
        self.links[link].observers.client.as_ref().is_none_or(|observer| observer.is_lost())
    }

    // Events of applications.

    pub(in crate::sim) fn tell_news(&mut self, link: LinkId, side: Side) {
        self.observe(link, side, |observer, _| observer.speak());
    }

    /// The application of a client promises another interval.
    pub(in crate::sim) fn note_promise(&mut self, link: LinkId, interval: Duration) {
        self.observe(link, Side::Client, |observer, net| {
            observer.note_promise(net, interval);
            Ok(())
        });
    }

    /// The application of a server sends this.
    pub(in crate::sim) fn tell_sent(&mut self, link: LinkId, body: Body) {
        let told = &mut self.links[link].told.server;
        told.sent += len_of(body.len);
        told.bodies.push_back(body);
        self.observe(link, Side::Server, |observer, net| {
            observer.tell_sent(net, body.len);
            Ok(())
        });
    }

    /// A message was refused as too long, or not, by an end whose peer accepts those up to
    /// `longest`, and has said so, if it has.
    pub(in crate::sim) fn tell_refused(
        &mut self,
        side: Side,
        len: usize,
        is_refused: bool,
        longest: Option<usize>,
    ) {
        self.mishaps.too_long += u64::from(is_refused);
        let is_too_long = longest.is_some_and(|longest| len > longest);
        if is_refused == is_too_long || len > MAX_BODY {
            return;
        }
        let what = format!(
            "of a peer that accepts {longest:?} bytes, a message of {len} was {}",
            if is_refused { "refused" } else { "accepted" }
        );
        self.breach.get_or_insert((side, Breach::new(Invariant::LongestFrame, what)));
    }

    /// This many messages of a client are lost with its connection.
    pub(in crate::sim) fn tell_unsent(&mut self, link: LinkId, unsent: usize) {
        self.observe(link, Side::Client, |observer, net| observer.tell_unsent(net, link, unsent));
    }

    /// The first messages that are longer than this were dropped on this link. Of those that have
    /// ended since, and of which the application was not told yet, some had passed over them.
    /// Returns how many are left.
    pub(in crate::sim) fn forget_too_long(
        &mut self,
        link: LinkId,
        mut count: usize,
        longest: usize,
    ) -> usize {
        let host = self.links[link].sockets.client.host;
        let later = self.links.iter_mut().skip(link + 1);
        for other in later.filter(|other| other.sockets.client.host == host) {
            if let Some(observer) = &mut other.observers.client {
                count = observer.forget_too_long(count, longest);
            }
        }
        count
    }

    pub(in crate::sim) fn tell_online(&mut self, link: LinkId, side: Side) {
        self.observe(link, side, Observer::tell_online);
    }

    pub(in crate::sim) fn tell_data(&mut self, link: LinkId, side: Side, data: &[u8]) {
        self.observe(link, side, |observer, net| observer.tell_data(net, data));
    }

    pub(in crate::sim) fn tell_round_trip(&mut self, link: LinkId, side: Side, told: Duration) {
        self.observe(link, side, |observer, net| observer.tell_round_trip(net, told));
    }

    pub(in crate::sim) fn tell_verdict(&mut self, link: LinkId, side: Side, verdict: &Verdict) {
        self.observe(link, side, |observer, net| observer.tell_verdict(net, verdict));
    }

    /// A newer link of its session has taken the place of this one, which the server's application
    /// is not told.
    pub(in crate::sim) fn note_superseded(&mut self, link: LinkId) {
        self.observe(link, Side::Server, |observer, _| {
            observer.handle_superseded();
            Ok(())
        });
    }

    /// Why a connection ended, in the words of the library.
    pub(in crate::sim) fn tell_reason(&mut self, link: LinkId, side: Side, reason: &Reason) {
        let is_over = self.links[link].observers.of(side).as_ref().is_some_and(|it| it.is_over());
        if is_over {
            return self.tell_end(link, side, &End::of(reason));
        }
        if let Reason::Protocol(violation) = *reason {
            self.tell_violation(link, side, violation);
        }
        if *reason == Reason::Suspected {
            self.observe(link, side, |observer, _| observer.tell_suspicion());
        }
        // A server reports a verdict when it gives it.
        if let (Reason::Dead(verdict), Side::Client) = (reason, side)
            && verdict.cause != Cause::Kernel
        {
            self.tell_verdict(link, side, verdict);
        }
        self.tell_end(link, side, &End::of(reason));
    }

    /// When the server's end of a link was accepted, by its clock.
    pub(in crate::sim) fn connected_at(&self, link: LinkId) -> Option<Instant> {
        self.links[link].observers.server.as_ref().map(|observer| observer.connected_at())
    }

    pub(in crate::sim) fn tell_violation(&mut self, link: LinkId, side: Side, what: Violation) {
        self.observe(link, side, |observer, net| observer.tell_violation(net, what));
    }

    pub(in crate::sim) fn tell_end(&mut self, link: LinkId, side: Side, end: &End) {
        self.observe(link, side, |observer, net| observer.tell_end(net, end));
    }

    /// A server that shuts down ends all its sessions in the time for that.
    fn check_drain(&mut self) {
        let Some(since) = self.drains_since else { return };
        let now = self.clock(SERVER);
        let machine = &self.hosts[SERVER];
        if machine.state != State::Runs || machine.in_turn.is_some() {
            return;
        }
        let overdue = since.saturating_add(DRAIN).max(machine.runs_since).saturating_add(TICK);
        if now > overdue {
            let late = now.saturating_since(overdue);
            let what = format!("a server has not shut down {late:?} after its time for that");
            let breach = Breach::new(Invariant::DrainsInTime, what);
            self.breach.get_or_insert((Side::Server, breach));
        }
    }

    /// What has to hold at any time; with `only`, at the ends that a host has.
    pub(in crate::sim) fn check(&mut self, only: Option<HostId>) {
        self.check_drain();
        self.check_sessions(only);
        let links = &self.links;
        self.watched.retain(|&(link, side)| {
            links[link].observers.of(side).as_ref().is_some_and(|observer| !observer.is_over())
        });
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
