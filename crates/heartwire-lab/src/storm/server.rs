//! The server of a simulated storm.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Instant;
use heartwire_core::internal::{Gcra, nanos};

use super::policy::CAP;

const SECOND: u64 = 1_000_000_000;

/// Attempts of the default policy before its delays reach their cap: 0.5 s doubled until it is 30
/// s.
const ATTEMPTS_BEFORE_CAP: u32 = 6;

/// The model of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerModel {
    /// Handshakes per second.
    pub capacity: NonZeroU32,
    /// Connections that the kernel completes before they are accepted.
    pub backlog: u32,
    /// Maximum handshakes at a time: with that many, no connection is accepted. Without it all are
    /// accepted at once, and the backlog never fills.
    pub in_flight: Option<NonZeroU32>,
    /// Arrivals per second, with a burst of two seconds' worth: further ones are closed at once.
    pub accept_rate: Option<NonZeroU32>,
    /// A client that has waited this long when its turn comes, or has left, is rejected. Without it
    /// all clients are served.
    pub stale_after: Option<Duration>,
    /// Time to reject a client, or to close it at once, including accepting.
    pub reject: Duration,
}

impl ServerModel {
    /// Connections that the kernel completes for a shard of `heartwire serve`, unless the system's
    /// limit is lower.
    pub const BACKLOG: u32 = 4096;
    /// How many a shard of `heartwire serve` accepts in a turn of its loop.
    pub const IN_FLIGHT: NonZeroU32 = NonZeroU32::MIN.saturating_add(127);
    /// `Admission::ACCEPT_RATE` of the library.
    pub const ACCEPT_RATE_PER_ADDRESS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);
    /// `Admission::STALE_AFTER` of the library.
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

    /// Accepts all connections at once without limits, and serves them in turn, however late.
    #[must_use]
    pub const fn unlimited(capacity: NonZeroU32) -> Self {
        Self { in_flight: None, accept_rate: None, stale_after: None, ..Self::like_serve(capacity) }
    }

    /// How long it takes to serve this many clients if no work is wasted.
    #[must_use]
    pub fn work(&self, clients: u32) -> Duration {
        let slowest = self.accept_rate.map_or(self.capacity, |rate| rate.min(self.capacity));
        Duration::from_nanos(interval(slowest)).saturating_mul(clients)
    }

    /// The time within which this many clients with the default policy must be back, if this server
    /// promises one.
    ///
    /// With a limit on the handshakes at a time there are B places before the handshake, and a
    /// client that is rejected has held one for [`stale_after`](Self::stale_after) θ: at most B / θ
    /// of them a second. So at least 1 - B d / θ of the time goes to handshakes, where d is
    /// [`reject`](Self::reject), and no handshake is wasted. Clients that are closed at once only
    /// take time that admitted arrivals leave.
    ///
    /// Without it every attempt costs d. Once the delays reach their cap C a client tries every C /
    /// 2 on average, so N clients take N d / (C / 2) of the time; and each has tried six times
    /// before.
    ///
    /// While more clients try than can be served the server is never idle, so this is the time
    /// until there is room for every attempt. It counts twice because the number of attempts is
    /// random: the last clients try about as fast as they are served. Then each tries within C and
    /// twice its timeout T; there is room for two more failures.
    #[must_use]
    pub fn bound(&self, clients: u32, timeout: Duration) -> Option<Duration> {
        let stale_after = self.stale_after?;
        // A client that is served must not leave before it receives the WELCOME.
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
                // With fewer arrivals than that, rejected clients would use them up.
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

/// The result of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server's program does not run.
    Refused,
    /// The backlog is full.
    Dropped,
    /// Accepted, and closed at this time because too many have come.
    Closed { at: u64 },
    /// Rejected as stale at this time.
    Rejected { at: u64 },
    /// The handshake will be done at this time, whether or not the client still waits for it.
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
    /// When each accepted client will be finished, while that matters.
    waiting: VecDeque<u64>,
    /// When the last of them will be finished.
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

    /// A SYN has arrived; if its client gives up, the server learns of it at `gone_at`. The times
    /// must not go back.
    pub(super) fn handle_syn(&mut self, now: u64, gone_at: u64) -> Answer {
        if now < self.up_at {
            return Answer::Refused;
        }
        if !self.has_room(now) {
            return Answer::Dropped;
        }
        // Clients are served in turn, so the age of this one is already known.
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

    /// The rule of `Admission::accept_rate`: a bucket of two seconds' worth. Closed connections
    /// do not count.
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
