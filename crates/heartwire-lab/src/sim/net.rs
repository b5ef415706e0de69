//! The systems of all hosts and the paths between them: everything below the processes.

mod dialling;
mod interrupting;
mod poller;
mod sessions;
mod sockets;
mod systems;
mod watching;

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::{Instant, MIN_PAUSE, Side};

pub(super) use self::poller::Poller;
pub(super) use self::sessions::Cuts;
use super::breach::Breach;
use super::host::{Host, State, Wake};
use super::link::{Link, LinkId, Path, Record, SocketError, Told};
use super::outbox::Outbox;
use super::queue::{Happening, HostId, Queue};
use super::session::Session;
use super::tally::{Ends, Mishaps, Sums};
use super::time::{WorldTime, nanos};
use super::trace::Trace;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes,
    Nothing,
    End,
    Failed(SocketError),
}

/// The result of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialled {
    Connected(LinkId),
    Refused,
    TimedOut,
}

/// Of 2^32 turns of a process that stutters, so many are held up.
const STUTTERS: u32 = u32::MAX / 4 * 3;

/// Longest time that a client waits for an answer to its attempt to connect.
pub(super) const MAX_DIAL: Duration = Duration::from_secs(5);

/// How late processes run, besides what faults do to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lateness {
    /// A timer fires this late at most.
    pub(super) max_timer: Duration,
    /// A process runs this long after its wake-up at most.
    pub(super) max_wake: Duration,
    /// Of 2^32 turns, so many are held up in the middle.
    pub(super) held_up: u32,
    /// For this long at most.
    pub(super) max_held_up: Duration,
    /// Of 2^32 system calls of a process in its turn, so many take time.
    pub(super) interrupted: u32,
    /// This long at most.
    pub(super) max_interrupted: Duration,
}

/// The systems and paths under the processes.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) now: WorldTime,
    pub(super) queue: Queue,
    pub(super) rng: fastrand::Rng,
    pub(super) hosts: Vec<Host>,
    /// By client; the server has one that nothing uses.
    pub(super) paths: Vec<Path>,
    pub(super) links: Vec<Link>,
    /// Sessions that outlive their links, and the first of them that is not over.
    pub(super) sessions: Vec<Session>,
    pub(super) first_session: usize,
    /// How often the server was started.
    pub(super) run: u64,
    /// Clients have an offline queue.
    pub(super) keeps_messages: bool,
    pub(super) cuts: Cuts,
    /// What the server's system has accepted and its process has not.
    pub(super) backlog: VecDeque<LinkId>,
    pub(super) poller: Poller,
    pub(super) is_listening: bool,
    /// Since when the server shuts down, if it does.
    pub(super) drains_since: Option<Instant>,
    /// When the token of all clients was last removed from the server's file, by its clock.
    pub(super) revoked_at: Option<Instant>,
    /// By host: what clients have to send.
    pub(super) outboxes: Vec<Outbox>,
    /// The results of the clients' last attempts.
    pub(super) dialled: Vec<Option<Dialled>>,
    pub(super) attempts: Vec<u32>,
    pub(super) lateness: Lateness,
    /// The length of a jiffy of the server's kernel.
    pub(super) jiffy: Duration,
    pub(super) trace: Trace,
    pub(super) sums: Sums,
    pub(super) mishaps: Mishaps,
    pub(super) ends: Ends,
    /// The ends that are watched.
    pub(super) watched: Vec<(LinkId, Side)>,
    /// The first promise that was found broken.
    pub(super) breach: Option<(Side, Breach)>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "hosts and links are never removed, so that their numbers always name one"
)]
impl Net {
    pub(super) fn log(&mut self, who: &dyn fmt::Display, what: fmt::Arguments<'_>) {
        self.trace.line(self.now, who, what);
    }

    pub(super) fn host(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host]
    }

    pub(super) fn link(&self, link: LinkId) -> &Link {
        &self.links[link]
    }

    pub(super) fn outbox(&mut self, client: HostId) -> &mut Outbox {
        &mut self.outboxes[client]
    }

    pub(super) fn path(&mut self, client: HostId) -> &mut Path {
        &mut self.paths[client]
    }

    /// The time by a host's clock.
    pub(super) fn clock(&self, host: HostId) -> Instant {
        self.hosts[host].clock.read(self.now)
    }

    /// The clocks of a host.
    pub(super) fn read_clocks(&self, host: HostId) -> Wake {
        self.hosts[host].read_clocks(self.now)
    }

    pub(super) fn told(&mut self, link: LinkId, by: Side) -> &mut Told {
        self.links[link].told.of_mut(by)
    }

    pub(super) fn record(&self, link: LinkId, side: Side) -> &Record {
        &self.links[link].sockets.of(side).record
    }

    // Processes and their turns.

    /// The application of a process is busy: it takes no events.
    pub(super) fn is_busy(&self, host: HostId) -> bool {
        self.now < self.hosts[host].busy_until
    }

    /// The application of a client has taken all its events.
    pub(super) fn note_taken(&mut self, host: HostId) {
        self.hosts[host].took_at = self.now;
    }

    /// The application of a client has taken nothing since it was busy.
    pub(super) fn is_behind(&self, host: HostId) -> bool {
        self.hosts[host].took_at < self.hosts[host].busy_until
    }

    /// A process is woken.
    pub(super) fn wake(&mut self, host: HostId) {
        let late = self.draw(self.lateness.max_wake);
        let at = self.now.after(late);
        self.plan_turn(host, at);
    }

    /// Sets the one timer of a process.
    pub(super) fn set_timer(&mut self, host: HostId, at: Option<Instant>) {
        self.end_turn(host);
        let late = self.draw(self.lateness.max_timer);
        let now = self.now;
        let machine = &mut self.hosts[host];
        machine.handle_sleep(at);
        machine.timer_at = at.map(|at| machine.clock.world_time(at).max(now).after(late));
        if let Some(at) = machine.timer_at {
            self.plan_turn(host, at);
        }
    }

    /// Leaves the timer as it is.
    pub(super) fn keep_timer(&mut self, host: HostId, asked_for: Option<Instant>) {
        self.end_turn(host);
        let machine = &mut self.hosts[host];
        machine.handle_sleep(asked_for);
        if let Some(at) = machine.timer_at {
            self.plan_turn(host, at);
        }
    }

    /// Whether the timer of a process has fired. Returned once.
    pub(super) fn timer_rang(&mut self, host: HostId) -> bool {
        let now = self.now;
        self.hosts[host].timer_at.take_if(|at| *at <= now).is_some()
    }

    fn plan_turn(&mut self, host: HostId, at: WorldTime) {
        let machine = &mut self.hosts[host];
        if machine.state != State::Runs || machine.in_turn.is_some() {
            machine.was_woken = true;
            return;
        }
        if machine.turn_at.is_none_or(|planned| at < planned) {
            machine.turn_at = Some(at);
            machine.number += 1;
            self.queue.push(at, Happening::Turn { host, number: machine.number });
        }
    }

    /// A process that could not run can run again.
    pub(super) fn resume_turns(&mut self, host: HostId) {
        let machine = &mut self.hosts[host];
        machine.turn_at = None;
        if machine.in_turn.is_some() {
            machine.number += 1;
            self.queue.push(self.now, Happening::Rest { host, number: machine.number });
            return;
        }
        if core::mem::take(&mut machine.was_woken) {
            self.wake(host);
        }
        if let Some(at) = self.hosts[host].timer_at {
            let at = at.max(self.now);
            self.plan_turn(host, at);
        }
    }

    /// Zero to `most`; often zero.
    pub(super) fn draw(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        Duration::from_nanos(self.rng.u64(0..=nanos(most)))
    }

    fn chance(&mut self, of_2_32: u32) -> bool {
        of_2_32 > 0 && self.rng.u32(..) < of_2_32
    }

    /// Whether the turn that begins now is held up in the middle, and for how long.
    pub(super) fn held_up(&mut self, host: HostId) -> Option<Duration> {
        if self.hosts[host].stutters && self.chance(STUTTERS) {
            return Some(MIN_PAUSE + self.draw(MIN_PAUSE));
        }
        let Lateness { held_up, max_held_up, .. } = self.lateness;
        self.chance(held_up).then(|| self.draw(max_held_up))
    }
}
