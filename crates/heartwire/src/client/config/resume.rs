//! How a session outlives its connections.

use core::time::Duration;

use heartwire_core::Backoff;
use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::internal::returning::{FIRST_WAIT, MAX_WAIT};
use heartwire_core::resume::{MAX_WINDOW, MIN_WINDOW};
use heartwire_core::v1::ResumeOffer;

/// The waits start small again after a link that lasted so long, or that carried anything.
pub(in crate::client) const STABLE: Duration = MAX_WAIT;

/// How much is kept of a session, and for how long, so that it outlives its connections. For
/// [`ClientConfig::resume`](super::ClientConfig::resume).
///
/// ```
/// use core::time::Duration;
/// use heartwire::client::{ClientConfig, Resume};
///
/// let resume = Resume::default().grace(Duration::from_secs(600));
/// let config = ClientConfig::new("gateway.example:29002").resume(resume);
/// # let _ = config;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Resume {
    window: u32,
    grace: Duration,
    pub(super) suspects: bool,
}

impl Resume {
    /// Default for [`window`](Self::window): 2 MiB, which is 280 Mbit/s over a round trip of
    /// 60 ms, and enough for loopback (`docs/benchmarks.md`).
    pub const WINDOW: u32 = 2 * 1024 * 1024;

    /// Default for [`grace`](Self::grace): two minutes, in which a phone changes its network and a
    /// router restarts.
    pub const GRACE: Duration = Duration::from_secs(120);

    /// How many bytes of messages, headers included, may be on their way in each direction without
    /// being taken over. Default [`WINDOW`](Self::WINDOW); clamped to 16 B to 1 GiB. The server may
    /// grant less.
    ///
    /// It bounds the memory of what may have to be sent again, in addition to
    /// [`max_queue`](super::ClientConfig::max_queue), and the throughput: at most a window for each
    /// round trip. A message may be half as long at most.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.clamp(MIN_WINDOW, MAX_WINDOW);
        self
    }

    /// How long the session is held without a connection. Default [`GRACE`](Self::GRACE). The
    /// server may grant less.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Whether the client makes a spare connection as soon as it suspects that the one it has is
    /// lost: when it has heard nothing for one and a half of the server's intervals, and when the
    /// network may have changed ([`network_changed`](super::super::Client::network_changed)) and
    /// the server's kernel acknowledges nothing. The session goes on over the spare connection,
    /// with [`Reason::Suspected`](crate::Reason::Suspected), unless the old one speaks before it is
    /// made, TLS included. Default: no.
    ///
    /// So a client that has another address is back after a round trip or two, rather than after
    /// its timeout. A wrong suspicion costs a connection to the server, and ends nothing.
    pub const fn suspect(mut self, suspects: bool) -> Self {
        self.suspects = suspects;
        self
    }

    pub(super) const fn offer(&self) -> ResumeOffer {
        ResumeOffer { to_server: self.window, to_client: self.window, grace: self.grace }
    }

    pub(super) fn backoff(seed: u64) -> Backoff {
        let policy = BackoffPolicy::default().first(FIRST_WAIT).cap(MAX_WAIT).stable(STABLE);
        Backoff::new(policy, seed)
    }
}

impl Default for Resume {
    fn default() -> Self {
        Self { window: Self::WINDOW, grace: Self::GRACE, suspects: false }
    }
}
