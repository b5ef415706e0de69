//! Proposes the settings with the least traffic that detect every fault in time.

use core::fmt;
use core::time::Duration;

use super::setup::{End, Setup, SetupError};
use super::tcp;
use crate::kernel::{KernelError, KernelTimers};
use crate::policy::{Policy, PolicyError};

/// Proposed times are multiples of this: people type them, and a verdict is no more exact than a
/// tick anyway.
const STEP_MS: u32 = 100;

/// Input of [`propose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Both ends must detect every fault within this time.
    pub within: Duration,
    /// As for [`SetupBuilder::rtt`](super::SetupBuilder::rtt).
    pub rtt: Duration,
    /// How late the timers of either end may be.
    pub timer_slack: Duration,
    /// As for [`SetupBuilder::nat_timeout`](super::SetupBuilder::nat_timeout).
    pub nat_timeout: Option<Duration>,
    /// Whether both ends speak protocol v1. On v0 the traffic is less: one end answers the other's
    /// beats.
    pub v1: bool,
}

impl Target {
    /// A target with the default round trip and timer slack.
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        Self {
            within,
            rtt: Setup::RTT,
            timer_slack: Duration::from_millis(100),
            nat_timeout: None,
            v1: false,
        }
    }
}

/// Settings that meet a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proposal {
    /// The settings.
    pub setup: Setup,
    /// The latest time at which they detect a fault.
    pub latest: Duration,
}

/// The settings that detect every fault on both ends within a time, with the least traffic.
///
/// The client sends beats, the server answers each one, and both have a timeout: three packets an
/// interval, where two ends that both send beats, as on protocol v1, need four. The timeout leaves
/// room for two beats, a round trip and the retransmission of a lost packet; the interval is as
/// long as that allows. The kernel's user timeout, for a peer that does not read, equals the
/// timeout, so that it hardly ever fires first. All times are multiples of 100 ms.
///
/// # Errors
///
/// [`ProposeError`] says why the target cannot be met, and which one could be.
pub fn propose(target: &Target) -> Result<Proposal, ProposeError> {
    let shortest_interval = step_up(target.timer_slack.max(Duration::from_millis(1)));
    let longest_interval = match target.nat_timeout {
        // One millisecond less, because an equal interval is too long.
        Some(nat_timeout) => {
            let slack = target
                .timer_slack
                .saturating_add(target.rtt)
                .saturating_add(Duration::from_millis(1));
            step_down(nat_timeout.saturating_sub(slack))
        }
        None => Duration::MAX,
    };
    if longest_interval < shortest_interval {
        return Err(ProposeError::NatTooShort { interval: shortest_interval });
    }
    let with_timeout = |timeout| proposal(target, timeout, longest_interval);
    let shortest_timeout = step_up(timeout_for(shortest_interval, target.rtt));
    let least = with_timeout(shortest_timeout)?;
    if least.latest > target.within {
        return Err(ProposeError::TooShort {
            within: target.within,
            least: least.latest,
            interval: shortest_interval,
            timeout: shortest_timeout,
        });
    }
    // Binary search for the longest timeout that meets the target.
    let mut best = least;
    let (mut met, mut missed) = (steps(shortest_timeout), steps(target.within).saturating_add(1));
    while missed.saturating_sub(met) > 1 {
        let middle = met + (missed - met) / 2;
        match with_timeout(Duration::from_millis(u64::from(STEP_MS)).saturating_mul(middle)) {
            Ok(proposal) if proposal.latest <= target.within => (best, met) = (proposal, middle),
            Ok(_) | Err(_) => missed = middle,
        }
    }
    Ok(best)
}

/// The shortest timeout for an interval: two intervals, a round trip, and the second retransmission
/// of a lost packet. With less, one lost packet ends a connection.
fn timeout_for(interval: Duration, rtt: Duration) -> Duration {
    interval.saturating_mul(2).saturating_add(rtt).saturating_add(tcp::second_try(rtt))
}

fn proposal(
    target: &Target,
    timeout: Duration,
    max_interval: Duration,
) -> Result<Proposal, ProposeError> {
    let spare = timeout.saturating_sub(timeout_for(Duration::ZERO, target.rtt));
    let interval = step_down(spare / 2).min(max_interval);
    let client = Policy::builder().interval(interval).timeout(timeout).build()?;
    let server = if target.v1 {
        client
    } else {
        Policy::builder().echo(true).peer_interval(interval).timeout(timeout).build()?
    };
    let kernel = KernelTimers::new(None, Some(timeout))?;
    let end = |policy| End::new(policy).kernel(kernel).timer_slack(target.timer_slack);
    let setup =
        Setup::builder(end(client), end(server)).rtt(target.rtt).nat_timeout(target.nat_timeout);
    let setup = if target.v1 { setup.v1() } else { setup }.build()?;
    let latest = setup.plan().latest().unwrap_or(Duration::MAX);
    Ok(Proposal { setup, latest })
}

/// How many steps there are in a time, rounded down.
fn steps(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / u128::from(STEP_MS)).unwrap_or(u32::MAX)
}

fn step_down(time: Duration) -> Duration {
    Duration::from_millis(u64::from(STEP_MS)).saturating_mul(steps(time))
}

fn step_up(time: Duration) -> Duration {
    let step = Duration::from_millis(u64::from(STEP_MS));
    let down = step_down(time);
    if down < time { down.saturating_add(step) } else { down }
}

/// Why no settings meet a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProposeError {
    /// The target is too short for this path.
    TooShort {
        /// The target.
        within: Duration,
        /// The least target that can be met.
        least: Duration,
        /// The shortest interval with this timer slack.
        interval: Duration,
        /// The shortest timeout with that interval and this path.
        timeout: Duration,
    },
    /// The middlebox forgets a connection before the next beat could pass it.
    NatTooShort {
        /// The shortest interval with this timer slack.
        interval: Duration,
    },
    /// The target's round trip or timer slack is not valid.
    Setup(SetupError),
    /// The target is too long for a policy.
    Policy(PolicyError),
    /// The target is too long for a user timeout.
    Kernel(KernelError),
}

impl From<SetupError> for ProposeError {
    fn from(error: SetupError) -> Self {
        Self::Setup(error)
    }
}

impl From<PolicyError> for ProposeError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}

impl From<KernelError> for ProposeError {
    fn from(error: KernelError) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { within, least, interval, timeout } => write!(
                f,
                "no settings find every fault within {within:?}. Two beats of {interval:?}, a \
                 round trip and one retransmission need a timeout of {timeout:?}, and a peer that \
                 does not read is detected only some time after a user timeout of that length: ask \
                 for {least:?} or more"
            ),
            Self::NatTooShort { interval } => write!(
                f,
                "the middlebox forgets a connection before a beat every {interval:?}, the shortest \
                 for these timers, would pass it again"
            ),
            Self::Setup(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ProposeError {}

#[cfg(test)]
mod tests;
