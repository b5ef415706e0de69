//! The server of a simulated storm.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Instant;
use heartwire_core::internal::{Gcra, nanos};

use super::policy::CAP;

const SECOND: u64 = 1_000_000_000;

/// Attempts of the default policy before its waits are at their cap: 0.5 s doubled until it is 30 s.
const ATTEMPTS_BEFORE_CAP: u32 = 6;

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
    pub accept_rate: Option<NonZeroU32>,
    /// Whoever has waited so long when its turn comes, or has left, is rejected. Without it everybody
    /// is served.
    pub stale_after: Option<Duration>,
    /// How long it takes to turn somebody away, or to close it at once: accepting included.
    pub reject: Duration,
}

impl ServerModel {
    /// Connections that the kernel completes for a shard of `heartwire serve`, unless the system has it
    /// be less.
    pub const BACKLOG: u32 = 4096;
    /// How many a shard of `heartwire serve` accepts in a turn of its loop.
    pub const IN_FLIGHT: NonZeroU32 = NonZeroU32::MIN.saturating_add(127);
    /// `AddressLimits::ACCEPT_RATE` of the library.
    pub const ACCEPT_RATE_PER_ADDRESS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);
    /// `ServerConfig::STALE_AFTER` of the library.
    pub const STALE_AFTER: Duration = Duration::from_millis(2500);
    /// More than was measured on a real one (`docs/lab.md`).
    pub const REJECT: Duration = Duration::from_micros(60);

    /// As `heartwire serve` is by default, with one shard.
    #[must_use]
    pub const fn like_serve(capacity: NonZeroU32) -> Self {
        Self {
            capacity,
            backlog: Self::BACKLOG,
            in_flight: Some(Self::IN_FLIGHT),
            accept_rate: Some(Self::ACCEPT_RATE_PER_ADDRESS),
            stale_after: Some(Self::STALE_AFTER),
            reject: Self::REJECT,
        }
    }

    /// Accepts everybody at once, timeouts nothing, and serves everybody in turn, however late.
    #[must_use]
    pub const fn unlimited(capacity: NonZeroU32) -> Self {
        Self { in_flight: None, accept_rate: None, stale_after: None, ..Self::like_serve(capacity) }
    }

    /// How long it takes to serve so many clients if nothing is wasted.
    #[must_use]
    pub fn work(&self, clients: u32) -> Duration {
        let slowest = self.accept_rate.map_or(self.capacity, |rate| rate.min(self.capacity));
        Duration::from_nanos(interval(slowest)).saturating_mul(clients)
    }

    /// By when so many clients with the default policy are to be back, if this server promises that.
    ///
    /// With a timeout on the handshakes at a time there are B places before the handshake, and whoever is
    /// rejected has held one for [`stale_after`](Self::stale_after) θ: B / θ of them a second at
    /// most. So at least 1 - B d / θ of the time goes to handshakes, where d is
    /// [`reject`](Self::reject), and no handshake is in vain. Those who are closed at once only
    /// take the time that is left by as many as may come.
    ///
    /// Without it everybody who comes costs d. Once the waits are at their cap C a client comes every
    /// C / 2 on average, N clients thus take N d / (C / 2) of the time; and each has come six times before.
    ///
    /// While more come than can be served the server is never idle, so that all this is the time until
    /// there is room for whoever comes. It counts twice because the number of those that come is random:
    /// they come about as fast as they are served when the last of them are outside. Then each comes
    /// within C and twice its time-out T; there is room for two more failures.
    #[must_use]
    pub fn bound(&self, clients: u32, timeout: Duration) -> Option<Duration> {
        let stale_after = self.stale_after?;
        // Whoever is served must not leave before it hears of it.
        let handshake = Duration::from_nanos(interval(self.capacity));
        if stale_after + handshake > timeout.checked_sub(Duration::from_millis(500))? {
            return None;
        }
        let work = self.work(clients).as_secs_f64();
        let reject = self.reject.as_secs_f64();
        let (work, lost) = match self.in_flight {
            Some(in_flight) => {
                let places = f64::from(self.backlog) + f64::from(in_flight.get());
                let per_second = places / stale_after.as_secs_f64();
                // With fewer arrivals than that, those who are rejected would use them up.
                if self.accept_rate.is_some_and(|rate| f64::from(rate.get()) < 2.0 * per_second) {
                    return None;
                }
                (work, per_second * reject)
            }
            None => {
                let all = f64::from(clients) * reject;
                (work + f64::from(ATTEMPTS_BEFORE_CAP) * all, all / (CAP / 2).as_secs_f64())
            }
        };
        let busy = Duration::try_from_secs_f64(2.0 * work / (1.0 - lost)).ok()?;
        Some(busy + 3 * (CAP + 2 * timeout))
    }
}

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server's program does not run.
    Refused,
    /// The backlog is full.
    Dropped,
    /// Accepted, and closed at this time because too many have come.
    Closed { at: u64 },
    /// Rejected at this time: it was too late for a handshake.
    Rejected { at: u64 },
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
    reject: u64,
    stale_after: Option<u64>,
    /// When those who have come will be done with, for as long as that matters.
    waiting: VecDeque<u64>,
    /// When the last of them will be done with.
    busy_until: u64,
    /// When the bucket of arrivals is full.
    full_at: Instant,
}

impl Server {
    /// It comes up at `up_at`.
    pub(super) fn new(model: ServerModel, up_at: u64) -> Self {
        Self {
            model,
            up_at,
            handshake: interval(model.capacity),
            reject: nanos(model.reject),
            stale_after: model.stale_after.map(nanos),
            waiting: VecDeque::new(),
            busy_until: 0,
            full_at: Instant::from_nanos(0),
        }
    }

    /// A SYN has arrived; if its client gives up, the server hears of it at `gone_at`. The times must
    /// not go back.
    pub(super) fn handle_syn(&mut self, now: u64, gone_at: u64) -> Answer {
        if now < self.up_at {
            return Answer::Refused;
        }
        if !self.has_room(now) {
            return Answer::Dropped;
        }
        // All are dealt with in turn, so it is known already how old this one will be.
        let begins_at = self.busy_until.max(now);
        let accepted_at = if self.model.in_flight.is_some() { begins_at } else { now };
        let is_late =
            self.stale_after.is_some_and(|after| begins_at - now >= after || begins_at >= gone_at);
        if !self.take_arrival(accepted_at) {
            return Answer::Closed { at: self.work(begins_at, self.reject) };
        }
        if is_late {
            return Answer::Rejected { at: self.work(begins_at, self.reject) };
        }
        Answer::Done { at: self.work(begins_at, self.handshake) }
    }

    fn work(&mut self, begins_at: u64, time: u64) -> u64 {
        self.busy_until = begins_at + time;
        if self.model.in_flight.is_some() {
            self.waiting.push_back(self.busy_until);
        }
        self.busy_until
    }

    fn has_room(&mut self, now: u64) -> bool {
        let Some(in_flight) = self.model.in_flight else { return true };
        while self.waiting.front().is_some_and(|&done_at| done_at <= now) {
            self.waiting.pop_front();
        }
        let places = u64::from(in_flight.get()) + u64::from(self.model.backlog);
        u64::try_from(self.waiting.len()).is_ok_and(|waiting| waiting < places)
    }

    /// The rule of `AddressLimits::accept_rate`: a bucket of two seconds' worth. Those who come in
    /// vain do not count.
    fn take_arrival(&mut self, now: u64) -> bool {
        let Some(rate) = self.model.accept_rate else { return true };
        let buckets = Gcra::new(rate, rate.saturating_add(rate.get()));
        let taken = buckets.take(self.full_at, Instant::from_nanos(now));
        self.full_at = taken.unwrap_or(self.full_at);
        taken.is_ok()
    }
}

fn interval(per_second: NonZeroU32) -> u64 {
    SECOND.div_ceil(u64::from(per_second.get()))
}
