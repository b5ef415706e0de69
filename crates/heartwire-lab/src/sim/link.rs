//! One connection between two hosts, and the path that it takes.

use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::{Instant, Side};
use heartwire_plan::Mechanism;

use super::ledger::len_of;
use super::observer::Observer;
use super::pipe::{CONGESTION_FIRST, Pipe};
use super::queue::HostId;
use super::server::MAX_QUEUE;
use super::time::WorldTime;

pub(super) type LinkId = usize;

/// A pair of values, one for each end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    pub(super) client: T,
    pub(super) server: T,
}

impl<T> Both<T> {
    pub(super) const fn of(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(super) const fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

pub(super) const fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

/// Why a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketError {
    /// The other end has no such connection.
    Reset,
    /// Nothing was acknowledged for too long.
    TimedOut,
}

/// The arrival of bytes at an end, by that end's clock. The oracle checks verdicts with it,
/// whatever the process did with those bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// How often bytes arrived.
    pub(super) arrivals: u64,
    /// When the last did.
    pub(super) last: Instant,
    /// The same by the clock of the world.
    pub(super) last_at: WorldTime,
    /// When the process could first read them, if it could.
    pub(super) turn: Option<Instant>,
}

/// One end of a link, as its system sees it.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) host: HostId,
    /// The process holds it. One that was closed may still have bytes to send.
    pub(super) is_held: bool,
    /// The system knows nothing of it any more.
    pub(super) is_gone: bool,
    pub(super) error: Option<SocketError>,
    /// Bytes in its buffer that wake the process.
    pub(super) mark: u64,
    /// There is an event that the process has not handled.
    pub(super) is_ready: bool,
    /// It was told that there is something to read.
    pub(super) was_told: bool,
    /// Its id in a server's poller, if watched; whether the poller should report that it is
    /// writable, and whether it is.
    pub(super) slot: Option<u32>,
    pub(super) waits_to_write: bool,
    pub(super) is_writable: bool,
    /// When any packet last came, even an acknowledgement.
    pub(super) last_packet: Instant,
    /// The process waits until it can write.
    pub(super) is_blocked: bool,
    /// Since when it need not.
    pub(super) free_since: Instant,
    pub(super) record: Record,
}

impl Socket {
    pub(super) const fn new(host: HostId, now: Instant, now_at: WorldTime) -> Self {
        Self {
            host,
            is_held: true,
            is_gone: false,
            error: None,
            mark: 1,
            is_ready: false,
            was_told: false,
            slot: None,
            waits_to_write: false,
            is_writable: false,
            last_packet: now,
            is_blocked: false,
            free_since: now,
            record: Record { arrivals: 0, last: now, last_at: now_at, turn: None },
        }
    }
}

/// What an application sent, to compare with what arrives at the other end.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Bodies that have not come out: those of a server's application when they were sent, those
    /// of a client's when they were written.
    pub(super) bodies: VecDeque<Body>,
    /// Bytes of bodies that were sent.
    pub(super) sent: u64,
    /// Frames of data that were written whole, and bodies that came out.
    pub(super) written: u64,
    pub(super) delivered_frames: u64,
    /// Beats that were sent because they were due, not because one was to be answered.
    pub(super) beats: u64,
    /// For each beat of protocol v1 in flight, what it reports of the other end.
    pub(super) heard: VecDeque<Heard>,
}

/// The body of a message: its length, and where its content begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) at: u64,
    pub(super) len: usize,
}

impl Body {
    pub(super) fn bytes(self) -> Vec<u8> {
        (self.at..).take(self.len).map(content).collect()
    }
}

/// What a beat of protocol v1 reports of the end that it goes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// When bytes of it had last come, which the beat need not know.
    pub(super) last_at: WorldTime,
    /// The silence in the beat.
    pub(super) silence: Duration,
}

/// The byte at an offset of all the bodies in one direction.
fn content(offset: u64) -> u8 {
    let [byte, ..] = offset.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    byte
}

/// How a connection ended at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) at: WorldTime,
    pub(super) by: Mechanism,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    /// The client whose path it takes.
    pub(super) path: HostId,
    pub(super) sockets: Both<Socket>,
    /// Each by the side that writes into it.
    pub(super) pipes: Both<Pipe>,
    /// Each by the side that reported it.
    pub(super) told: Both<Told>,
    /// The observer of each end, while a process holds it.
    pub(super) observers: Both<Option<Box<Observer>>>,
    /// How the ends found out that it is over.
    pub(super) ends: Both<Option<Ended>>,
    /// When the middlebox last saw a packet of it.
    pub(super) seen_at: WorldTime,
    /// The middlebox has forgotten it.
    pub(super) is_forgotten: bool,
    /// Something on the path drops all of its packets, in both directions.
    pub(super) is_severed: bool,
    /// It is cut when so many bytes of this side have arrived.
    pub(super) ends_after: Option<(Side, u64)>,
    /// The session that it carries, for a server that has accepted it, and the number of the next
    /// message that its client writes.
    pub(super) session: Option<usize>,
    pub(super) next_message: u64,
    /// Nothing has gone wrong on it, and no process at its ends was paused.
    pub(super) is_calm: bool,
}

/// A middlebox that forgets connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nat {
    pub(super) expiry: Duration,
    /// It makes a new entry from a packet from inside.
    pub(super) is_loose: bool,
    /// It answers packets of unknown connections.
    pub(super) resets: bool,
}

/// The current path between a client and the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
    /// Of 2^32 packets, so many are lost.
    pub(super) loss: u32,
    /// Each by the side that sends.
    pub(super) cut: Both<bool>,
    /// Something on the path acknowledges bytes and drops them.
    pub(super) swallowed: Both<bool>,
    /// Segments have this many bytes at most.
    pub(super) max_segment: u64,
    /// Bytes that the systems at both ends take before they are acknowledged.
    pub(super) send_buffer: u64,
    /// When the systems at both ends give up unacknowledged bytes.
    pub(super) gives_up_after: Duration,
    /// A segment keeps the line busy for this long.
    pub(super) pace: Duration,
    pub(super) busy_until: Both<WorldTime>,
    /// No packet overtakes another.
    pub(super) is_in_order: bool,
    pub(super) last_arrival: Both<WorldTime>,
    pub(super) nat: Option<Nat>,
    /// The current troubles of it, or of the hosts at its ends.
    pub(super) troubles: u32,
}

impl Path {
    /// Nothing is wrong with it.
    pub(super) const fn is_calm(&self) -> bool {
        self.troubles == 0
    }

    /// The longest round trip while no packet is lost.
    pub(super) fn round_trip(&self) -> Duration {
        (self.delay + self.jitter) * 2
    }

    /// The most round trips until bytes behind a full queue have arrived.
    pub(super) fn round_trips_for_a_full_queue(&self) -> u32 {
        let at_a_time = self.send_buffer.min(CONGESTION_FIRST * self.max_segment);
        let queued = len_of(MAX_QUEUE) + 2 * self.send_buffer;
        u32::try_from(queued.div_ceil(at_a_time)).unwrap_or(u32::MAX).saturating_add(4)
    }
}
