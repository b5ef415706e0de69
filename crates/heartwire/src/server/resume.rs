//! Sessions that outlive their connections: what a server offers, and what its shards share.

use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;

use heartwire_core::resume::{MAX_WINDOW, MIN_WINDOW};

/// How a server keeps the sessions of clients that lost their connection, see
/// [`ServerConfig::resume`](super::ServerConfig::resume). Methods can be chained.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Resume {
    pub(super) window: u32,
    pub(super) grace: Duration,
    pub(super) max_replay: usize,
    pub(super) in_the_clear: bool,
}

impl Resume {
    /// Default for [`window`](Self::window): 35 Mbit/s at a round trip of 60 ms.
    pub const WINDOW: u32 = 256 * 1024;
    /// Default for [`grace`](Self::grace): long enough for a device that changes its network or
    /// drives through a tunnel.
    pub const GRACE: Duration = Duration::from_secs(120);
    /// Default for [`max_replay`](Self::max_replay): 1,024 clients with a full window.
    pub const MAX_REPLAY: usize = 256 * 1024 * 1024;

    /// All as by default.
    pub const fn new() -> Self {
        Self {
            window: Self::WINDOW,
            grace: Self::GRACE,
            max_replay: Self::MAX_REPLAY,
            in_the_clear: false,
        }
    }

    /// Bytes of frames that may be on their way in each direction of a session, that is, sent and
    /// not taken over by the other application: so much a session keeps at most of what it sends,
    /// and as much of what it has received. A frame may take half of it. A client may want less.
    /// Default [`WINDOW`](Self::WINDOW); at least 16 and at most 1 GiB.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.clamp(MIN_WINDOW, MAX_WINDOW);
        self
    }

    /// How long a session waits for its client to come back. A client may want less. Default
    /// [`GRACE`](Self::GRACE).
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Maximum bytes kept for all sessions that are away. Each shard has an equal share, at least
    /// enough for one full session. When it is used up, the sessions that have been away longest
    /// end with [`Reason::ReplayFull`](crate::Reason::ReplayFull). Default
    /// [`MAX_REPLAY`](Self::MAX_REPLAY).
    pub const fn max_replay(mut self, bytes: usize) -> Self {
        self.max_replay = bytes;
        self
    }

    /// Whether sessions outlive their connections on unencrypted connections too, except over
    /// loopback, where they always do. A session's key can then be read on the path: an attacker
    /// who can read the traffic can take over the session. Default: no.
    pub const fn in_the_clear(mut self, allowed: bool) -> Self {
        self.in_the_clear = allowed;
        self
    }
}

impl Default for Resume {
    fn default() -> Self {
        Self::new()
    }
}

/// How many sessions of a server are away.
#[derive(Debug)]
pub(super) struct AwayCount {
    sessions: AtomicUsize,
    max: usize,
}

impl AwayCount {
    /// At most as many as there may be sessions with a connection.
    pub(super) const fn new(max: usize) -> Self {
        Self { sessions: AtomicUsize::new(0), max }
    }

    pub(super) fn get(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// Whether there may be no more.
    pub(super) fn is_full(&self) -> bool {
        self.get() >= self.max
    }

    pub(super) fn enter(&self) {
        self.sessions.fetch_add(1, Relaxed);
    }

    pub(super) fn leave(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }
}
