//! The server's process: many sessions and one wheel, driven in the order that a shard of the
//! library's server does.

mod bytes;
mod deadlines;

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::wheel::Wheel;
use heartwire_core::{Instant, Side, Stall, StallWatch};

use super::breach::Breach;
use super::end::Holder;
use super::ended::End;
use super::host::Wake;
use super::link::{Both, LinkId};
use super::net::Net;
use super::queue::SERVER;
use super::terms::Terms;

/// When bytes that are read came, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// They have just woken the process.
    Now,
    /// They were found in the socket. The kernel knows.
    Earlier,
}

/// The process of the server.
#[derive(Debug)]
pub(super) struct Server {
    terms: Both<Terms>,
    wheel_tick: Duration,
    sessions: Vec<Option<Session>>,
    wheel: Wheel,
    watch: StallWatch,
    awake_at: Instant,
    /// When it looked at its sockets last, and the time before.
    looked_at: Instant,
    unread_since: Instant,
    is_late: bool,
    last_stall: Option<Stall>,
    unread: VecDeque<usize>,
    ending: Vec<(usize, End)>,
}

#[derive(Debug)]
struct Session {
    holder: Holder,
    wakes_for_all: bool,
    is_unread: bool,
    is_ending: bool,
    is_blocked: bool,
}

impl Server {
    pub(super) fn new(net: &mut Net, terms: Both<Terms>, wheel_tick: Duration) -> Self {
        let now = net.clock(SERVER);
        Self {
            terms,
            wheel_tick,
            sessions: Vec::new(),
            wheel: Wheel::new(wheel_tick),
            watch: StallWatch::new(now, net.host(SERVER).suspended),
            awake_at: now,
            looked_at: now,
            unread_since: now,
            is_late: false,
            last_stall: None,
            unread: VecDeque::new(),
            ending: Vec::new(),
        }
    }

    /// The process is started again after a crash, and remembers nothing.
    pub(super) fn restart(&mut self, net: &mut Net) {
        *self = Self::new(net, self.terms, self.wheel_tick);
    }

    /// The process is gone, and what it held with it.
    pub(super) fn crash(&mut self) {
        self.sessions.clear();
    }

    /// The owner closes all connections, and goes on accepting.
    pub(super) fn leave(&mut self, net: &mut Net) -> Result<(), Breach> {
        for (slot, session) in self.sessions.iter_mut().enumerate() {
            if let Some(mut session) = session.take() {
                self.wheel.remove(key(slot));
                session.holder.leave(net)?;
            }
        }
        Ok(())
    }

    pub(super) fn holders(&mut self) -> impl Iterator<Item = &mut Holder> {
        self.sessions.iter_mut().flatten().map(|session| &mut session.holder)
    }

    /// The process runs: it woke at `wake`, and may have been held up since.
    pub(super) fn turn(&mut self, net: &mut Net, wake: Wake) -> Result<(), Breach> {
        self.is_late = false;
        self.notice_stall(net, wake);
        self.awake_at = wake.at;
        self.unread_since = core::mem::replace(&mut self.looked_at, net.clock(SERVER));
        self.read_unread(net)?;
        for slot in 0..self.sessions.len() {
            self.unblock(net, slot)?;
            let Some(session) = self.session(slot) else { continue };
            if net.take_ready(session.holder.link, Side::Server) {
                let arrival = if self.is_late { Arrival::Earlier } else { Arrival::Now };
                self.read(net, slot, true, arrival)?;
            }
        }
        self.accept(net);
        self.handle_timeouts(net)?;
        self.flush(net)?;
        self.take_leave(net)?;
        self.sleep(net);
        Ok(())
    }

    fn sleep(&mut self, net: &mut Net) {
        let deadline = self.wheel.next_wake();
        self.watch.handle_sleep(deadline);
        net.set_timer(SERVER, deadline);
        if !self.ending.is_empty() || (!net.is_busy(SERVER) && !self.unread.is_empty()) {
            net.wake(SERVER);
        }
    }

    fn session(&mut self, slot: usize) -> Option<&mut Session> {
        self.sessions.get_mut(slot)?.as_mut().filter(|session| !session.is_ending)
    }

    // Clients.

    fn accept(&mut self, net: &mut Net) {
        if net.is_busy(SERVER) {
            return;
        }
        while let Some(link) = net.backlog.pop_front() {
            self.adopt(net, link);
        }
    }

    fn adopt(&mut self, net: &mut Net, link: LinkId) {
        let names = (link, Side::Server, SERVER);
        let holder = Holder::new(net, names, &self.terms);
        let session = Session {
            holder,
            wakes_for_all: true,
            is_unread: false,
            is_ending: false,
            is_blocked: false,
        };
        let slot = match self.sessions.iter().position(Option::is_none) {
            Some(slot) => slot,
            None => {
                self.sessions.push(None);
                self.sessions.len() - 1
            }
        };
        if let Some(place) = self.sessions.get_mut(slot) {
            *place = Some(session);
        }
        self.arm(net, slot);
        // A poller reports what is there when a socket is registered.
        if net.has_news(link, Side::Server) {
            net.make_ready(link, Side::Server);
        }
    }

    fn end(&mut self, slot: usize, end: End) {
        let Some(session) = self.session(slot) else { return };
        session.is_ending = true;
        self.wheel.remove(key(slot));
        self.ending.push((slot, end));
    }

    fn take_leave(&mut self, net: &mut Net) -> Result<(), Breach> {
        for (slot, end) in core::mem::take(&mut self.ending) {
            let Some(mut session) = self.sessions.get_mut(slot).and_then(Option::take) else {
                continue;
            };
            session.holder.finish(net, &end)?;
        }
        Ok(())
    }
}

fn key(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX - 1)
}
