//! What processes do with their sockets, and what happens to the sockets.

use core::time::Duration;

use heartwire::internal::Way;
use heartwire_core::internal::arrival;
use heartwire_core::{Instant, Side};
use heartwire_plan::Mechanism;

use super::{Net, Read};
use crate::sim::ledger::len_of;
use crate::sim::link::{Both, Ended, Link, LinkId, Nat, SocketError, other};
use crate::sim::packet::Packet;
use crate::sim::pipe::first_retry_after;
use crate::sim::queue::{Happening, HostId};
use crate::sim::time::nanos;

#[expect(
    clippy::indexing_slicing,
    reason = "hosts and links are never removed, so that their numbers always name one"
)]
impl Net {
    /// Reads at most `most` bytes.
    pub(in crate::sim) fn read(
        &mut self,
        link: LinkId,
        side: Side,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Read {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let pipe = pipes.of_mut(other(side));
        let had = buffer.len();
        let has_taken = pipe.take(buffer, len_of(most)) > 0;
        let has_news_of_room = has_taken && pipe.has_news_of_room();
        if pipe.readable() == 0 {
            // The process can know of all bytes in the buffer.
            let socket = sockets.of_mut(side);
            let now = self.hosts[socket.host].clock.read(self.now);
            socket.record.turn.get_or_insert(now);
        }
        if has_taken {
            if has_news_of_room {
                self.acknowledge(link, side);
            }
            self.observe_read(link, side, buffer.get(had..).unwrap_or_default());
            return Read::Bytes;
        }
        let Link { sockets, pipes, .. } = &self.links[link];
        let pipe = pipes.of(other(side));
        match sockets.of(side).error {
            // The peer closed before: this is only its system's answer to late bytes.
            Some(SocketError::Reset) | None if pipe.has_ended() => Read::End,
            Some(error) => Read::Failed(error),
            None => Read::Nothing,
        }
    }

    /// Bytes that a read would find.
    pub(in crate::sim) fn readable(&self, link: LinkId, side: Side) -> u64 {
        self.links[link].pipes.of(other(side)).readable()
    }

    /// Whether all that the peer wrote before it closed has arrived, and its end.
    pub(in crate::sim) fn has_ended(&self, link: LinkId, side: Side) -> bool {
        self.links[link].pipes.of(other(side)).has_ended()
    }

    /// Whether a read would find anything: bytes, an end or an error.
    pub(in crate::sim) fn has_news(&self, link: LinkId, side: Side) -> bool {
        let Link { sockets, pipes, .. } = &self.links[link];
        let pipe = pipes.of(other(side));
        pipe.readable() > 0 || pipe.has_ended() || sockets.of(side).error.is_some()
    }

    /// Writes as much as fits. Returns how much that was.
    pub(in crate::sim) fn write(
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
        self.observe_write(link, side, bytes, len);
        self.push_out(link, side);
        Ok(len)
    }

    /// Since when the process need not wait to write; `None` while it does, or cannot at all.
    pub(in crate::sim) fn free_since(&self, link: LinkId, side: Side) -> Option<Instant> {
        let socket = self.links[link].sockets.of(side);
        (!socket.is_blocked && socket.error.is_none()).then_some(socket.free_since)
    }

    /// Lets the process sleep until there are `mark` bytes to read.
    pub(in crate::sim) fn set_mark(&mut self, link: LinkId, side: Side, mark: u64) {
        let socket = self.links[link].sockets.of_mut(side);
        socket.mark = mark;
        if self.readable(link, side) >= mark {
            self.make_ready(link, side);
        }
    }

    /// The time since bytes last came, as the kernel reports it: in jiffies, as milliseconds.
    pub(in crate::sim) fn since_last_arrival(&self, link: LinkId, side: Side) -> Duration {
        let jiffy = nanos(self.jiffy).max(1);
        let socket = self.links[link].sockets.of(side);
        let jiffies = |at: Instant| at.as_nanos() / jiffy;
        let passed = jiffies(self.clock(socket.host)) - jiffies(socket.record.last);
        Duration::from_millis((passed * jiffy).div_ceil(1_000_000))
    }

    /// How long the process that holds an end has been awake.
    pub(in crate::sim) fn since_turn(&self, link: LinkId, side: Side) -> Duration {
        let host = self.links[link].sockets.of(side).host;
        self.clock(host).saturating_since(self.hosts[host].awake_at())
    }

    /// How imprecise the time of arrival can be: a jiffy and a millisecond for the kernel's
    /// rounding, a jiffy for its counting, and the time within which the kernel need not be asked.
    pub(in crate::sim) fn rounding(&self) -> Duration {
        (self.jiffy * 3 + Duration::from_millis(1)).max(arrival::MAX_SPAN)
    }

    /// The process knows when it runs next whether there is something to read.
    pub(in crate::sim) fn note_told(&mut self, link: LinkId, side: Side) {
        let has_news = self.has_news(link, side);
        self.links[link].sockets.of_mut(side).was_told = has_news;
    }

    /// Whether the process was told that there is something to read. Returned once.
    pub(in crate::sim) fn was_told(&mut self, link: LinkId, side: Side) -> bool {
        core::mem::take(&mut self.links[link].sockets.of_mut(side).was_told)
    }

    /// The process closes its socket, or dies, which looks the same to its peer. With bytes unread
    /// it is a reset, as on Linux.
    pub(in crate::sim) fn close(&mut self, link: LinkId, side: Side) {
        if self.readable(link, side) > 0 {
            return self.abort(link, side);
        }
        self.links[link].sockets.of_mut(side).is_held = false;
        self.links[link].pipes.of_mut(side).close();
        self.push_out(link, side);
    }

    /// The process has written everything, and keeps reading.
    pub(in crate::sim) fn shutdown_writing(&mut self, link: LinkId, side: Side) {
        self.links[link].pipes.of_mut(side).close();
        self.push_out(link, side);
        self.note_last_word(link, side);
    }

    /// Bytes that were written and are not acknowledged; an end counts as one.
    pub(in crate::sim) fn unacknowledged(&self, link: LinkId, side: Side) -> Option<usize> {
        usize::try_from(self.links[link].pipes.of(side).unacknowledged()).ok()
    }

    /// The path to the peer, while bytes are unacknowledged.
    pub(in crate::sim) fn way(&self, link: LinkId, side: Side) -> Option<Way> {
        let Link { sockets, pipes, .. } = &self.links[link];
        let (socket, pipe) = (sockets.of(side), pipes.of(side));
        let quiet = self.clock(socket.host).saturating_since(socket.last_packet);
        let way = Way { quiet, is_tried: pipe.has_sent() };
        (pipe.unacknowledged() > 0).then_some(way)
    }

    /// How long the system waits for an acknowledgement before it sends again for the first time.
    pub(in crate::sim) fn resends_after(&self, link: LinkId) -> Duration {
        first_retry_after(self.paths[self.links[link].path].round_trip())
    }

    /// The process closes its socket with a reset.
    pub(in crate::sim) fn abort(&mut self, link: LinkId, side: Side) {
        let was_gone = self.links[link].sockets.of(side).is_gone;
        self.vanish(link, side);
        if !was_gone {
            self.transit(link, side, Packet::Reset);
        }
    }

    /// The system forgets a socket silently.
    pub(in crate::sim) fn vanish(&mut self, link: LinkId, side: Side) {
        let Link { sockets, pipes, .. } = &mut self.links[link];
        let socket = sockets.of_mut(side);
        socket.is_held = false;
        socket.is_gone = true;
        pipes.of_mut(side).retry_at = None;
    }

    /// A process is gone. Its system resets its connections, unless it is gone too.
    pub(in crate::sim) fn drop_sockets(&mut self, host: HostId, tells: bool) {
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

    /// A middlebox on a client's path forgets its connections, and makes no new entries for them.
    pub(in crate::sim) fn forget_all(&mut self, client: HostId, resets: bool) {
        self.paths[client].nat = Some(Nat { expiry: Duration::MAX, is_loose: false, resets });
        for link in self.links.iter_mut().filter(|link| link.path == client) {
            link.is_forgotten = true;
        }
    }

    /// Whether no packet is in flight to or from a client, and all bytes were read, except those
    /// that a server leaves in its kernel.
    pub(in crate::sim) fn is_quiet(&self, client: HostId) -> bool {
        let mut links = self.links.iter().filter(|link| link.path == client);
        links.all(|Link { pipes: Both { client, server }, sockets, .. }| {
            let has_read = client.readable() == 0 || sockets.server.mark > 1;
            client.is_quiet() && server.is_quiet() && server.readable() == 0 && has_read
        })
    }

    /// An end found out that its connection is over.
    pub(in crate::sim) fn note_end(&mut self, link: LinkId, side: Side, by: Mechanism) {
        let at = self.now;
        self.links[link].ends.of_mut(side).get_or_insert(Ended { at, by });
    }

    /// Something on a client's path tells the client that there are no such connections, and lets
    /// nothing of them through from now on.
    pub(in crate::sim) fn sever_all(&mut self, client: HostId) {
        let now = self.now;
        for link in 0..self.links.len() {
            let it = &mut self.links[link];
            if it.path == client && !it.is_severed {
                it.is_severed = true;
                it.is_calm = false;
                let Both { client, server } = &it.sockets;
                self.mishaps.severed += u64::from(client.is_held && server.is_held);
                let packet = Packet::Reset;
                self.queue.push(now, Happening::Packet { link, to: Side::Client, packet });
            }
        }
    }

    /// Something on a client's path tells both ends of its connections that there are none.
    pub(in crate::sim) fn reset_all(&mut self, client: HostId) {
        let now = self.now;
        for link in 0..self.links.len() {
            if self.links[link].path == client {
                let Both { client, server } = &self.links[link].sockets;
                self.mishaps.reset += u64::from(client.is_held && server.is_held);
                for to in [Side::Client, Side::Server] {
                    let packet = Packet::Reset;
                    self.queue.push(now, Happening::Packet { link, to, packet });
                }
            }
        }
    }
}
