//! Why there is no plan.

use core::fmt;
use core::time::Duration;

use heartwire_core::PolicyError;
use heartwire_core::internal::Typed;
use heartwire_core::kernel::KernelError;
use heartwire_core::v1::Conflict;

use crate::setup::{MAX_RTT, MAX_TIMER_SLACK};

/// Why two ends and a path have no plan, or why no settings meet a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// Both ends answer beats, so one beat would be answered forever. A client always sends one
    /// when it connects.
    EchoAtBothEnds,
    /// `echo` is not available on protocol v1.
    EchoOnV1,
    /// The ends cannot agree on a contract.
    Conflict(Conflict),
    /// The round trip is longer than 10 s.
    RttTooLong {
        /// What was asked for.
        rtt: Duration,
    },
    /// A timer slack is longer than 65.535 s.
    TimerSlackTooLong {
        /// What was asked for.
        timer_slack: Duration,
    },
    /// The target is too short for this path.
    TargetTooShort {
        /// The target.
        within: Duration,
        /// The least target that can be met.
        least: Duration,
        /// The shortest interval with this timer slack.
        interval: Duration,
        /// The shortest timeout with that interval and this path.
        timeout: Duration,
    },
    /// The middlebox forgets a connection before the next beat could pass it, whatever the target.
    NatTooShort {
        /// The shortest interval with this timer slack.
        interval: Duration,
    },
    /// The target is too long for a policy.
    Policy(PolicyError),
    /// The target is too long for a user timeout.
    Kernel(KernelError),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EchoAtBothEnds => f.write_str(
                "both ends echo: the first beat, which a client sends when it connects, would be \
                 answered forever. Echo on one end, and send beats on the other",
            ),
            Self::EchoOnV1 => f.write_str(
                "an end echoes, but protocol v1 has no echo. Send beats on both ends, or use \
                 protocol v0",
            ),
            Self::Conflict(conflict) => write!(f, "the ends cannot agree: {conflict}"),
            Self::RttTooLong { rtt } => write!(
                f,
                "a round trip of {} is longer than {}, beyond which the kernel's retransmissions \
                 no longer follow these formulas",
                Typed(rtt),
                Typed(MAX_RTT)
            ),
            Self::TimerSlackTooLong { timer_slack } => {
                let (timer_slack, max) = (Typed(timer_slack), Typed(MAX_TIMER_SLACK));
                write!(f, "a timer slack of {timer_slack} is longer than {max}")
            }
            Self::TargetTooShort { within, least, interval, timeout } => write!(
                f,
                "no settings find every fault within {}. Two beats of {}, a round trip and one \
                 retransmission need a timeout of {}, and a peer that does not read is detected \
                 only some time after a user timeout of that length: ask for {} or more",
                Typed(within),
                Typed(interval),
                Typed(timeout),
                Typed(least)
            ),
            Self::NatTooShort { interval } => write!(
                f,
                "the middlebox forgets a connection before a beat every {}, the shortest for \
                 these timers, would pass it again",
                Typed(interval)
            ),
            Self::Policy(error) => error.fmt(f),
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for PlanError {}
