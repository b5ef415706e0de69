//! Processes that are held up between two steps of one turn.

use heartwire_core::Side;

use super::Net;
use crate::sim::host::{Interruption, State};
use crate::sim::link::LinkId;
use crate::sim::queue::{Happening, HostId, SERVER};

#[expect(
    clippy::indexing_slicing,
    reason = "hosts and links are never removed, so that their numbers always name one"
)]
impl Net {
    /// A process calls its system, and may have to wait for the result: once in a turn at most.
    pub(in crate::sim) fn may_interrupt(&mut self, host: HostId) {
        let machine = &self.hosts[host];
        // One that goes on with a turn knows the time of before it was held up.
        let is_free = machine.is_in_a_turn && machine.interruption.is_none();
        if is_free && machine.woke.is_none() && machine.state == State::Runs {
            let of_2_32 = self.lateness.interrupted;
            if self.chance(of_2_32) {
                self.interrupt(host);
            }
        }
    }

    /// Systems and paths run meanwhile. Other processes have to wait too, as on one machine, and
    /// can run again from then on.
    fn interrupt(&mut self, host: HostId) {
        let lasts = self.draw(self.lateness.max_interrupted);
        let (from, until_at) = (self.clock(host), self.now.after(lasts));
        self.mishaps.interrupted += 1;
        self.log(&format_args!("host {host}"), format_args!("is held up for {lasts:?}"));
        let ends = self.watched_of(host);
        for &(link, side) in &ends {
            self.observe(link, side, |observer, net| {
                observer.begin_interruption(net);
                Ok(())
            });
        }
        let mut later = Vec::new();
        while let Some((at, happening)) = self.queue.pop_by(until_at) {
            self.now = self.now.max(at);
            match happening {
                Happening::Packet { link, to, packet } => self.handle_packet(link, to, packet),
                Happening::Retransmit { link, from } => self.handle_retransmit(link, from),
                Happening::Dialled { host, attempt } => self.handle_dialled(host, attempt),
                Happening::Turn { .. }
                | Happening::Rest { .. }
                | Happening::Write { .. }
                | Happening::Sever { .. }
                | Happening::Fault { .. }
                | Happening::Mend { .. } => later.push(happening),
            }
        }
        self.now = until_at;
        self.queue.set_now(until_at);
        for happening in later {
            self.queue.push(until_at, happening);
        }
        for other in 0..self.hosts.len() {
            let now = self.clock(other);
            let machine = &mut self.hosts[other];
            if other == host || machine.turn_at.is_some_and(|at| at <= until_at) {
                machine.runs_since = machine.runs_since.max(now);
            }
        }
        let until = self.clock(host);
        self.hosts[host].interruption = Some(Interruption { from, until });
        for (link, side) in ends {
            self.observe(link, side, |observer, net| {
                observer.end_interruption(net, Interruption { from, until });
                Ok(())
            });
        }
        if host == SERVER {
            // It may not have known yet that it is to shut down.
            self.drains_since = self.drains_since.map(|at| if at >= from { until } else { at });
        }
    }

    /// The handler of a server got the pause of its shard.
    pub(in crate::sim) fn note_told_pause(&mut self) {
        if let Some(at) = self.hosts[SERVER].may_know_of_pause.take() {
            self.note_pause(SERVER, at);
        }
    }

    /// How the process that holds an end was held up in its turn, if it is in one and was.
    pub(in crate::sim) fn interruption(&self, link: LinkId, side: Side) -> Option<Interruption> {
        self.hosts[self.links[link].sockets.of(side).host].interruption
    }
}
