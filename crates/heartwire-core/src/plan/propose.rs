//! The cheapest settings that find every fault in time.

use core::fmt;
use core::time::Duration;

use super::setup::{End, Setup, SetupError};
use super::tcp;
use crate::kernel::{KernelError, KernelTimers};
use crate::policy::{Policy, PolicyError};

/// Proposed times are multiples of this: they are for people to type, and a verdict is no more exact
/// than a tick anyway.
const STEP_MS: u32 = 100;

/// What settings are proposed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Both ends are to find every fault within this time.
    pub within: Duration,
    /// As for [`SetupBuilder::rtt`](super::SetupBuilder::rtt).
    pub rtt: Duration,
    /// How late the timers of either end may be.
    pub tick: Duration,
    /// As for [`SetupBuilder::nat`](super::SetupBuilder::nat).
    pub nat: Option<Duration>,
    /// Whether both ends speak wire v1. On v0 it takes less: one end answers the other's beats.
    pub v1: bool,
}

impl Target {
    /// A target for the default round trip and tick.
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        Self { within, rtt: Setup::RTT, tick: Duration::from_millis(100), nat: None, v1: false }
    }
}

/// Settings that meet a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proposal {
    /// The settings.
    pub setup: Setup,
    /// When the last fault is found with them.
    pub latest: Duration,
}

/// The settings that find every fault on both ends within a time, at the least traffic.
///
/// The client beats, the server answers each beat, and both judge: three packets an interval, where
/// two ends that beat on their own, as on wire v1, need four. The limit leaves room for two beats, a round trip and
/// the retransmission of a lost packet; within that the beat is as long as can be. The kernel's user
/// timeout, for a peer that does not read, is as long as the limit, so that it hardly ever speaks
/// before the limit does. All times are multiples of 100 ms.
///
/// # Errors
///
/// [`ProposeError`] says why the target cannot be met, and what the least possible one is.
pub fn propose(target: &Target) -> Result<Proposal, ProposeError> {
    let shortest_beat = step_up(target.tick.max(Duration::from_millis(1)));
    let longest_beat = match target.nat {
        // One millisecond less, because what lasts exactly as long is forgotten.
        Some(nat) => {
            let slack =
                target.tick.saturating_add(target.rtt).saturating_add(Duration::from_millis(1));
            step_down(nat.saturating_sub(slack))
        }
        None => Duration::MAX,
    };
    if longest_beat < shortest_beat {
        return Err(ProposeError::NatTooShort { beat: shortest_beat });
    }
    let with_limit = |limit| proposal(target, limit, longest_beat);
    let shortest_limit = step_up(limit_for(shortest_beat, target.rtt));
    let least = with_limit(shortest_limit)?;
    if least.latest > target.within {
        return Err(ProposeError::TooShort {
            within: target.within,
            least: least.latest,
            beat: shortest_beat,
            limit: shortest_limit,
        });
    }
    // The longest limit that meets the target, by halving: a longer limit is found later.
    let mut best = least;
    let (mut met, mut missed) = (steps(shortest_limit), steps(target.within).saturating_add(1));
    while missed.saturating_sub(met) > 1 {
        let middle = met + (missed - met) / 2;
        match with_limit(Duration::from_millis(u64::from(STEP_MS)).saturating_mul(middle)) {
            Ok(proposal) if proposal.latest <= target.within => (best, met) = (proposal, middle),
            Ok(_) | Err(_) => missed = middle,
        }
    }
    Ok(best)
}

/// The least limit for a beat: two of them, a round trip, and the second try of a packet that was
/// lost. With less, one lost packet is a verdict.
fn limit_for(beat: Duration, rtt: Duration) -> Duration {
    beat.saturating_mul(2).saturating_add(rtt).saturating_add(tcp::second_try(rtt))
}

fn proposal(
    target: &Target,
    limit: Duration,
    beat_max: Duration,
) -> Result<Proposal, ProposeError> {
    let spare = limit.saturating_sub(limit_for(Duration::ZERO, target.rtt));
    let beat = step_down(spare / 2).min(beat_max);
    let client = Policy::builder().beat(beat).limit(limit).build()?;
    let server = if target.v1 {
        client
    } else {
        Policy::builder().echo(true).peer_beat(beat).limit(limit).build()?
    };
    let kernel = KernelTimers::new(None, Some(limit))?;
    let end = |policy| End::new(policy).kernel(kernel).tick(target.tick);
    let setup = Setup::builder(end(client), end(server)).rtt(target.rtt).nat(target.nat);
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
    /// The target is shorter than anything can be found on this path.
    TooShort {
        /// The target.
        within: Duration,
        /// The least target that can be met.
        least: Duration,
        /// The shortest beat, for these timers.
        beat: Duration,
        /// The shortest limit, for that beat and this path.
        limit: Duration,
    },
    /// The middlebox forgets a connection faster than anything could beat.
    NatTooShort {
        /// The shortest beat, for these timers.
        beat: Duration,
    },
    /// The target's path or tick make no setup.
    Setup(SetupError),
    /// The target is so long that no policy can be.
    Policy(PolicyError),
    /// The target is so long that no user timeout can be.
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
            Self::TooShort { within, least, beat, limit } => write!(
                f,
                "no settings find every fault within {within:?}. Two beats of {beat:?}, a round \
                 trip and one retransmission need a limit of {limit:?}, and the kernel is sure that \
                 a peer does not read only some time after a user timeout as long: ask for {least:?} \
                 or more"
            ),
            Self::NatTooShort { beat } => write!(
                f,
                "the middlebox forgets a connection before a beat every {beat:?}, the shortest for \
                 these timers, would pass it again"
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
