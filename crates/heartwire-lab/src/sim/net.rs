//! The systems of all hosts and the paths between them: everything below the processes.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::{Instant, STALL_MIN, Side};

use super::breach::side_name;
use super::host::{Host, State};
use super::link::{Both, Link, LinkId, Path, Record, Socket, SocketError, Told, other};
use super::packet::Packet;
use super::pipe::{Pipe, Retry};
use super::queue::{Happening, HostId, Queue, SERVER};
use super::time::{WorldTime, nanos};
use super::trace::Trace;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Bytes,
    Nothing,
    End,
    Failed(SocketError),
}

/// What an attempt to connect came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialled {
    Connected(LinkId),
    Refused,
    TimedOut,
}

/// Of 2^32 turns of a process that stutters, so many are held up.
const STUTTERS: u32 = u32::MAX / 4 * 3;

/// Longest time that a client waits for an answer to its attempt to connect.
pub(super) const DIAL_MAX: Duration = Duration::from_secs(5);

/// How late processes run, besides what faults do to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lateness {
    /// A timer rings this late at most.
    pub(super) timer_max: Duration,
    /// A process runs this long after its wake-up at most.
    pub(super) wake_max: Duration,
    /// Of 2^32 turns, so many are held up in the middle.
    pub(super) held_up: u32,
    /// For this long at most.
    pub(super) held_up_max: Duration,
}

/// What lies under the processes.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) now: WorldTime,
    pub(super) queue: Queue,
    pub(super) rng: fastrand::Rng,
    pub(super) hosts: Vec<Host>,
    /// By client; the server has one that nothing uses.
    pub(super) paths: Vec<Path>,
    pub(super) links: Vec<Link>,
    /// What the server's system has accepted and its process has not.
    pub(super) backlog: VecDeque<LinkId>,
    /// What the clients' last attempts came to.
    pub(super) dialled: Vec<Option<Dialled>>,
    pub(super) attempts: Vec<u32>,
    pub(super) lateness: Lateness,
    /// The length of a jiffy of the server's kernel.
    pub(super) jiffy: Duration,
    pub(super) trace: Trace,
    pub(super) verdicts: u64,
    pub(super) beats: u64,
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

    pub(super) fn path(&mut self, client: HostId) -> &mut Path {
        &mut self.paths[client]
    }

    /// The time by a host's clock.
    pub(super) fn clock(&self, host: HostId) -> Instant {
        self.hosts[host].clock.read(self.now)
    }

    pub(super) fn told(&mut self, link: LinkId, by: Side) -> &mut Told {
        self.links[link].told.of_mut(by)
    }

    pub(super) fn record(&self, link: LinkId, side: Side) -> &Record {
        &self.links[link].sockets.of(side).record
    }

    // Processes and their turns.

    /// The owner of a process takes nothing at the moment.
    pub(super) fn is_busy(&self, host: HostId) -> bool {
        self.now < self.hosts[host].busy_until
    }

    /// Something happened that a process waits for.
    pub(super) fn wake(&mut self, host: HostId) {
        let late = self.draw(self.lateness.wake_max);
        let at = self.now.after(late);
        self.plan_turn(host, at);
    }

    /// Sets the one timer of a process.
    pub(super) fn set_timer(&mut self, host: HostId, at: Option<Instant>) {
        let late = self.draw(self.lateness.timer_max);
        let now = self.now;
        let machine = &mut self.hosts[host];
        machine.timer_at = at.map(|at| machine.clock.world_time(at).max(now).after(late));
        if let Some(at) = machine.timer_at {
            self.plan_turn(host, at);
        }
    }

    /// Leaves the timer as it is.
    pub(super) fn keep_timer(&mut self, host: HostId) {
        if let Some(at) = self.hosts[host].timer_at {
            self.plan_turn(host, at);
        }
    }

    /// Whether the timer of a process has rung. It is told once.
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

    /// Zero to `most`; often nothing at all.
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
            return Some(STALL_MIN + self.draw(STALL_MIN));
        }
        let Lateness { held_up, held_up_max, .. } = self.lateness;
        self.chance(held_up).then(|| self.draw(held_up_max))
    }

    // Connecting.

    /// A client asks for a connection. The outcome comes as [`Happening::Dialled`].
    pub(super) fn dial(&mut self, host: HostId) {
        self.attempts[host] += 1;
        let attempt = self.attempts[host];
        let path = self.paths[host];
        let jitter = self.draw(path.jitter * 2);
        let lost = self.chance(path.loss);
        let takes = if path.cut.client || path.cut.server || !self.hosts[SERVER].state.has_system()
        {
            DIAL_MAX
        } else {
            // A lost SYN is sent again after a second.
            path.delay * 2 + jitter + Duration::from_secs(lost.into())
        };
        self.queue.push(self.now.after(takes.min(DIAL_MAX)), Happening::Dialled { host, attempt });
    }

    pub(super) fn handle_dialled(&mut self, host: HostId, attempt: u32) {
        if attempt != self.attempts[host] || !self.hosts[host].state.has_process() {
            return;
        }
        let path = self.paths[host];
        let server = self.hosts[SERVER].state;
        let outcome = if path.cut.client || path.cut.server || !server.has_system() {
            Dialled::TimedOut
        } else if !server.has_process() || !self.hosts[host].state.has_system() {
            Dialled::Refused
        } else {
            let link = self.links.len();
            let (client, by_client) = (host, self.clock(host));
            let by_server = self.clock(SERVER);
            self.links.push(Link {
                path: host,
                sockets: Both {
                    client: Socket::new(client, by_client, self.now),
                    server: Socket::new(SERVER, by_server, self.now),
                },
                pipes: Both { client: Pipe::new(), server: Pipe::new() },
                told: Both::default(),
                seen_at: self.now,
                is_forgotten: false,
                is_calm: path.is_calm() && self.is_calm(client) && self.is_calm(SERVER),
            });
            self.backlog.push_back(link);
            self.wake(SERVER);
            Dialled::Connected(link)
        };
        self.dialled[host] = Some(outcome);
        self.wake(host);
    }

    /// What the last attempt came to. It is told once.
    pub(super) fn take_dialled(&mut self, host: HostId) -> Option<Dialled> {
        self.dialled[host].take()
    }

    fn is_calm(&self, host: HostId) -> bool {
        let machine = &self.hosts[host];
        machine.state == State::Runs && machine.in_turn.is_none() && !self.is_busy(host)
    }

    // What processes do with their sockets.

    /// Reads at most `most` bytes.
    pub(super) fn read(
        &mut self,
        link: LinkId,
        side: Side,
        buffer: &mut Vec<u8>,
        most: u64,
    ) -> Read {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let pipe = pipes.of_mut(other(side));
        if pipe.take(buffer, most) > 0 {
            if pipe.has_news_of_room() {
                self.acknowledge(link, side);
            }
            return Read::Bytes;
        }
        match sockets.of(side).error {
            Some(error) => Read::Failed(error),
            None if pipe.has_ended() => Read::End,
            None => Read::Nothing,
        }
    }

    /// Bytes that a read would find.
    pub(super) fn readable(&self, link: LinkId, side: Side) -> u64 {
        self.links[link].pipes.of(other(side)).readable()
    }

    /// Whether a read would find anything: bytes, an end or an error.
    pub(super) fn has_news(&self, link: LinkId, side: Side) -> bool {
        let Link { sockets, pipes, .. } = &self.links[link];
        let pipe = pipes.of(other(side));
        pipe.readable() > 0 || pipe.has_ended() || sockets.of(side).error.is_some()
    }

    /// Writes as much as fits. Returns how much that was.
    pub(super) fn write(
        &mut self,
        link: LinkId,
        side: Side,
        bytes: &[u8],
    ) -> Result<usize, SocketError> {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let socket = sockets.of_mut(side);
        if let Some(error) = socket.error {
            return Err(error);
        }
        let len = pipes.of_mut(side).write(bytes);
        socket.is_blocked = len < bytes.len();
        self.push_out(link, side);
        Ok(len)
    }

    /// Lets the process sleep until there are `mark` bytes to read.
    pub(super) fn set_mark(&mut self, link: LinkId, side: Side, mark: u64) {
        let socket = self.links[link].sockets.of_mut(side);
        socket.mark = mark;
        if self.readable(link, side) >= mark {
            self.make_ready(link, side);
        }
    }

    /// The time since bytes last came, as the kernel tells it: in jiffies, as milliseconds.
    pub(super) fn since_last_arrival(&self, link: LinkId, side: Side) -> Duration {
        let jiffy = nanos(self.jiffy).max(1);
        let socket = self.links[link].sockets.of(side);
        let jiffies = |at: Instant| at.as_nanos() / jiffy;
        let passed = jiffies(self.clock(socket.host)) - jiffies(socket.record.last);
        Duration::from_millis((passed * jiffy).div_ceil(1_000_000))
    }

    /// By how much the time of bytes that did not wake the server can be off: what the kernel tells
    /// in jiffies, a jiffy and a millisecond for how it rounds, and a jiffy for how it counts.
    pub(super) fn rounding(&self) -> Duration {
        self.jiffy * 3 + Duration::from_millis(1)
    }

    /// Whether the process has to look at a socket. It is told once.
    pub(super) fn take_ready(&mut self, link: LinkId, side: Side) -> bool {
        core::mem::take(&mut self.links[link].sockets.of_mut(side).is_ready)
    }

    /// The process can read what is in a socket now.
    pub(super) fn note_turn(&mut self, link: LinkId, side: Side) {
        let host = self.links[link].sockets.of(side).host;
        let now = self.clock(host);
        self.links[link].sockets.of_mut(side).record.turn.get_or_insert(now);
    }

    /// The process closes its socket, or dies, which is the same for its peer. With bytes unread it
    /// is a reset, as on Linux.
    pub(super) fn close(&mut self, link: LinkId, side: Side) {
        if self.readable(link, side) > 0 {
            return self.abort(link, side);
        }
        self.links[link].sockets.of_mut(side).is_held = false;
        self.links[link].pipes.of_mut(side).close();
        self.push_out(link, side);
    }

    /// The process closes its socket so that its system forgets it and says so.
    pub(super) fn abort(&mut self, link: LinkId, side: Side) {
        self.vanish(link, side);
        self.transit(link, side, Packet::Reset);
    }

    /// The system forgets a socket and says nothing.
    pub(super) fn vanish(&mut self, link: LinkId, side: Side) {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let socket = sockets.of_mut(side);
        socket.is_held = false;
        socket.is_gone = true;
        pipes.of_mut(side).retry_at = None;
    }

    /// A process is gone. Its system tells the peers, unless it is gone too.
    pub(super) fn drop_sockets(&mut self, host: HostId, tells: bool) {
        self.attempts[host] += 1;
        self.dialled[host] = None;
        for link in 0..self.links.len() {
            for side in [Side::Client, Side::Server] {
                let socket = self.links[link].sockets.of(side);
                if socket.host != host || socket.is_gone {
                    continue;
                }
                if !tells {
                    self.vanish(link, side);
                } else if socket.is_held {
                    self.close(link, side);
                }
            }
        }
    }

    /// Something on a client's path tells both ends of its connections that there are none.
    pub(super) fn reset_all(&mut self, client: HostId) {
        let now = self.now;
        for link in 0..self.links.len() {
            if self.links[link].path == client {
                for to in [Side::Client, Side::Server] {
                    let packet = Packet::Reset;
                    self.queue.push(now, Happening::Packet { link, to, packet });
                }
            }
        }
    }

    // What systems do by themselves.

    pub(super) fn make_ready(&mut self, link: LinkId, side: Side) {
        let socket = self.links[link].sockets.of_mut(side);
        if !socket.is_held {
            return;
        }
        socket.is_ready = true;
        let host = socket.host;
        self.wake(host);
    }

    /// Sends what may be sent.
    fn push_out(&mut self, link: LinkId, from: Side) {
        let Link { path, sockets, .. } = &self.links[link];
        let socket = sockets.of(from);
        if socket.is_gone || !self.hosts[socket.host].state.has_system() {
            return;
        }
        let segment_max = self.paths[*path].segment_max;
        while let Some((start, until)) =
            self.links[link].pipes.of_mut(from).next_segment(segment_max)
        {
            self.transit(link, from, Packet::Bytes { from: start, until });
        }
        self.plan_retry(link, from);
    }

    fn plan_retry(&mut self, link: LinkId, from: Side) {
        let round_trip = self.paths[self.links[link].path].round_trip();
        let pipe = self.links[link].pipes.of_mut(from);
        if !pipe.needs_timer() {
            return;
        }
        let at = *pipe.retry_at.get_or_insert(self.now.after(pipe.retry_after(round_trip)));
        if pipe.retry_planned.is_none_or(|planned| at < planned) {
            pipe.retry_planned = Some(at);
            self.queue.push(at, Happening::Retransmit { link, from });
        }
    }

    pub(super) fn handle_retransmit(&mut self, link: LinkId, from: Side) {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let pipe = pipes.of_mut(from);
        if pipe.retry_planned.is_none_or(|planned| planned > self.now) {
            return;
        }
        pipe.retry_planned = None;
        let socket = sockets.of_mut(from);
        if socket.is_gone || !self.hosts[socket.host].state.has_system() {
            return;
        }
        let Some(at) = pipe.retry_at else { return };
        if at > self.now {
            return self.plan_retry(link, from);
        }
        pipe.retry_at = None;
        match pipe.handle_retry() {
            Retry::Nothing => {}
            Retry::GiveUp => {
                socket.error = Some(SocketError::TimedOut);
                socket.is_gone = true;
                self.make_ready(link, from);
            }
            Retry::Again => self.push_out(link, from),
            Retry::Probe => {
                let arrived = pipe.acked();
                self.transit(link, from, Packet::Bytes { from: arrived, until: arrived });
                self.plan_retry(link, from);
            }
        }
    }

    /// A machine has its power or its processor back: what its system had to send is sent.
    pub(super) fn resume_system(&mut self, host: HostId) {
        for link in 0..self.links.len() {
            for side in [Side::Client, Side::Server] {
                let Link { sockets, pipes, .. } = &mut self.links[link];
                if sockets.of(side).host == host && pipes.of(side).retry_at.is_some() {
                    self.plan_retry(link, side);
                }
            }
        }
    }

    /// Puts a packet on its way to the other end.
    fn transit(&mut self, link: LinkId, from: Side, packet: Packet) {
        let client = self.links[link].path;
        let path = self.paths[client];
        if *path.cut.of(from) || self.chance(path.loss) {
            self.links[link].is_calm = false;
            return;
        }
        if !self.pass_middlebox(link, from, &path) {
            return;
        }
        if let Packet::Bytes { until, .. } = packet
            && *path.swallowed.of(from)
        {
            self.links[link].is_calm = false;
            let ack = Packet::Ack { until, room: u64::MAX };
            let at = self.now.after(path.delay);
            self.queue.push(at, Happening::Packet { link, to: from, packet: ack });
            return;
        }
        let busy_until = self.paths[client].busy_until.of_mut(from);
        let leaves_at = self.now.max(*busy_until);
        *busy_until = leaves_at.after(path.pace);
        let under_way = path.delay + self.draw(path.jitter);
        let at = leaves_at.after(under_way);
        self.queue.push(at, Happening::Packet { link, to: other(from), packet });
    }

    /// Whether the middlebox of a path, if there is one, lets a packet through.
    fn pass_middlebox(&mut self, link: LinkId, from: Side, path: &Path) -> bool {
        let now = self.now;
        let it = &mut self.links[link];
        let Some(nat) = path.nat else {
            it.seen_at = now;
            return true;
        };
        it.is_forgotten |= now.since(it.seen_at) > nat.expiry;
        if it.is_forgotten && nat.is_loose && from == Side::Client {
            it.is_forgotten = false;
        }
        if !it.is_forgotten {
            it.seen_at = now;
            return true;
        }
        it.is_calm = false;
        if nat.resets {
            let packet = Packet::Reset;
            self.queue.push(now.after(path.delay), Happening::Packet { link, to: from, packet });
        }
        false
    }

    fn acknowledge(&mut self, link: LinkId, side: Side) {
        let pipe = self.links[link].pipes.of_mut(other(side));
        let packet = Packet::Ack { until: pipe.arrived(), room: pipe.tell_room() };
        self.transit(link, side, packet);
    }

    /// A packet came to an end.
    pub(super) fn handle_packet(&mut self, link: LinkId, to: Side, packet: Packet) {
        let Link { sockets, pipes, is_calm, .. } = &mut self.links[link];
        let socket = sockets.of_mut(to);
        if !self.hosts[socket.host].state.has_system() {
            *is_calm = false;
            return;
        }
        if socket.is_gone {
            if let Packet::Bytes { .. } = packet {
                self.transit(link, to, Packet::Reset);
            }
            return;
        }
        match packet {
            Packet::Bytes { from, until } => self.handle_bytes(link, to, from, until),
            Packet::Ack { until, room } => {
                let has_room = pipes.of_mut(to).handle_ack(until, room);
                if has_room && core::mem::take(&mut socket.is_blocked) && socket.is_held {
                    let host = socket.host;
                    self.wake(host);
                }
                self.push_out(link, to);
            }
            Packet::Reset => {
                socket.error.get_or_insert(SocketError::Reset);
                socket.is_gone = true;
                pipes.of_mut(to).retry_at = None;
                self.make_ready(link, to);
            }
        }
    }

    fn handle_bytes(&mut self, link: LinkId, to: Side, from: u64, until: u64) {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let socket = sockets.of_mut(to);
        let pipe = pipes.of_mut(other(to));
        let was_readable = pipe.readable();
        let is_new = pipe.arrive(from, until);
        let readable = pipe.readable();
        if !socket.is_held {
            if readable > was_readable {
                // Nobody will read it.
                self.abort(link, to);
                return;
            }
        } else if is_new {
            let ends = pipe.has_ended();
            let wakes = readable >= socket.mark || ends;
            if readable > was_readable {
                let last = self.hosts[socket.host].clock.read(self.now);
                let arrivals = socket.record.arrivals + 1;
                let last_at = self.now;
                socket.record = Record { arrivals, last, last_at, woke: wakes, turn: None };
                let woke = if wakes { "" } else { ", which wake nobody" };
                self.trace.line(
                    self.now,
                    &format_args!("{:<8} #{link}", side_name(to)),
                    format_args!("{} bytes arrive{woke}", readable - was_readable),
                );
            }
            if wakes {
                self.make_ready(link, to);
            }
        }
        self.acknowledge(link, to);
    }
}
