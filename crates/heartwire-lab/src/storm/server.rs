//! The server of a simulated storm.

use core::num::NonZeroU32;
use core::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// What the server can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerModel {
    /// Handshakes per second.
    pub capacity: NonZeroU32,
    /// Connections that the kernel completes before they are accepted.
    pub backlog: u32,
    /// Most handshakes at a time: while there are so many, nobody is accepted. Without it everybody
    /// is accepted at once, and the backlog never fills.
    pub in_flight: Option<NonZeroU32>,
    /// Arrivals per second, with a burst of two seconds' worth: whoever comes faster is closed at
    /// once.
    pub arrivals: Option<NonZeroU32>,
}

impl ServerModel {
    /// Accepts everybody at once, and limits nothing.
    #[must_use]
    pub const fn unlimited(capacity: NonZeroU32) -> Self {
        Self { capacity, backlog: 4096, in_flight: None, arrivals: None }
    }

    /// How long it takes to serve so many clients if nothing is wasted.
    #[must_use]
    pub fn work(&self, clients: u32) -> Duration {
        let slowest = self.arrivals.map_or(self.capacity, |rate| rate.min(self.capacity));
        Duration::from_nanos(interval(slowest)).saturating_mul(clients)
    }
}

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server's program does not run.
    Refused,
    /// The backlog is full.
    Dropped,
    /// Accepted, and closed because too many have come.
    Closed,
    /// The handshake will be done at this time, whether or not anybody still waits for it.
    Done { at: u64 },
}

/// A server that was down, and takes handshakes in turn.
#[derive(Debug)]
pub(super) struct Server {
    model: ServerModel,
    up_at: u64,
    /// The time of one handshake.
    handshake: u64,
    /// When the last handshake that was begun or waits will be done.
    busy_until: u64,
    /// When the bucket of arrivals is full.
    full_at: u64,
}

impl Server {
    /// It comes up at `up_at`.
    pub(super) fn new(model: ServerModel, up_at: u64) -> Self {
        let handshake = interval(model.capacity);
        Self { model, up_at, handshake, busy_until: 0, full_at: 0 }
    }

    /// A SYN has arrived. The times must not go back.
    pub(super) fn handle_syn(&mut self, now: u64) -> Answer {
        if now < self.up_at {
            return Answer::Refused;
        }
        if !self.has_room(now) {
            return Answer::Dropped;
        }
        if !self.take_arrival(now) {
            return Answer::Closed;
        }
        self.busy_until = self.busy_until.max(now) + self.handshake;
        Answer::Done { at: self.busy_until }
    }

    /// Handshakes are done in turn and take the same time each, so the time until the last one is
    /// done says how many there are.
    fn has_room(&self, now: u64) -> bool {
        let Some(in_flight) = self.model.in_flight else { return true };
        let waiting = self.busy_until.saturating_sub(now).div_ceil(self.handshake);
        waiting < u64::from(in_flight.get()) + u64::from(self.model.backlog)
    }

    /// The rule of `AddressCaps::all_arrivals`: a bucket of two seconds' worth. Those who come in
    /// vain do not count.
    fn take_arrival(&mut self, now: u64) -> bool {
        let Some(rate) = self.model.arrivals else { return true };
        let interval = interval(rate);
        let slack = interval * (2 * u64::from(rate.get()) - 1);
        if self.full_at.saturating_sub(slack) > now {
            return false;
        }
        self.full_at = self.full_at.max(now) + interval;
        true
    }
}

fn interval(per_second: NonZeroU32) -> u64 {
    SECOND.div_ceil(u64::from(per_second.get()))
}
