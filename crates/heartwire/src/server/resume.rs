//! Sessions that outlive their connections: what a server offers, and what its shards share.

use core::net::IpAddr;
use core::num::NonZeroU32;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;

use heartwire_core::Instant;
use heartwire_core::internal::Gcra;
use heartwire_core::resume::{MAX_WINDOW, MIN_WINDOW, Position};
use heartwire_core::v1::{ResumeOffer, Resumed, Resuming, Secret};

use super::admission::addresses::{AddressCounts, Entered};
use super::id::SessionId;
use super::limits::Admission;
use crate::proof::{Claim, Key, PROOF_LEN, Role};

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
    /// Default for [`window`](Self::window): 280 Mbit/s at a round trip of 60 ms, and enough for
    /// loopback (`docs/benchmarks.md`).
    pub const WINDOW: u32 = 2 * 1024 * 1024;
    /// Default for [`grace`](Self::grace): long enough for a device that changes its network or
    /// drives through a tunnel.
    pub const GRACE: Duration = Duration::from_secs(120);
    /// Default for [`max_replay`](Self::max_replay): 128 clients with a full window.
    pub const MAX_REPLAY: usize = 256 * 1024 * 1024;

    /// What the server offers to its clients.
    pub(super) const fn offer(&self) -> ResumeOffer {
        ResumeOffer { to_server: self.window, to_client: self.window, grace: self.grace }
    }

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

/// How often a session may be resumed at once without carrying anything in between. On a path that
/// cuts each connection at once, a client of ours comes back 8 times before its waits, which double
/// from 0.1 s, are as long as they get.
const RESUMES_AT_ONCE: u32 = 10;

/// The time after which it may be resumed once more: the mean of those longest waits.
const RESUME_EVERY: Duration = Duration::from_secs(5);

/// The rate at which a session with this grace may be resumed. A client that has to wait is told to
/// come back within twice the interval, which is within its grace.
pub(super) fn resume_rate(grace: Duration) -> Gcra {
    let at_once = NonZeroU32::MIN.saturating_add(RESUMES_AT_ONCE - 1);
    Gcra::every(RESUME_EVERY.min(grace / 4), at_once)
}

/// One run of a server: what its sessions are resumed by.
#[derive(Debug)]
pub(super) struct Run {
    /// Tells it from other runs. Ids of sessions mean nothing to another one.
    pub(super) id: u64,
    secret: Key,
}

impl Run {
    /// From a secret that is drawn for this run.
    pub(super) fn new(secret: [u8; PROOF_LEN]) -> Self {
        let secret = Key::new(secret);
        let id = secret.of_session(u64::MAX);
        let id = id.as_bytes().first_chunk().map_or(0, |&bytes| u64::from_le_bytes(bytes));
        Self { id, secret }
    }

    pub(super) fn key(&self, session: SessionId) -> Key {
        self.secret.of_session(session.as_u64())
    }

    /// Whether the client proves that it has the session's key.
    pub(super) fn is_proven(&self, resuming: &Resuming) -> bool {
        let Resuming { server, session, link, ref proof, .. } = *resuming;
        let Position { frames, bytes } = resuming.received;
        let claim = Claim { role: Role::Client, server, session, link, frames, bytes };
        self.secret.of_session(session).is_proven(claim, &proof.0)
    }

    /// The answer to a client that resumes a session.
    pub(super) fn resumed(&self, session: SessionId, link: u32, received: Position) -> Resumed {
        let (server, Position { frames, bytes }) = (self.id, received);
        let of = session.as_u64();
        let claim = Claim { role: Role::Server, server, session: of, link, frames, bytes };
        Resumed { received, proof: Secret(self.key(session).prove(claim)) }
    }
}

/// How many sessions of a server are away, all and of each address.
#[derive(Debug)]
pub(super) struct AwayCount {
    sessions: AtomicUsize,
    max: AtomicUsize,
    addresses: AddressCounts,
}

impl AwayCount {
    /// At most as many as there may be sessions with a connection.
    pub(super) fn new(limits: Admission) -> Self {
        let (sessions, max) = (AtomicUsize::new(0), AtomicUsize::new(limits.max_sessions));
        Self { sessions, max, addresses: AddressCounts::new(without_rates(limits)) }
    }

    /// From now on there may be so many.
    pub(super) fn set(&self, limits: Admission) {
        self.max.store(limits.max_sessions, Relaxed);
        self.addresses.set(without_rates(limits));
    }

    pub(super) fn get(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// How many there may be.
    pub(super) fn max(&self) -> usize {
        self.max.load(Relaxed)
    }

    /// Whether there are too many.
    pub(super) fn is_over(&self) -> bool {
        self.get() > self.max()
    }

    /// Counts a session whose client was there. `None` if too many of that address are away.
    pub(super) fn enter(&self, peer: IpAddr, now: Instant) -> Option<Entered> {
        let entered = self.addresses.enter(peer, now).ok()?;
        self.sessions.fetch_add(1, Relaxed);
        Some(entered)
    }

    pub(super) fn leave(&self, peer: IpAddr, entered: Entered, now: Instant) {
        self.addresses.leave(peer, entered, now);
        self.sessions.fetch_sub(1, Relaxed);
    }
}

/// Losing a connection is not limited by a rate.
fn without_rates(limits: Admission) -> Admission {
    limits.accept_rate(None).accept_rate_per_address(None)
}
