//! How long it takes until all clients are back that reconnect at once.

use core::time::Duration;

use heartwire_core::internal::returning::{FIRST_WAIT, MAX_WAIT};

use crate::Plan;

/// Clients that lose their connection together and reconnect to servers with this project's default
/// limits, among which they are spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// How many clients there are for each server that takes them.
    pub clients: u64,
    /// How many servers take them.
    pub servers: u64,
    /// How many handshakes each server can do in a second.
    pub handshakes_per_s: u64,
    /// How many clients a second each accepts at most (`--accept-rate`); twice as many may come at
    /// once.
    pub accept_rate: u64,
    /// How long no server answers, and their machines refuse connections. Zero where other servers
    /// take them at once.
    pub outage: Duration,
    /// The clients' waits.
    pub waits: Waits,
    /// The longest round trip.
    pub rtt: Duration,
}

/// How long clients wait between attempts: each time a random time up to a maximum, which doubles.
/// So a client that draws short ones is soon at a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// The maximum of the first wait.
    pub first: Duration,
    /// The maximum that they grow to.
    pub longest: Duration,
}

impl Waits {
    /// Those of clients whose sessions cannot be resumed, by default
    /// ([`BackoffPolicy`](heartwire_core::backoff::BackoffPolicy)).
    pub const DEFAULT: Self =
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(30) };

    /// Those of clients whose sessions can be resumed.
    pub const RESUMING: Self = Self { first: FIRST_WAIT, longest: MAX_WAIT };

    /// The first maximum; one of 0 would never grow.
    fn first(self) -> Duration {
        self.first.max(Duration::from_millis(1))
    }

    /// The maximum of the wait that the luckiest of a crowd has come to, after attempts have failed
    /// at once for that long.
    ///
    /// The waits before it, drawn from 0 to f, 2 f, 4 f and so on, add up to less than a time t
    /// with a probability of at most tⁱ / (i! f 2f 4f …). There is one more wait for as long as
    /// half a client of the crowd has come to it by that.
    fn grown(self, clients: u64, time: Duration) -> Duration {
        let mut lucky = u128::from(clients).saturating_mul(2);
        let mut wait = self.first();
        for waits in 1_u32.. {
            let over = wait.as_nanos().saturating_mul(waits.into()).max(1);
            lucky = lucky.saturating_mul(time.as_nanos()) / over;
            if lucky == 0 || wait >= self.longest {
                break;
            }
            wait = wait.saturating_mul(2);
        }
        wait.min(self.longest)
    }
}

/// When Linux sends a SYN, and how long that is after the last time, as far as it is before the
/// timeout.
const SYN_AGAIN: [(Duration, Option<Duration>); 3] =
    [(Duration::ZERO, None), (SECOND, Some(SECOND)), (LAST_SYN, Some(Duration::from_secs(2)))];
const LAST_SYN: Duration = Duration::from_secs(3);

const SECOND: Duration = Duration::from_secs(1);

/// How long a client waits for a connection, and then for its WELCOME, by default.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Storm {
    /// Connections that the kernel keeps for a server until it accepts them, and those that it has
    /// in hand (`serve`, one shard). The SYNs of others are dropped.
    pub const PLACES: u64 = 4_096 + 128;

    /// A client that has waited this long for its handshake is rejected (`Admission::STALE_AFTER`).
    pub const STALE_AFTER: Duration = Duration::from_millis(2_500);

    /// How long a rejection takes: more than was measured (docs/lab.md, "What rejecting costs").
    pub const REJECT: Duration = Duration::from_micros(60);

    /// How long the servers need for all of them, while they are never idle.
    ///
    /// That is the time of their handshakes, or what the accept rate makes of it. Where clients are
    /// rejected because they have waited too long, each place has been left by one of those once in
    /// 2.5 s, and rejecting them takes that much more.
    #[must_use]
    pub fn work(&self) -> Duration {
        let handshakes = ratio(SECOND, self.clients, self.handshakes_per_s);
        let late = self.clients.saturating_sub(self.burst());
        let work = handshakes.max(ratio(SECOND, late, self.accept_rate));
        if !self.makes_stale() {
            return work;
        }
        let rejecting = Self::REJECT.as_nanos().saturating_mul(Self::PLACES.into());
        let left = Self::STALE_AFTER.as_nanos().saturating_sub(rejecting).max(1);
        let work = work.as_nanos().saturating_mul(Self::STALE_AFTER.as_nanos()) / left;
        Duration::from_nanos(u64::try_from(work).unwrap_or(u64::MAX))
    }

    /// When the last of them is back, counted from when a server can be reached: an expectation for
    /// a crowd of a thousand or more, which simulated storms keep to.
    ///
    /// The servers are busy with them for [`work`](Self::work). Then the last client waits up to
    /// the maximum that its waits have grown to, and connects.
    ///
    /// - In an outage, and where the accept rate closes them, attempts fail at once, and some
    ///   clients draw [many short waits](Waits).
    /// - A client that is rejected has waited 2.5 s, and one that finds no place 5 s, so its
    ///   maximum has doubled as often as that fits into the work.
    /// - Where so many try that places are taken even when their waits have grown, the last attempt
    ///   that failed has lost a timeout, and the SYN of the next one may have to come again.
    /// - Where other servers take them at once, they come in waves.
    #[must_use]
    pub fn back(&self) -> Duration {
        let Waits { first, longest } = self.waits;
        let work = self.work();
        let all = self.clients.saturating_mul(self.servers);
        let drawn = self.waits.grown(all, self.outage.saturating_add(self.closing()));
        let wait = if self.makes_stale() {
            let attempt = if self.clients > Self::PLACES { TIMEOUT } else { Self::STALE_AFTER };
            let times = work.as_millis() / attempt.as_millis();
            let times = u32::try_from(times).unwrap_or(u32::MAX).saturating_add(1);
            drawn.max(first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)))
        } else {
            drawn
        };
        let lost =
            if self.stays_full() { TIMEOUT.saturating_add(LAST_SYN) } else { Duration::ZERO };
        let back = work.saturating_add(wait.min(longest)).saturating_add(lost);
        back.max(self.waves()).saturating_add(self.rtt.saturating_mul(ROUND_TRIPS))
    }

    /// When the last client has found a place at a server that was up all the time and is fast
    /// enough to reject none.
    ///
    /// All clients dial within their first wait. As many find a place as are free, and as are
    /// served while they come; the SYNs of others come again 1 s and 3 s later, as many together.
    /// Clients that find no place then either give up, and dial again within twice that wait.
    fn waves(&self) -> Duration {
        if !self.outage.is_zero() || self.makes_stale() {
            return Duration::ZERO;
        }
        let served = |time| ratio(time, self.handshakes_per_s, 1).as_secs();
        let (mut begun, mut wait, mut left) = (Duration::ZERO, self.waits.first(), self.clients);
        while wait < self.waits.longest {
            let dialling = left.max(1);
            for (again, since) in SYN_AGAIN {
                let width = ratio(wait, left, dialling);
                let free = since.map_or(Self::PLACES, |since| {
                    served(since.saturating_sub(width)).min(Self::PLACES)
                });
                left = left.saturating_sub(free.saturating_add(served(width)));
                if left == 0 {
                    let queue =
                        ratio(SECOND, self.clients.min(Self::PLACES), self.handshakes_per_s);
                    return begun.saturating_add(again).saturating_add(wait).saturating_add(queue);
                }
            }
            begun = begun.saturating_add(TIMEOUT).saturating_add(wait);
            wait = wait.saturating_mul(2);
        }
        // Their waits cannot grow, so they come as fast until all are served.
        self.work().saturating_add(self.waits.longest)
    }

    /// Whether more try than there are places for, when each tries in half of its longest wait.
    fn stays_full(&self) -> bool {
        let rate = self.handshakes_per_s.min(self.accept_rate);
        let served = ratio(self.waits.longest / 2, rate, 1).as_secs();
        self.clients > Self::PLACES.saturating_add(served)
    }

    /// Clients that may come at once in spite of the accept rate.
    const fn burst(&self) -> u64 {
        self.accept_rate.saturating_mul(2)
    }

    /// How long the accept rate closes some. That is over when those that are left come no faster,
    /// because their waits have doubled; after an outage they come at any time.
    fn closing(&self) -> Duration {
        let come = ratio(SECOND, self.clients, self.handshakes_per_s);
        let accepted = |time| ratio(time, self.accept_rate, 1).as_secs();
        // Fewer are done than may have come by then.
        let may_come = self.burst().saturating_add(accepted(come));
        if self.clients <= may_come {
            return Duration::ZERO;
        }
        let work = self.work();
        if !self.outage.is_zero() {
            return work;
        }
        let (mut closing, mut wait) = (Duration::ZERO, self.waits.first());
        let mut left = self.clients.saturating_sub(self.burst());
        while wait < self.waits.longest {
            left = left.saturating_sub(accepted(wait));
            if left == 0 {
                return closing.min(work);
            }
            closing = closing.saturating_add(wait);
            wait = wait.saturating_mul(2);
        }
        work
    }

    /// Whether a client can wait so long in its place that it is rejected.
    fn makes_stale(&self) -> bool {
        ratio(SECOND, self.clients.min(Self::PLACES), self.handshakes_per_s) >= Self::STALE_AFTER
    }
}

/// TCP's handshake, that of TLS 1.3, and HELLO with its answer.
const ROUND_TRIPS: u32 = 3;

impl Plan {
    /// How the clients of this plan wait between attempts.
    #[must_use]
    pub const fn waits(&self) -> Waits {
        match self.resume() {
            Some(_) => Waits::RESUMING,
            None => Waits::DEFAULT,
        }
    }
}

/// A time multiplied and divided.
fn ratio(time: Duration, by: u64, over: u64) -> Duration {
    let nanos = time.as_nanos().saturating_mul(by.into()) / u128::from(over.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
