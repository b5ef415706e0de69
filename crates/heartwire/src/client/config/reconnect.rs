//! When a client reconnects.

use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::collections::hash_map::RandomState;

use heartwire_core::backoff::{Backoff, BackoffPolicy};

/// When a client tries again after a connection has ended or could not be made. For
/// [`ClientConfig::reconnect`](super::ClientConfig::reconnect).
///
/// ```
/// use core::time::Duration;
/// use heartwire::BackoffPolicy;
/// use heartwire::client::{ClientConfig, Reconnect};
///
/// let every_second = Reconnect::new(BackoffPolicy::fixed(Duration::from_secs(1)));
/// let config = ClientConfig::new("gateway.example:29002").reconnect(every_second);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Reconnect {
    policy: BackoffPolicy,
    pub(in crate::client) even_if_rejected: Option<Duration>,
    pub(super) seed: Option<u64>,
}

impl Reconnect {
    /// Tries again without end, after delays of this policy.
    pub const fn new(policy: BackoffPolicy) -> Self {
        Self { policy, even_if_rejected: None, seed: None }
    }

    /// Tries again even if the server says not to (`unauthorized`, `conflict`, `taken_over` and the
    /// like) or its certificate is not accepted: after a random time of one to two times `every`,
    /// and not before the policy says. Default: the client ends. At least 1 s.
    ///
    /// For unattended clients: without it, one minute with a wrong token file on the server ends a
    /// whole fleet. Minutes are a good choice. Two clients with the same name take it over from
    /// each other at this pace, until the server rejects the newer one.
    pub fn even_if_rejected(mut self, every: Duration) -> Self {
        self.even_if_rejected = Some(every.max(Duration::from_secs(1)));
        self
    }

    /// Seed of the random delays, so that a test can repeat them. Default: a random seed for each
    /// client. Clients that share a seed reconnect in step after an outage.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Mixes `other` into the seed, if one is set, so that clients with the same configuration
    /// differ.
    pub(super) fn mix(&mut self, other: u64) {
        self.seed = self.seed.map(|seed| seed ^ other);
    }

    pub(in crate::client) fn backoff(&self) -> Backoff {
        Backoff::new(self.policy, self.seed.unwrap_or_else(random))
    }
}

/// A random number. `RandomState` takes its keys from the system's randomness; each one differs.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Default for Reconnect {
    fn default() -> Self {
        Self::new(BackoffPolicy::default())
    }
}
