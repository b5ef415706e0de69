//! How the client's process gets its connections.

use std::io;

use heartwire_core::Side;

use super::{Client, Process};
use crate::sim::breach::{Breach, Invariant};
use crate::sim::link::LinkId;
use crate::sim::machine::{Machine, Shared, address};
use crate::sim::net::Dialled;
use crate::sim::queue::HostId;

impl Client {
    /// Hands over the result of an attempt to connect.
    pub(super) fn connect(&mut self) {
        let Some(process) = &mut self.process else { return };
        let host = self.host;
        let mut net = self.net.lock();
        let Some(dialled) = net.take_dialled(host) else { return };
        if core::mem::take(&mut process.is_racing) {
            drop(net);
            return self.connect_spare(dialled);
        }
        let failed = |kind: io::ErrorKind| io::Error::from(kind);
        match dialled {
            Dialled::Connected(link) => {
                net.watch(link, Side::Client, &self.terms);
                let now = net.clock(host);
                net.host(host).begin_link(now);
                drop(net);
                self.connections += 1;
                process.timer = None;
                process.link = Some(link);
                let machine = Machine::new(self.net.clone(), host, self.terms);
                process.life.connected(machine.socket(link), address(0, link));
                let mut net = self.net.lock();
                if net.host(host).sign.take().is_some() {
                    // A pause before a link counts for its session, and not for the link.
                    net.note_pause_of_sessions(host);
                }
                let now = net.clock(host);
                net.host(host).handle_start(now);
            }
            Dialled::Refused => {
                drop(net);
                let error = failed(io::ErrorKind::ConnectionRefused);
                process.life.not_connected(address(0, 0), error);
            }
            Dialled::TimedOut => {
                drop(net);
                process.life.not_connected(address(0, 0), failed(io::ErrorKind::TimedOut));
            }
        }
    }

    /// Hands over the result of an attempt to make a spare connection.
    fn connect_spare(&mut self, dialled: Dialled) {
        let Some(process) = &mut self.process else { return };
        let failed = match dialled {
            Dialled::Connected(link) => {
                let mut net = self.net.lock();
                net.watch(link, Side::Client, &self.terms);
                // It reads its clocks anew for this connection.
                net.host(self.host).woke = None;
                drop(net);
                let machine = Machine::new(self.net.clone(), self.host, self.terms);
                process.life.spare_connected(machine.socket(link), address(0, link));
                self.connections += u32::from(process.note_spare(&self.net, self.host, link));
                return;
            }
            Dialled::Refused => io::ErrorKind::ConnectionRefused,
            Dialled::TimedOut => io::ErrorKind::TimedOut,
        };
        process.life.spare_not_connected(address(0, 0), failed.into());
    }
}

impl Process {
    /// Begins to make a spare connection, goes on with it, or gives it up.
    pub(super) fn race(&mut self, net: &Shared, host: HostId, wants_spare: bool) {
        if wants_spare != core::mem::replace(&mut self.is_racing, wants_spare) {
            let mut net = net.lock();
            if wants_spare { net.dial(host) } else { net.give_up_dialling(host) }
        }
    }

    /// There is a spare connection. The client has left its old one for it, or does not use it.
    /// Returns whether it uses it.
    fn note_spare(&mut self, net: &Shared, host: HostId, spare: LinkId) -> bool {
        let mut net = net.lock();
        let uses = net.link(spare).sockets.client.is_held;
        let old = self.link.filter(|&old| net.link(old).sockets.client.is_held);
        if let Some(old) = old.filter(|_| uses) {
            let what = format!("a client that changes to link {spare} still holds {old}");
            let breach = Breach::new(Invariant::NewestWins, what);
            net.breach.get_or_insert((Side::Client, breach));
        }
        if !uses {
            net.mishaps.spare_unused += 1;
            net.unwatch_spare(spare);
            return false;
        }
        net.mishaps.spare_used += 1;
        if let Some(old) = self.link.replace(spare) {
            net.note_loss(old, Side::Client);
        }
        net.note_session(host, self.life.is_away());
        self.timer = None;
        let now = net.clock(host);
        net.host(host).handle_start(now);
        true
    }
}
