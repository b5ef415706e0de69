//! The server's process: many sessions and one wheel, driven in the order that a shard of the
//! library's server does.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::wheel::Wheel;
use heartwire_core::{Instant, STALL_MIN, Side, Spoken, Stall, StallWatch};

use super::breach::Breach;
use super::broken::Broken;
use super::end::{End, Holder, READ_MAX, Received};
use super::link::{Both, LinkId};
use super::net::Net;
use super::oracle::Grants;
use super::queue::SERVER;
use super::terms::Terms;

/// Reads from one session before the others get their turn.
const READS_PER_TURN: usize = 4;

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
    is_late: bool,
    last_stall: Option<Stall>,
    suspended: Duration,
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
            watch: StallWatch::new(now),
            awake_at: now,
            is_late: false,
            last_stall: None,
            suspended: net.host(SERVER).suspended,
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

    /// The process runs: it woke at `now`, and may have been held up since.
    pub(super) fn turn(&mut self, net: &mut Net, now: Instant) -> Result<(), Breach> {
        self.is_late = false;
        self.notice_stall(net, now);
        self.awake_at = now;
        self.read_unread(net)?;
        for slot in 0..self.sessions.len() {
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
        net.host(SERVER).handle_sleep(deadline);
        net.set_timer(SERVER, deadline);
        if !self.ending.is_empty() || (!net.is_busy(SERVER) && !self.unread.is_empty()) {
            net.wake(SERVER);
        }
    }

    fn session(&mut self, slot: usize) -> Option<&mut Session> {
        self.sessions.get_mut(slot)?.as_mut().filter(|session| !session.is_ending)
    }

    // Stalls.

    fn notice_stall(&mut self, net: &mut Net, now: Instant) {
        if net.host(SERVER).handle_wake(now) {
            self.tell_oracles(net, now);
        }
        if let Some(stall) = self.watch.handle_wake(now) {
            self.suspended = net.host(SERVER).suspended;
            self.handle_stall(net, stall);
        }
    }

    fn notice_suspend(&mut self, net: &mut Net, now: Instant) {
        if net.host(SERVER).handle_judgement() {
            self.tell_oracles(net, now);
        }
        if self.terms.server.is(Broken::IgnoresSuspends) {
            return;
        }
        let suspended = net.host(SERVER).suspended;
        let gap = suspended.saturating_sub(self.suspended);
        self.suspended = suspended;
        if gap >= STALL_MIN {
            self.handle_stall(net, Stall::new(now, gap));
        }
    }

    fn handle_stall(&mut self, net: &mut Net, stall: Stall) {
        self.is_late = true;
        self.last_stall = Some(stall);
        net.log(&"server", format_args!("stood still for {:?}", stall.gap));
    }

    fn tell_oracles(&mut self, net: &Net, now: Instant) {
        for holder in self.holders() {
            holder.look(net);
            holder.oracle.handle_stall(now);
        }
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
        let terms = (self.terms.server, &self.terms.client);
        let holder = Holder::new(net, names, terms, Grants::AtDeadline);
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
        self.arm(slot);
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

    // Bytes.

    fn read_unread(&mut self, net: &mut Net) -> Result<(), Breach> {
        for _ in 0..self.unread.len() {
            if net.is_busy(SERVER) {
                break;
            }
            let Some(slot) = self.unread.pop_front() else { break };
            let Some(session) = self.session(slot).filter(|session| session.is_unread) else {
                continue;
            };
            session.is_unread = false;
            self.read(net, slot, true, Arrival::Earlier)?;
        }
        Ok(())
    }

    fn read_later(&mut self, slot: usize) {
        let Some(session) = self.session(slot) else { return };
        if !session.is_unread {
            session.is_unread = true;
            self.unread.push_back(slot);
        }
    }

    fn read(
        &mut self,
        net: &mut Net,
        slot: usize,
        to_end: bool,
        arrival: Arrival,
    ) -> Result<(), Breach> {
        let awake_at = self.awake_at;
        let broken = self.terms.server.broken;
        for _ in 0..READS_PER_TURN {
            let Some(session) = self.session(slot) else { return Ok(()) };
            if net.is_busy(SERVER) {
                break;
            }
            let link = session.holder.link;
            let received = session.holder.read(net, |net, now| match (arrival, broken) {
                (_, Some(Broken::StampsBeforeReading)) => (awake_at, awake_at),
                (Arrival::Now, _) | (_, Some(Broken::StampsWhenFound)) => (now, now),
                (Arrival::Earlier, broken) => heard_from_kernel(net, link, now, broken),
            })?;
            match received {
                Received::Nothing => return Ok(()),
                Received::Ended(end) => {
                    self.end(slot, end);
                    return Ok(());
                }
                Received::Bytes { len } => {
                    let mark = match session.holder.connection.spoken() {
                        // The handshake never waits.
                        Spoken::Unknown => 1,
                        Spoken::Raw | Spoken::V0 | Spoken::V1 => session.holder.terms.mark,
                    };
                    let has_begun = session.holder.has_partial();
                    if mark > 1 && has_begun != session.wakes_for_all {
                        session.wakes_for_all = has_begun;
                        net.set_mark(link, Side::Server, if has_begun { 1 } else { mark.into() });
                    }
                    let has_new_terms = session.holder.take_new_terms();
                    if has_begun {
                        self.arm(slot);
                    }
                    self.transmit(net, slot)?;
                    if has_new_terms {
                        self.arm(slot);
                    }
                    if len < READ_MAX && !to_end {
                        return Ok(());
                    }
                }
            }
        }
        self.read_later(slot);
        Ok(())
    }

    fn transmit(&mut self, net: &mut Net, slot: usize) -> Result<(), Breach> {
        let Some(session) = self.session(slot) else { return Ok(()) };
        let now = net.clock(SERVER);
        if session.is_blocked {
            // What is queued will show that we live, as soon as the peer takes it.
            session.holder.connection.handle_sent(now);
            return Ok(());
        }
        session.holder.transmit(net, now)
    }

    fn flush(&mut self, net: &mut Net) -> Result<(), Breach> {
        for slot in 0..self.sessions.len() {
            let Some(session) = self.session(slot) else { continue };
            session.holder.take_messages(net);
            let written = session.holder.write(net);
            let was_blocked =
                core::mem::replace(&mut session.is_blocked, !session.holder.outbox.is_empty());
            if was_blocked && !session.is_blocked {
                self.transmit(net, slot)?;
                // The beat that was held up was due, so that only the limit was waited for.
                self.arm(slot);
            }
            let Some(session) = self.session(slot) else { continue };
            if let Err(error) = written.and_then(|()| session.holder.write(net)) {
                // What the client said before it went is still there to be read.
                self.read(net, slot, true, Arrival::Earlier)?;
                self.end(slot, End::Failed(error));
            }
        }
        Ok(())
    }

    // Deadlines.

    /// Sets the session's timer, unless it is set for an earlier time.
    fn arm(&mut self, slot: usize) {
        let Some(session) = self.session(slot) else { return };
        let Some(deadline) = session.holder.connection.poll_timeout() else { return };
        if self.wheel.armed(key(slot)).is_none_or(|armed| deadline < armed) {
            self.wheel.insert(key(slot), deadline);
        }
    }

    fn handle_timeouts(&mut self, net: &mut Net) -> Result<(), Breach> {
        if self.wheel.next_wake().is_none_or(|wake| wake > self.awake_at) {
            return Ok(());
        }
        let until = net.clock(SERVER);
        self.notice_suspend(net, until);
        loop {
            let wake = self.wheel.next_wake();
            self.watch.handle_sleep(wake);
            net.host(SERVER).handle_sleep(wake);
            let now = net.clock(SERVER);
            self.notice_stall(net, now);
            let Some(key) = self.wheel.poll(until) else { return Ok(()) };
            let slot = usize::try_from(key).unwrap_or(usize::MAX);
            self.judge(net, slot, now)?;
            // It would come at once again.
            if !self.session(slot).is_some_and(|session| session.holder.lets_pass()) {
                self.arm(slot);
            }
        }
    }

    fn judge(&mut self, net: &mut Net, slot: usize, now: Instant) -> Result<(), Breach> {
        let reads_first = !self.terms.server.is(Broken::JudgesBeforeReading);
        let Some(session) = self.session(slot) else { return Ok(()) };
        // On v1 a beat says what has been heard, so that is looked at before one is sent.
        let says_what_it_heard = session.holder.connection.spoken() == Spoken::V1;
        if reads_first && (says_what_it_heard || session.holder.connection.would_end(now)) {
            self.read(net, slot, false, Arrival::Earlier)?;
            let Some(session) = self.session(slot) else { return Ok(()) };
            if session.is_unread && net.has_news(session.holder.link, Side::Server) {
                session.holder.postpone(net);
            }
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
}

/// When the last byte came, as the kernel tells it: never too early.
fn heard_from_kernel(
    net: &Net,
    link: LinkId,
    now: Instant,
    broken: Option<Broken>,
) -> (Instant, Instant) {
    let about = now.saturating_sub(net.since_last_arrival(link, Side::Server));
    let rounding = match broken {
        Some(Broken::TrustsJiffies) => Duration::ZERO,
        Some(_) | None => net.jiffy + Duration::from_millis(1),
    };
    // One jiffy more, because the count of jiffies itself can lag.
    let lag = if rounding.is_zero() { Duration::ZERO } else { net.jiffy };
    (about.saturating_sub(rounding), about.saturating_add(rounding + lag).min(now))
}

fn key(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX - 1)
}
