//! Back-off policies of the clients that are compared.

use core::fmt;
use core::time::Duration;

use clap::ValueEnum;
use heartwire_core::Instant;
use heartwire_core::backoff::{Backoff, BackoffPolicy};
use heartwire_core::internal::returning::{FIRST_WAIT, MAX_WAIT};

/// The cap of [`BackoffPolicy::default`].
pub(super) const CAP: Duration = Duration::from_secs(30);

/// A back-off policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Policy {
    /// The default: full jitter, 0.5 s doubling to 30 s.
    Jitter,
    /// The default after a BYE: the first delay is random within the server's window.
    Hint,
    /// The default of clients whose sessions can be resumed: full jitter, 0.1 s doubling to 10 s.
    Resuming,
    /// The default without jitter. Clients cannot choose that; it is only for comparison.
    #[value(name = "exponential")]
    NoJitter,
    /// Always 1 s.
    #[value(name = "fixed-1s")]
    Fixed1s,
    /// Always 100 ms, as in the tutorial.
    #[value(name = "fixed-100ms")]
    Fixed100ms,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Jitter => "full jitter (default)",
            Self::Hint => "hint, then default",
            Self::Resuming => "full jitter, resuming",
            Self::NoJitter => "exponential, no jitter",
            Self::Fixed1s => "fixed 1 s",
            Self::Fixed100ms => "fixed 100 ms",
        })
    }
}

impl Policy {
    /// The policy for [`Backoff`].
    #[must_use]
    pub fn backoff_policy(self) -> BackoffPolicy {
        let fixed = |millis| BackoffPolicy::fixed(Duration::from_millis(millis));
        match self {
            Self::Jitter | Self::Hint | Self::NoJitter => BackoffPolicy::default(),
            Self::Resuming => BackoffPolicy::default().first(FIRST_WAIT).cap(MAX_WAIT),
            Self::Fixed1s => fixed(1000),
            Self::Fixed100ms => fixed(100),
        }
    }

    /// Whether `--real` plays it: a real client has no back-off without jitter, and resumes only
    /// sessions that it has.
    pub(super) fn is_of_real_clients(self) -> bool {
        !matches!(self, Self::NoJitter | Self::Resuming)
    }

    /// What one client does when it has just lost its server.
    pub(super) fn waits(self, hint: Duration, seed: u64) -> Waits {
        let mut backoff = Backoff::new(self.backoff_policy(), seed);
        if self == Self::Hint {
            // It was connected for long.
            backoff.handle_connected(Instant::from_nanos(0));
            backoff.handle_disconnected(Instant::from_nanos(u64::MAX));
            backoff.handle_hint(Duration::ZERO, hint);
        }
        Waits { backoff, draws: self != Self::NoJitter }
    }
}

/// The delays of one client, from the product's own `Backoff`.
#[derive(Debug)]
pub(super) struct Waits {
    backoff: Backoff,
    draws: bool,
}

impl Waits {
    pub(super) fn next_wait(&mut self) -> Duration {
        let max_wait = self.backoff.max_wait();
        let wait = self.backoff.next_wait();
        if self.draws { wait } else { max_wait }
    }
}
