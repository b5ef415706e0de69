//! Limits on what clients can make a server do, hold and wait for. All have defaults.

use core::num::NonZeroU32;
use core::time::Duration;

use heartwire_core::{FrameLimits, Policy, frame};

pub use super::admission::Rate;
pub use super::event::Refusal;

/// How many clients a server accepts, and how fast.
///
/// For limits per address, an address is an IPv4 address, or the first 64 bits of an IPv6 address,
/// because one host can use all addresses of such a prefix; an IPv4-mapped IPv6 address counts as
/// IPv4. Many clients can share one: behind a carrier's or a company's NAT, behind a load balancer,
/// or on a link whose addresses begin with `fe80::`. The machine's own addresses are limited too,
/// because a proxy or a tunnel may be behind them.
#[derive(Clone, Debug)]
#[must_use]
pub struct Admission {
    pub(super) max_sessions: usize,
    pub(super) max_pending: Option<usize>,
    pub(super) stale_after: Duration,
    pub(super) max_per_address: Option<NonZeroU32>,
    pub(super) accept_rate_per_address: Option<Rate>,
    pub(super) accept_rate: Option<Rate>,
    pub(super) max_addresses: usize,
    pub(super) many_per_name: bool,
}

impl Admission {
    /// Default for [`max_sessions`](Self::max_sessions): chosen so that kernel memory, about 4.6 KB
    /// per socket, stays under half a gigabyte.
    pub const MAX_SESSIONS: usize = 100_000;
    /// Default for [`max_pending`](Self::max_pending) where clients send first and at once: with
    /// tokens, with TLS, and on protocol v1 only. An honest client waits for a round trip or two;
    /// 4,096 that wait 400 ms each are 10,240 per second, more than the default
    /// [`accept_rate`](Self::accept_rate).
    pub const MAX_PENDING: usize = 4096;
    /// Default for [`stale_after`](Self::stale_after): half of a client's default handshake
    /// timeout. The other half is left for the network and the handshake.
    pub const STALE_AFTER: Duration = Duration::from_millis(2500);
    /// Default for [`accept_rate`](Self::accept_rate): without it, clients that connect and
    /// disconnect could use up all of a server's time. Accepting and closing take about 25 µs, so
    /// this is a quarter of one processor. The burst admits a fifth of
    /// [`MAX_SESSIONS`](Self::MAX_SESSIONS) at once after a restart.
    pub const ACCEPT_RATE: Rate = Rate::of(10_000, 20_000);
    /// High enough for a NAT with the maximum of clients, one per port, some 64,500. If they
    /// reconnect over the 30 s of the default back-off after an outage, all are connected after
    /// 45 s. One address that only connects costs 1,000 handshakes per second.
    const ACCEPT_RATE_PER_ADDRESS: Rate = Rate::of(1_000, 20_000);

    /// Maximum number of sessions. The server refuses further clients. Default
    /// [`MAX_SESSIONS`](Self::MAX_SESSIONS).
    pub const fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Maximum number of pending clients, which have connected and are not accepted yet. With so
    /// many, the server drops one for each new client, so that a flood of silent clients cannot
    /// lock others out: one that has said nothing for 400 ms, or else one that has said something
    /// and was pending for a second, those first that have waited longest. If there is neither,
    /// new clients wait in the kernel. Default with tokens, with TLS, and on v1 only:
    /// [`MAX_PENDING`](Self::MAX_PENDING), or half of what [sessions](Self::max_sessions) and
    /// descriptors allow if that is less. Default where v0 is accepted: as many as sessions,
    /// because all v0 clients that reconnect after an outage may stay silent for one interval. At
    /// least one per shard.
    ///
    /// When there is no room or no descriptor for a new client, the server also drops the pending
    /// client that has waited longest, if it has waited for more than a second.
    pub const fn max_pending(mut self, clients: usize) -> Self {
        self.max_pending = Some(clients);
        self
    }

    /// The oldest start of a TLS handshake, or HELLO without TLS, that is still answered. A client
    /// that has waited longer has left or is about to: the server tells it to come back (BYE
    /// [`Full`](heartwire_core::v1::ByeCode::Full); with TLS it only closes the connection), which
    /// costs little, and has time for others. A TLS handshake that has begun is ended, however
    /// late: most of its work is done. The age counts from when the last byte arrived in the
    /// kernel, not from when the client connected. Clients on protocol v0 wait without end and are
    /// always accepted.
    ///
    /// Default [`STALE_AFTER`](Self::STALE_AFTER); set it to half of your clients' handshake
    /// timeout. Only Linux knows the age; elsewhere, and with [`Duration::MAX`], every HELLO is
    /// answered.
    pub const fn stale_after(mut self, waited: Duration) -> Self {
        self.stale_after = waited;
        self
    }

    /// Maximum number of sessions from one address. Default: `None`, because a limit that is safe
    /// behind a NAT protects nothing, and one that protects refuses whole companies; the total is
    /// limited in any case. If your clients do not share addresses, set it to at least twice what
    /// one client needs: a client that reconnects counts twice until its old connection is known to
    /// be dead. As many more may be [away](super::Event::Away); what would be one too many ends.
    pub const fn max_per_address(mut self, sessions: Option<NonZeroU32>) -> Self {
        self.max_per_address = sessions;
        self
    }

    /// Rate of new connections from one address; `None` is no limit. Default: 1,000 per second,
    /// with a burst of 20,000.
    pub const fn accept_rate_per_address(mut self, rate: Option<Rate>) -> Self {
        self.accept_rate_per_address = rate;
        self
    }

    /// Rate of new connections from all addresses together; `None` is no limit. Connections that
    /// exceed their own address's limits do not count, so that one address cannot use up the rate
    /// of all. Default: [`ACCEPT_RATE`](Self::ACCEPT_RATE).
    pub const fn accept_rate(mut self, rate: Option<Rate>) -> Self {
        self.accept_rate = rate;
        self
    }

    /// Maximum number of addresses to count. Clients from further addresses are only subject to the
    /// limits for all, and the log says so: limits per address do not stop an attacker with that
    /// many addresses, and refusing unknown addresses would let it lock out all other clients.
    ///
    /// Default: 262,144, more than twice [`MAX_SESSIONS`](Self::MAX_SESSIONS), so that each session
    /// can have its own address and as many can have just disconnected. They take about 25 MB then.
    pub const fn max_addresses(mut self, addresses: usize) -> Self {
        self.max_addresses = addresses;
        self
    }

    /// Whether any number of sessions may have the same name at a time, as the connections of one
    /// user. Then a name is only what a client is called, and what its
    /// [token](super::auth::Tokens) is for; all its epochs are 0. Default: no, and of two sessions
    /// with a name the newer one takes it over.
    pub const fn many_per_name(mut self, many: bool) -> Self {
        self.many_per_name = many;
        self
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            max_sessions: Self::MAX_SESSIONS,
            max_pending: None,
            stale_after: Self::STALE_AFTER,
            max_per_address: None,
            accept_rate_per_address: Some(Self::ACCEPT_RATE_PER_ADDRESS),
            accept_rate: Some(Self::ACCEPT_RATE),
            max_addresses: 1 << 18,
            many_per_name: false,
        }
    }
}

/// Limits on the frames that a client sends, and on what a server buffers for its clients.
#[derive(Clone, Debug)]
#[must_use]
pub struct Limits {
    max_frame: u32,
    handshake_timeout: Timeout,
    frame_timeout: Timeout,
    pub(super) max_queue: usize,
    pub(super) max_buffered: usize,
    pub(super) max_pending_buffered: usize,
}

#[derive(Clone, Copy, Debug)]
enum Timeout {
    /// What suits the policy.
    Default,
    Set(Option<Duration>),
}

impl Timeout {
    fn or(self, default: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Default => default,
            Self::Set(timeout) => timeout,
        }
    }
}

impl Limits {
    /// Default for [`max_queue`](Self::max_queue): four of the longest frames by default.
    pub const MAX_QUEUE: usize = 256 * 1024;
    /// Default for [`max_buffered`](Self::max_buffered): a thousand sessions with full queues, and
    /// about half of the kernel's memory for the default maximum of sessions.
    pub const MAX_BUFFERED: usize = 256 * 1024 * 1024;
    /// Default for [`max_pending_buffered`](Self::max_pending_buffered): five hundred of the
    /// longest first frames, or a thousand of the longest TLS messages. A HELLO is far shorter, and
    /// usually arrives whole.
    pub const MAX_PENDING_BUFFERED: usize = 32 * 1024 * 1024;

    /// The longest body that a client may send, in bytes; capped at [`frame::MAX_FRAME`]. Default
    /// [`FrameLimits::MAX_FRAME`].
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.max_frame = bytes.min(frame::MAX_FRAME);
        self
    }

    /// Time from the connection, or from the end of the TLS handshake, to a client's first whole
    /// header; `None` is no limit. Clamped to 1 ms to 49 days.
    ///
    /// Default: that of [`FrameLimits`], or twice the client's interval if that is longer, so that
    /// a client that waits one interval before its first beat is never refused.
    pub const fn handshake_timeout(mut self, within: Option<Duration>) -> Self {
        self.handshake_timeout = Timeout::Set(within);
        self
    }

    /// Time from the first byte of a frame to its last, plus one second per KiB of its body; `None`
    /// is no limit. Clamped to 1 ms to 49 days.
    ///
    /// Default: that of [`FrameLimits`], or the timeout if that is longer, so that an outage within
    /// a frame is survived if one between frames is.
    pub const fn frame_timeout(mut self, within: Option<Duration>) -> Self {
        self.frame_timeout = Timeout::Set(within);
        self
    }

    /// Maximum bytes queued for one client, headers included, not counting its socket's send
    /// buffer. A client whose queue would grow past it is disconnected as a slow reader. Default
    /// [`MAX_QUEUE`](Self::MAX_QUEUE); at least 64.
    pub fn max_queue(mut self, bytes: usize) -> Self {
        self.max_queue = bytes.max(64);
        self
    }

    /// Maximum bytes buffered for all sessions together: queues and incomplete frames. Kernel
    /// memory does not count (about 4.6 KB per socket, more for a client that does not read). Each
    /// shard has an equal share, at least enough for one full queue. When it is used up, the
    /// sessions that hold most of it end with
    /// [`Reason::MostBuffered`](crate::Reason::MostBuffered), until a quarter is free again.
    /// Default [`MAX_BUFFERED`](Self::MAX_BUFFERED).
    pub const fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// Maximum bytes buffered for pending clients, which have connected and are not accepted yet.
    /// They count toward [`max_buffered`](Self::max_buffered) too. Default
    /// [`MAX_PENDING_BUFFERED`](Self::MAX_PENDING_BUFFERED).
    pub const fn max_pending_buffered(mut self, bytes: usize) -> Self {
        self.max_pending_buffered = bytes;
        self
    }

    /// The limits on frames from clients under this policy.
    pub(super) fn frames(&self, policy: &Policy) -> FrameLimits {
        let default = FrameLimits::default();
        let two_intervals = policy.peer_interval().map(|interval| interval.saturating_mul(2));
        let handshake_within = default.handshake_within().max(two_intervals);
        let frame_within = default.frame_within().max(policy.timeout());
        default
            .max_frame(self.max_frame)
            .handshake_timeout(self.handshake_timeout.or(handshake_within))
            .frame_timeout(self.frame_timeout.or(frame_within))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: FrameLimits::MAX_FRAME,
            handshake_timeout: Timeout::Default,
            frame_timeout: Timeout::Default,
            max_queue: Self::MAX_QUEUE,
            max_buffered: Self::MAX_BUFFERED,
            max_pending_buffered: Self::MAX_PENDING_BUFFERED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_that_are_not_set_follow_the_policy() {
        let secs = Duration::from_secs;
        let builder = Policy::builder().timeout(secs(60)).peer_interval(secs(20));
        let policy = builder.build().unwrap();
        let frames = Limits::default().max_frame(9).frames(&policy);
        assert_eq!(frames.handshake_within(), Some(secs(40)));
        assert_eq!(frames.frame_within(), Some(secs(60)));
        let frames = Limits::default().handshake_timeout(None).frame_timeout(Some(secs(1)));
        let frames = frames.frames(&policy);
        assert_eq!((frames.handshake_within(), frames.frame_within()), (None, Some(secs(1))));
    }
}
