//! The systems and middleboxes.

use core::time::Duration;

use heartwire_core::Side;

use super::Net;
use crate::sim::breach::side_name;
use crate::sim::draw::MS;
use crate::sim::link::{Both, Link, LinkId, Path, Record, SocketError, other};
use crate::sim::packet::Packet;
use crate::sim::pipe::Retry;
use crate::sim::queue::{Happening, HostId};
use crate::sim::trouble::MAX_DRIBBLE;

#[expect(
    clippy::indexing_slicing,
    reason = "hosts and links are never removed, so that their numbers always name one"
)]
impl Net {
    pub(in crate::sim) fn make_ready(&mut self, link: LinkId, side: Side) {
        let socket = self.links[link].sockets.of_mut(side);
        if !socket.is_held {
            return;
        }
        socket.is_ready = true;
        let (host, is_watched) = (socket.host, socket.slot.is_some());
        match side {
            Side::Client => self.wake(host),
            Side::Server if is_watched => self.note_news(link),
            Side::Server => {}
        }
    }

    /// Sends what may be sent.
    pub(super) fn push_out(&mut self, link: LinkId, from: Side) {
        let Link { path, sockets, .. } = &self.links[link];
        let socket = sockets.of(from);
        if socket.is_gone || !self.hosts[socket.host].state.has_system() {
            return;
        }
        let max_segment = self.paths[*path].max_segment;
        while let Some((start, until)) =
            self.links[link].pipes.of_mut(from).next_segment(max_segment)
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

    pub(in crate::sim) fn handle_retransmit(&mut self, link: LinkId, from: Side) {
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
        match pipe.handle_retry(self.now) {
            Retry::Nothing => {}
            Retry::GiveUp => {
                socket.error = Some(SocketError::TimedOut);
                socket.is_gone = true;
                self.make_ready(link, from);
                if from == Side::Server {
                    self.make_writable(link);
                }
            }
            Retry::Again => {
                self.mishaps.sent_again += 1;
                self.push_out(link, from);
            }
            Retry::Probe => {
                self.mishaps.window_probes += 1;
                let arrived = pipe.acked();
                self.transit(link, from, Packet::Bytes { from: arrived, until: arrived });
                self.plan_retry(link, from);
            }
        }
    }

    /// A machine runs again: its system sends what was due.
    pub(in crate::sim) fn resume_system(&mut self, host: HostId) {
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
    pub(super) fn transit(&mut self, link: LinkId, from: Side, packet: Packet) {
        let client = self.links[link].path;
        let path = self.paths[client];
        if self.links[link].is_severed || self.is_cut(&path, from) || self.is_lost(&path) {
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
            self.mishaps.swallowed += 1;
            let ack = Packet::Ack { until, room: u64::MAX };
            let at = self.now.after(path.delay);
            self.queue.push(at, Happening::Packet { link, to: from, packet: ack });
            return;
        }
        let busy_until = self.paths[client].busy_until.of_mut(from);
        let leaves_at = self.now.max(*busy_until);
        *busy_until = leaves_at.after(path.pace);
        let under_way = path.delay + self.draw(path.jitter);
        let mut at = leaves_at.after(under_way);
        let last = self.paths[client].last_arrival.of_mut(from);
        if path.is_in_order {
            // Not at the same time either, because their order would be random.
            at = at.max(last.after(Duration::from_nanos(1)));
        }
        self.mishaps.reordered += u64::from(at < *last);
        *last = at.max(*last);
        self.mishaps.delayed += u64::from(under_way >= MS);
        self.mishaps.jittered += u64::from(under_way > path.delay);
        self.mishaps.dribbled += u64::from(path.max_segment <= MAX_DRIBBLE);
        self.queue.push(at, Happening::Packet { link, to: other(from), packet });
    }

    fn is_cut(&mut self, path: &Path, from: Side) -> bool {
        let Both { client, server } = path.cut;
        let count = match (client, server, from) {
            (true, true, _) => &mut self.mishaps.cut_both_ways,
            (true, false, Side::Client) => &mut self.mishaps.cut_to_server,
            (false, true, Side::Server) => &mut self.mishaps.cut_to_client,
            (true, false, Side::Server) | (false, true, Side::Client) | (false, false, _) => {
                return false;
            }
        };
        *count += 1;
        true
    }

    fn is_lost(&mut self, path: &Path) -> bool {
        let is_lost = self.chance(path.loss);
        self.mishaps.lost += u64::from(is_lost);
        is_lost
    }

    /// Whether the middlebox of a path, if there is one, lets a packet through.
    fn pass_middlebox(&mut self, link: LinkId, from: Side, path: &Path) -> bool {
        let now = self.now;
        let it = &mut self.links[link];
        let Some(nat) = path.nat else {
            it.seen_at = now;
            return true;
        };
        if !it.is_forgotten && now.since(it.seen_at) > nat.expiry {
            it.is_forgotten = true;
            self.mishaps.nat_expired += 1;
        }
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

    pub(super) fn acknowledge(&mut self, link: LinkId, side: Side) {
        let pipe = self.links[link].pipes.of_mut(other(side));
        let packet = Packet::Ack { until: pipe.arrived(), room: pipe.tell_room() };
        self.transit(link, side, packet);
    }

    /// A packet came to an end.
    pub(in crate::sim) fn handle_packet(&mut self, link: LinkId, to: Side, packet: Packet) {
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
        socket.last_packet = self.hosts[socket.host].clock.read(self.now);
        match packet {
            Packet::Bytes { from, until } => self.handle_bytes(link, to, from, until),
            Packet::Ack { until, room } => {
                let has_room = pipes.of_mut(to).handle_ack(until, room);
                if has_room && core::mem::take(&mut socket.is_blocked) && socket.is_held {
                    let host = socket.host;
                    socket.free_since = self.hosts[host].clock.read(self.now);
                    match to {
                        Side::Client => self.wake(host),
                        Side::Server => self.make_writable(link),
                    }
                }
                self.push_out(link, to);
            }
            Packet::Reset => {
                socket.error.get_or_insert(SocketError::Reset);
                socket.is_gone = true;
                pipes.of_mut(to).retry_at = None;
                self.make_ready(link, to);
                if to == Side::Server {
                    self.make_writable(link);
                }
            }
        }
    }

    fn handle_bytes(&mut self, link: LinkId, to: Side, from: u64, until: u64) {
        let until = self.cut_in_time(link, other(to), until);
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let socket = sockets.of_mut(to);
        let pipe = pipes.of_mut(other(to));
        let was_readable = pipe.readable();
        let is_new = pipe.arrive(from, until);
        let readable = pipe.readable();
        if !socket.is_held {
            if readable > was_readable {
                // No process will read it.
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
                socket.record = Record { arrivals, last, last_at, turn: None };
                let woke = if wakes { "" } else { ", which wake no process" };
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
