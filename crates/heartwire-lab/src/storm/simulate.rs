//! A storm on a virtual clock.

use core::num::NonZeroU32;
use core::time::Duration;
use std::time::Instant;

use heartwire_core::internal::nanos;

use super::calendar::{Calendar, DAY};
use super::outcome::{Outcome, PerSecond};
use super::policy::{CAP, Policy, Waits};
use super::server::{Answer, Server, ServerModel};
use crate::output;

/// When Linux sends a SYN again, after the first one.
const SYN_AGAIN: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(7)];

/// The fewest clients of a server for which a plan expects a time: it is one for crowds.
const LEAST_CROWD: u32 = 1_000;

/// How often a long run reports progress.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// One storm.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many clients lose their server.
    pub clients: NonZeroU32,
    /// Their back-off.
    pub policy: Policy,
    /// The server that they reconnect to.
    pub server: ServerModel,
    /// How many such servers take them: each attempt goes to any of them, as a balancer has it.
    pub servers: NonZeroU32,
    /// How long they are down. Their machines are up, and refuse connections. Zero where clients of
    /// other servers come, which are lost.
    pub outage: Duration,
    /// Round-trip time; at least 1 ms.
    pub round_trip: Duration,
    /// How long a client waits for a connection.
    pub connect_timeout: Duration,
    /// How long it waits for a WELCOME on it.
    pub handshake_timeout: Duration,
    /// The window in which the server asked them to reconnect, for [`Policy::Hint`].
    pub hint: Duration,
    /// How long to observe after the server is back.
    pub watch: Duration,
    /// Seed of all delays.
    pub seed: u64,
    /// Whether to report progress.
    pub progress: bool,
}

/// A client's SYN reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Syn {
    client: u32,
    server: u32,
    /// How many were lost before it in this attempt.
    lost: u8,
}

impl Storm {
    /// A random storm of at most that many clients on a server like `heartwire serve`, which does
    /// 200 to 100,000 handshakes a second; half of them without its limits on handshakes at a time
    /// and on arrivals. The same seed gives the same storm.
    #[must_use]
    pub fn draw(seed: u64, max_clients: NonZeroU32) -> Self {
        let mut draw = fastrand::Rng::with_seed(seed);
        let clients = log_uniform(&mut draw, 1, max_clients.get());
        let capacity = log_uniform(&mut draw, 200, 100_000);
        let mut server = ServerModel::like_serve(capacity);
        server.in_flight = server.in_flight.filter(|_| draw.bool());
        server.accept_rate = server.accept_rate.filter(|_| draw.bool());
        let timeout = Duration::from_secs(5);
        let bound = server.bound(clients.get(), timeout);
        Self {
            clients,
            policy: if draw.bool() { Policy::Jitter } else { Policy::Hint },
            server,
            servers: NonZeroU32::MIN,
            outage: Duration::from_millis(draw.u64(1..60_000)),
            round_trip: Duration::from_millis(draw.u64(1..300)),
            connect_timeout: timeout,
            handshake_timeout: timeout,
            hint: Duration::from_secs(5),
            watch: bound.unwrap_or(Duration::from_secs(600)),
            seed,
            progress: false,
        }
    }

    /// The time within which all clients must be back, if the server promises one for this policy.
    #[must_use]
    pub fn bound(&self) -> Option<Duration> {
        let is_default = matches!(self.policy, Policy::Jitter | Policy::Hint);
        let timeout = self.connect_timeout.max(self.handshake_timeout);
        // The round trip is part of the remaining timeout.
        let is_near = self.round_trip <= Duration::from_millis(300);
        let has_time = self.handshake_timeout >= Duration::from_secs(5);
        self.server.bound(self.clients.get(), timeout).filter(|_| is_default && is_near && has_time)
    }

    /// A random loss in a fleet: some of its nodes, whose clients go to 1 to 64 others at once, or
    /// all, which are back after an outage of 2 s to a minute. Each node gets a thousand clients or
    /// more, all together at most `max_clients`, or a thousand, and does 500 to 100,000 handshakes
    /// a second. The same seed gives the same loss.
    #[must_use]
    pub fn draw_loss(seed: u64, max_clients: NonZeroU32) -> Self {
        let mut draw = fastrand::Rng::with_seed(seed);
        let most = max_clients.get().max(LEAST_CROWD);
        let servers = log_uniform(&mut draw, 1, (most / LEAST_CROWD).min(64));
        let each = log_uniform(&mut draw, LEAST_CROWD, most / servers.get());
        let server = ServerModel::like_serve(log_uniform(&mut draw, 500, 100_000));
        let is_all = draw.bool();
        let storm = Self {
            clients: each.saturating_mul(servers),
            policy: if draw.bool() { Policy::Jitter } else { Policy::Resuming },
            servers,
            outage: if is_all {
                Duration::from_millis(draw.u64(2_000..60_000))
            } else {
                Duration::ZERO
            },
            ..Self::draw(seed, max_clients)
        };
        let storm = Self { server, ..storm };
        Self { watch: storm.planned().back().saturating_mul(2), ..storm }
    }

    /// The same for `heartwire plan --fleet`, which computes when all are back.
    #[must_use]
    pub fn planned(&self) -> heartwire_plan::Storm {
        let rate = self.server.accept_rate.map_or(u32::MAX, NonZeroU32::get);
        let waits = match self.policy {
            Policy::Resuming => heartwire_plan::Waits::RESUMING,
            Policy::Jitter
            | Policy::Hint
            | Policy::NoJitter
            | Policy::Fixed1s
            | Policy::Fixed100ms => heartwire_plan::Waits::DEFAULT,
        };
        heartwire_plan::Storm {
            clients: u64::from(self.clients.get()).div_ceil(self.servers.get().into()),
            servers: self.servers.get().into(),
            handshakes_per_s: self.server.capacity.get().into(),
            accept_rate: rate.into(),
            outage: self.outage,
            waits,
            rtt: self.round_trip,
        }
    }

    /// How many times as long as the simulated time the planned one is; `None` if some clients were
    /// not back.
    #[must_use]
    pub fn planned_to(&self, outcome: &Outcome) -> Option<f64> {
        let back = outcome.back_at(100)?.as_secs_f64();
        Some(self.planned().back().as_secs_f64() / back.max(1e-3))
    }

    /// Runs it. The same storm has the same outcome.
    #[must_use]
    pub fn run(&self) -> Outcome {
        Run::new(self).run()
    }

    /// No event happens later than this after its cause.
    fn span(&self) -> u64 {
        let attempt = nanos(self.connect_timeout).max(nanos(self.handshake_timeout));
        attempt + 2 * nanos(self.round_trip()) + nanos(CAP.max(self.hint)) + DAY
    }

    fn round_trip(&self) -> Duration {
        self.round_trip.max(Duration::from_nanos(DAY))
    }
}

/// A running storm.
struct Run<'a> {
    storm: &'a Storm,
    clients: Vec<Waits>,
    calendar: Calendar<Syn>,
    servers: Vec<Server>,
    /// Which server an attempt goes to.
    balancer: fastrand::Rng,
    half: u64,
    outcome: Outcome,
    attempts: PerSecond,
    wasted: u64,
    rejected: u64,
    dropped: u64,
}

impl<'a> Run<'a> {
    fn new(storm: &'a Storm) -> Self {
        let mut seeds = fastrand::Rng::with_seed(storm.seed);
        let clients = storm.clients.get();
        let up_at = nanos(storm.outage);
        let servers = (0..storm.servers.get()).map(|_| Server::new(storm.server, up_at));
        let mut this = Self {
            storm,
            clients: (0..clients).map(|_| storm.policy.waits(storm.hint, seeds.u64(..))).collect(),
            calendar: Calendar::new(storm.span()),
            servers: servers.collect(),
            balancer: fastrand::Rng::with_seed(!storm.seed),
            half: nanos(storm.round_trip()) / 2,
            outcome: Outcome::new(storm.policy, clients, storm.watch),
            attempts: PerSecond::default(),
            wasted: 0,
            rejected: 0,
            dropped: 0,
        };
        // The reset of the killed server has reached them.
        for client in 0..clients {
            this.wait(client, DAY);
        }
        this
    }

    fn run(mut self) -> Outcome {
        let started = Instant::now();
        let mut said_at = started;
        let end = nanos(self.storm.outage) + nanos(self.storm.watch);
        while let Some(day) = self.calendar.next_day() {
            let Some(&(at, _)) = day.first() else { break };
            if at >= end {
                break;
            }
            for &(now, syn) in &day {
                self.handle_syn(now, syn);
            }
            self.calendar.reuse(day);
            if self.storm.progress && said_at.elapsed() >= SAY_EVERY {
                said_at = Instant::now();
                self.say(at);
            }
        }
        let mut outcome = self.outcome;
        outcome.wasted = Some(self.wasted);
        outcome.rejected = Some(self.rejected);
        outcome.dropped = Some(self.dropped);
        outcome.peak = self.attempts.peak();
        outcome.close(started.elapsed());
        outcome
    }

    fn handle_syn(&mut self, now: u64, syn: Syn) {
        let Syn { client, server, lost } = syn;
        let Some(server) = usize::try_from(server).ok().and_then(|at| self.servers.get_mut(at))
        else {
            return;
        };
        if lost == 0 {
            self.outcome.attempts += 1;
            if let Some(after) = now.checked_sub(nanos(self.storm.outage)) {
                self.attempts.count(after);
            }
        }
        let answered_at = now + self.half;
        let gives_up_at = answered_at + nanos(self.storm.handshake_timeout);
        match server.handle_syn(now, gives_up_at + self.half) {
            Answer::Refused => {
                self.outcome.refused += 1;
                self.wait(client, answered_at);
            }
            Answer::Closed { at } => {
                self.outcome.failed += 1;
                self.wait(client, gives_up_at.min(at + self.half));
            }
            Answer::Rejected { at } => {
                self.rejected += 1;
                self.outcome.failed += 1;
                self.wait(client, gives_up_at.min(at + self.half));
            }
            Answer::Dropped => {
                self.dropped += 1;
                self.handle_lost(now, syn);
            }
            Answer::Done { at } => {
                if at + self.half <= gives_up_at {
                    let after = at + self.half - nanos(self.storm.outage);
                    self.outcome.back.push(Duration::from_nanos(after));
                } else {
                    self.wasted += 1;
                    self.outcome.failed += 1;
                    self.wait(client, gives_up_at);
                }
            }
        }
    }

    /// A SYN was dropped: the kernel sends it again, unless the client gives up before.
    fn handle_lost(&mut self, now: u64, Syn { client, server, lost }: Syn) {
        let sent_after = |lost: u8| {
            let index = usize::from(lost).checked_sub(1);
            index.map_or(Some(Duration::ZERO), |index| SYN_AGAIN.get(index).copied())
        };
        let dialled_at = now - nanos(sent_after(lost).unwrap_or_default());
        match sent_after(lost + 1).filter(|&after| after < self.storm.connect_timeout) {
            Some(after) => {
                let again = Syn { client, server, lost: lost + 1 };
                self.calendar.add(dialled_at + nanos(after), again);
            }
            None => {
                self.outcome.failed += 1;
                let gives_up_at = dialled_at + nanos(self.storm.connect_timeout);
                // It does not know yet that its last SYN came too late.
                self.wait(client, gives_up_at.max(now + DAY));
            }
        }
    }

    /// A client has failed at `now`, and tries again after its next delay.
    fn wait(&mut self, client: u32, now: u64) {
        let index = usize::try_from(client).unwrap_or(usize::MAX);
        let Some(waits) = self.clients.get_mut(index) else { return };
        let at = now + nanos(waits.next_wait()) + self.half;
        let server = match self.storm.servers.get() {
            1 => 0,
            servers => self.balancer.u32(..servers),
        };
        self.calendar.add(at, Syn { client, server, lost: 0 });
    }

    fn say(&self, now: u64) {
        let at = Duration::from_nanos(now);
        output::say(format_args!(
            "{}: {:.1} s after the loss, {} of {} back, {} attempts",
            self.storm.policy,
            at.as_secs_f64(),
            self.outcome.back.len(),
            self.storm.clients,
            self.outcome.attempts,
        ));
    }
}

/// As many small numbers as large ones.
fn log_uniform(draw: &mut fastrand::Rng, from: u32, to: u32) -> NonZeroU32 {
    let (low, high) = (f64::from(from).ln(), f64::from(to.max(from)).ln());
    let number = (low + draw.f64() * (high - low)).exp().round();
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "there is no other way, and it is between two of them"
    )]
    let number = number as u32;
    NonZeroU32::new(number.clamp(from, to)).unwrap_or(NonZeroU32::MIN)
}
