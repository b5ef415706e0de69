//! How long Linux's TCP takes to give up, with its default `sysctl`s.
//!
//! The numbers are from `tcp(7)`, from the kernel's own constants (`include/net/tcp.h`), and from
//! measurements on Linux 6.18 over links without delay, which are named where they are used.

use core::time::Duration;

use heartwire_core::Bound;
use heartwire_core::kernel::Keepalive;

/// The coarsest jiffy in use (`HZ` = 100): every kernel timer is rounded up to one at least.
const JIFFY: Duration = Duration::from_millis(10);

/// The longest delay of an acknowledgement (`MAX_TCP_DELACK`).
pub(crate) const DELAYED_ACK: Duration = Duration::from_millis(200);

/// The longest time between retransmissions (`TCP_RTO_MAX`; `tcp_rto_max_ms` lowers it).
const RTO_MAX: Duration = Duration::from_secs(120);

/// The time of 15 retransmissions (`tcp_retries2`): 1,023 times 200 ms while their distance
/// doubles, then 6 times 120 s. `tcp(7)` and `ip-sysctl` give it as 924.6 s.
const RETRIES: Duration = Duration::from_millis(924_600);

/// How late a kernel timer may be. The timer wheel rounds up to a granularity that is an eighth of
/// a level's reach, and a level begins at 63 slots of the one before it: 8/63 of the time at most.
pub(crate) fn lateness(timer: Duration) -> Duration {
    (timer.saturating_mul(8) / 63).saturating_add(JIFFY)
}

/// The longest retransmission timeout before any back-off: the round trip and its variance, which
/// Linux takes for 200 ms at least (RFC 6298). A delayed acknowledgement adds 200 ms at most, and
/// the lateness of a timer of 400 ms another 50.
fn rto(rtt: Duration) -> Duration {
    rtt.saturating_mul(2).saturating_add(Duration::from_millis(450))
}

/// The longest time from sending something that is lost to its second retransmission. The first is
/// a tail loss probe (RFC 8985) where there is one, and the kernel's clocks for giving up start at
/// the next. Measured 0.4 to 0.5 s without delay.
pub(crate) fn second_try(rtt: Duration) -> Duration {
    rto(rtt).saturating_mul(2)
}

/// When the kernel gives up on something that was sent and is not acknowledged, counted from when
/// it was sent.
///
/// The user timeout counts from the first retransmission after the probe, and is looked at by the
/// retransmission timer, which is cut to what is left of it: measured U + 0.4 to U + 0.7 s for U
/// from 0.5 to 30 s. That timer's last stretch is at most half of U, because the stretches double.
///
/// Without a user timeout it is looked at whenever the retransmission timer fires, so up to one
/// stretch late: measured 938 to 939 s.
pub(crate) fn unacked(user_timeout: Option<Duration>, rtt: Duration) -> Bound {
    let (earliest, stretch) = match user_timeout {
        Some(user_timeout) => {
            let stretch = (user_timeout / 2).saturating_add(rto(rtt)).min(user_timeout);
            (user_timeout, lateness(stretch.min(RTO_MAX)))
        }
        None => (RETRIES, RTO_MAX.saturating_add(lateness(RTO_MAX))),
    };
    let latest = earliest.saturating_add(second_try(rtt)).saturating_add(stretch);
    Bound { earliest, latest }
}

/// When keepalive gives up on an idle connection, counted from the last packet of the peer.
///
/// Measured 12.2 to 12.4 s with 3 s, 3 s, 3; 13.2 with 10 s, 1 s, 3; 30.4 with 15 s, 5 s, 3. A user
/// timeout replaces the count: it is looked at whenever a probe is due, and one must have been sent
/// (3 s, 3 s, 3 with 20 s: 21.4 s measured).
pub(crate) fn keepalive(keepalive: Keepalive, user_timeout: Option<Duration>) -> Bound {
    let (idle, interval) = (keepalive.idle(), keepalive.interval());
    let (earliest, probes) = match user_timeout {
        None => (keepalive.bound(), keepalive.count()),
        Some(user_timeout) => {
            let after_idle = user_timeout.saturating_sub(idle);
            // Both are whole numbers of seconds, at most 32,767 and 24 days.
            let probes = after_idle.as_millis().div_ceil(interval.as_millis().max(1)).max(1);
            let probes = u32::try_from(probes).unwrap_or(u32::MAX);
            (user_timeout.max(idle.saturating_add(interval)), probes)
        }
    };
    let latest = idle
        .saturating_add(lateness(idle))
        .saturating_add(interval.saturating_add(lateness(interval)).saturating_mul(probes));
    Bound { earliest, latest }
}

/// The longest time after which a kernel that hears nothing sends a keepalive probe.
pub(crate) fn first_probe(keepalive: Keepalive) -> Duration {
    keepalive.idle().saturating_add(lateness(keepalive.idle()))
}

/// When the gap between two retransmissions becomes long enough, counted from the first packet that
/// was not acknowledged. `gap.earliest` may be enough, `gap.latest` surely is; after `given_up` no
/// packet is sent.
///
/// Gaps start at the retransmission timeout and double: the gaps before one add up to its own
/// length less the first, and to less than twice the last gap that is too short.
pub(crate) fn gap_begins(gap: Bound, given_up: Bound, rtt: Duration) -> Bound {
    let earliest = if gap.earliest <= RTO_MAX.saturating_add(lateness(RTO_MAX)) {
        let before = gap.earliest.saturating_sub(lateness(gap.earliest)).saturating_sub(rto(rtt));
        before.min(given_up.earliest)
    } else {
        given_up.earliest
    };
    let latest = if gap.latest <= RTO_MAX {
        let before = gap.latest.saturating_mul(2);
        let before = before.saturating_add(lateness(before)).saturating_add(second_try(rtt));
        before.min(given_up.latest)
    } else {
        given_up.latest
    };
    Bound { earliest, latest }
}

#[cfg(test)]
mod tests;
