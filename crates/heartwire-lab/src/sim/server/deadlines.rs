//! When sessions are judged, and how the process finds out that it stood still.

use heartwire_core::{Instant, Side, Spoken, Stall};

use super::{Arrival, Server, key};
use crate::sim::breach::Breach;
use crate::sim::broken::Broken;
use crate::sim::host::Wake;
use crate::sim::net::Net;
use crate::sim::queue::SERVER;

impl Server {
    /// Sets the session's timer, unless it is set for an earlier time.
    pub(super) fn arm(&mut self, net: &Net, slot: usize) {
        let now = net.clock(SERVER);
        let Some(session) = self.session(slot) else { return };
        let Some(deadline) = session.holder.deadline(now) else { return };
        if deadline <= now && session.holder.lets_all_pass() {
            // It would come at once again.
            return;
        }
        if self.wheel.armed(key(slot)).is_none_or(|armed| deadline < armed) {
            self.wheel.insert(key(slot), deadline);
        }
    }

    pub(super) fn handle_timeouts(&mut self, net: &mut Net) -> Result<(), Breach> {
        if self.wheel.next_wake().is_none_or(|wake| wake > self.awake_at) {
            return Ok(());
        }
        let until = net.clock(SERVER);
        loop {
            let wake = self.wheel.next_wake();
            self.watch.handle_sleep(wake);
            net.host(SERVER).handle_sleep(wake);
            let wake = net.read_clocks(SERVER);
            self.notice_stall(net, wake);
            let Some(key) = self.wheel.poll(until) else { return Ok(()) };
            let slot = usize::try_from(key).unwrap_or(usize::MAX);
            self.judge(net, slot, wake.at)?;
            self.arm(net, slot);
        }
    }

    /// Bytes that are in the socket already outrank a deadline, and a beat tells of them.
    pub(super) fn read_before_judging(&mut self, net: &mut Net, slot: usize) -> Result<(), Breach> {
        self.read(net, slot, false, Arrival::Earlier)?;
        let Some(session) = self.session(slot) else { return Ok(()) };
        if session.is_unread && net.has_news(session.holder.link, Side::Server) {
            session.holder.postpone(net);
        }
        Ok(())
    }

    fn judge(&mut self, net: &mut Net, slot: usize, now: Instant) -> Result<(), Breach> {
        let reads_first = !self.terms.server.is(Broken::JudgesBeforeReading);
        let Some(session) = self.session(slot) else { return Ok(()) };
        // On v1 a beat says what has been heard, so that is looked at before one is sent.
        let says_what_it_heard = session.holder.connection.spoken() == Spoken::V1;
        if reads_first && (says_what_it_heard || session.holder.connection.would_end(now)) {
            self.read_before_judging(net, slot)?;
        }
        let last_stall = self.last_stall;
        let Some(session) = self.session(slot) else { return Ok(()) };
        if let Some(stall) = last_stall {
            session.holder.handle_stall(stall);
        }
        match session.holder.judge(net, now)? {
            Some(end) => self.end(slot, end),
            None => self.transmit(net, slot)?,
        }
        Ok(())
    }

    pub(super) fn notice_stall(&mut self, net: &mut Net, wake: Wake) {
        if net.compare_clocks(SERVER, wake).is_some() {
            net.note_stall(SERVER, wake);
        }
        let Wake { at, suspended } = self.terms.server.misread_clocks(wake);
        if let Some(stall) = self.watch.handle_wake(at, suspended) {
            self.handle_stall(net, stall);
        }
    }

    fn handle_stall(&mut self, net: &mut Net, stall: Stall) {
        self.is_late = true;
        self.last_stall = Some(stall);
        net.log(&"server", format_args!("stood still for {:?}", stall.gap));
    }
}
