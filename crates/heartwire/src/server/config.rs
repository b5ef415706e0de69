//! The configuration of a server.

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::thread;

use heartwire_core::internal::v1::{BEAT_LEN, MAX_PAD_LEN};
use heartwire_core::v1::{Offer, Terms};
use heartwire_core::{FrameLimits, Policy, Preset, Protocol, Settings, Side, frame};

use super::admission::{AddressLimits, Tokens};
use super::agenda::{Account, Held};
use super::descriptors;
use super::id::MAX_SHARDS;
use super::link::TlsTimeouts;
use crate::kernel::KernelOptions;
use crate::tls::{RECORD_OVERHEAD, SharedServerTls};
use crate::{TICK, sys};

/// How a server distributes new clients over its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acceptor {
    /// Each shard accepts from its own listener on the same port (`SO_REUSEPORT`), and the kernel
    /// distributes the clients. The default on Linux and Android.
    PerShard,
    /// The first shard accepts, and hands clients to all shards in turn. The default elsewhere,
    /// where `SO_REUSEPORT` is missing or does not spread.
    HandOver,
}

impl Acceptor {
    /// The default for this system.
    #[must_use]
    pub const fn of_system() -> Self {
        if cfg!(any(target_os = "linux", target_os = "android")) {
            Self::PerShard
        } else {
            Self::HandOver
        }
    }
}

/// Which versions of the protocol a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocols {
    /// Each client's first frame decides. The default.
    #[default]
    Any,
    /// v0 only. A client is online as soon as it has connected, because it need not send anything.
    V0,
    /// v1 only. A client whose first frame is not a HELLO is disconnected.
    V1,
}

/// The configuration of a [`Server`](super::Server). Methods can be chained.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerConfig {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) threads: usize,
    pub(super) acceptor: Acceptor,
    pub(super) policy: Policy,
    pub(super) limits: Option<FrameLimits>,
    pub(super) kernel: KernelOptions,
    pub(super) max_sessions: usize,
    pub(super) max_queue: usize,
    pub(super) max_buffered: usize,
    pub(super) max_pending_buffered: usize,
    pub(super) drain: Duration,
    pub(super) stale_after: Duration,
    pub(super) coalesce: Option<u16>,
    pub(super) protocols: Protocols,
    pub(super) offer: Option<Offer>,
    pub(super) tokens: Option<Tokens>,
    pub(super) addresses: AddressLimits,
    pub(super) max_pending: Option<usize>,
    pub(super) tls: Option<SharedServerTls>,
    pub(super) tls_handshake_timeout: Duration,
}

impl ServerConfig {
    /// Default for [`max_sessions`](Self::max_sessions): chosen so that kernel memory, about 4.6 KB
    /// per socket, stays under half a gigabyte.
    pub const MAX_SESSIONS: usize = 100_000;
    /// Default for [`max_queue`](Self::max_queue): four of the longest frames at the default
    /// [`FrameLimits`].
    pub const MAX_QUEUE: usize = 256 * 1024;
    /// Default for [`max_buffered`](Self::max_buffered): a thousand sessions with full queues, and
    /// about half of the kernel's memory for the default maximum of sessions.
    pub const MAX_BUFFERED: usize = 256 * 1024 * 1024;
    /// Default for [`max_pending_buffered`](Self::max_pending_buffered): five hundred of the
    /// longest first frames, or a thousand of the longest TLS messages. A HELLO is far shorter, and
    /// usually arrives whole.
    pub const MAX_PENDING_BUFFERED: usize = 32 * 1024 * 1024;
    /// Default for [`coalesce`](Self::coalesce).
    pub const COALESCE: u16 = 1;
    /// Default for [`coalesce`](Self::coalesce) on protocol v1, where data wakes the server however
    /// many beats wait before it.
    pub const COALESCE_V1: u16 = 4;
    /// Default for [`max_pending`](Self::max_pending) where clients send first and at once: with
    /// tokens, with TLS, and on protocol v1 only. An honest client waits for a round trip or two;
    /// 4,096 that wait 200 ms each are 20,000 per second.
    pub const MAX_PENDING: usize = 4096;
    /// Default for `tls_handshake_timeout`, which the feature `tls` adds: two round trips on any
    /// path, with one packet lost in each.
    pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
    /// Default for [`drain`](Self::drain).
    pub const DRAIN: Duration = Duration::from_secs(5);
    /// Default for [`stale_after`](Self::stale_after): half of a client's default handshake
    /// timeout. The other half is left for the network and the handshake.
    pub const STALE_AFTER: Duration = Duration::from_millis(2500);

    /// A server that listens on `listen`, with one shard per processor and [`Preset::Default`].
    /// With port 0 the system chooses a port.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen: vec![listen],
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            acceptor: Acceptor::of_system(),
            policy: Preset::Default.policy(Side::Server),
            limits: None,
            kernel: KernelOptions::default(),
            max_sessions: Self::MAX_SESSIONS,
            max_queue: Self::MAX_QUEUE,
            max_buffered: Self::MAX_BUFFERED,
            max_pending_buffered: Self::MAX_PENDING_BUFFERED,
            drain: Self::DRAIN,
            stale_after: Self::STALE_AFTER,
            coalesce: None,
            protocols: Protocols::Any,
            offer: None,
            tokens: None,
            addresses: AddressLimits::default(),
            max_pending: None,
            tls: None,
            tls_handshake_timeout: Self::TLS_HANDSHAKE_TIMEOUT,
        }
    }

    /// Listens on one more address. `[::]` accepts clients of IPv4 too, unless the server also
    /// listens on an IPv4 address with the same port; any other IPv6 address accepts IPv6 clients
    /// only.
    pub fn also_listen(mut self, listen: SocketAddr) -> Self {
        self.listen.push(listen);
        self
    }

    /// Number of shards: threads that each serve their own sessions. Default: the number of
    /// processors. Clamped to 1 to 256.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, MAX_SHARDS);
        self
    }

    /// How clients reach the shards. Default: [`Acceptor::of_system`].
    pub const fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// When to send heartbeats, when to declare a client dead, and whether to echo. Default:
    /// [`Preset::Default`].
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Limits on the frames that a client sends: their size, and how long they may take. Default:
    /// [`FrameLimits::default`] with two changes. The handshake timeout is at least twice the
    /// client's interval, so that a client that waits one interval before its first beat is never
    /// refused. The frame timeout is at least the timeout, so that an outage within a frame is
    /// survived if one between frames is.
    pub const fn limits(mut self, limits: FrameLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Kernel options for each session's socket. Default: [`KernelOptions::default`].
    pub const fn kernel(mut self, kernel: KernelOptions) -> Self {
        self.kernel = kernel;
        self
    }

    /// Maximum number of sessions. The server refuses further clients: it tells up to 16 per shard
    /// and second on protocol v1 that it is full, and closes the others at once. Default
    /// [`MAX_SESSIONS`](Self::MAX_SESSIONS).
    pub const fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
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

    /// How long a shutdown waits for clients to acknowledge their queued data and to close. Default
    /// [`DRAIN`](Self::DRAIN).
    ///
    /// Clients on v1 are told at once to reconnect within this time, or within 1 s if it is
    /// shorter; clients on v0 are closed one after another, spread over this time except its last
    /// second. A session ends as [`Shutdown`](crate::Reason::Shutdown) when its client has
    /// acknowledged everything and has closed its side, or had 1 s to do so. A session whose client
    /// has not acknowledged everything in time ends as
    /// [`Unacknowledged`](crate::Reason::Unacknowledged). Zero does not wait.
    pub const fn drain(mut self, within: Duration) -> Self {
        self.drain = within;
        self
    }

    /// The oldest HELLO, or start of a TLS handshake, that is still answered. A client that has
    /// waited longer has left or is about to: the server tells it to come back (BYE
    /// [`Full`](heartwire_core::v1::ByeCode::Full); with TLS it only closes the connection), which
    /// costs little, and has time for others. The age counts from when the last byte arrived in the
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

    /// How many beats of a client may wait in its socket without waking its shard, which reads them
    /// at the client's deadline, or with the next bytes that do wake it. Verdicts stay as exact.
    /// Linux only (`SO_RCVLOWAT` and `TCP_INFO`); elsewhere every beat is read at once.
    ///
    /// Default: 1, which halves the work and delays only data frames without a body. More beats
    /// cost less CPU, but then a data frame of up to `8 × beats` bytes, header included, can wait
    /// until more bytes have arrived, at worst until the deadline; so can an 8-byte header that
    /// breaks the protocol. A session's first frame never waits. 0: off. It is also off without a
    /// timeout, because there is no deadline to wait for, and with echo, because beats must be
    /// answered.
    ///
    /// On protocol v1 the default is [`COALESCE_V1`](Self::COALESCE_V1), and no data waits: the
    /// client pads data that is too short to wake the server.
    ///
    /// With TLS, v0 does not coalesce, because `close_notify` would wait too. On v1 the server
    /// reads before it sends each of its own beats, so `close_notify` waits for at most one
    /// interval; a server that sends no beats does not coalesce with TLS.
    pub const fn coalesce(mut self, beats: u16) -> Self {
        self.coalesce = Some(beats);
        self
    }

    /// Which versions of the protocol to speak. Default: [`Protocols::Any`]. With
    /// [tokens](Self::tokens) it is v1 only, because v0 has no tokens.
    pub const fn protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// The settings and capabilities that the server offers to clients on v1. Default:
    /// [`Offer::new`] with the policy.
    pub const fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// Authentication: which clients the server accepts. Default: all.
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// How many clients may connect from one address, and how fast. Default:
    /// [`AddressLimits::default`].
    pub const fn addresses(mut self, limits: AddressLimits) -> Self {
        self.addresses = limits;
        self
    }

    /// Maximum number of pending clients, which have connected and are not accepted yet. Beyond it
    /// the server drops those that have waited longest, so that a flood of silent clients cannot
    /// lock others out. Default with [tokens](Self::tokens), with TLS, and on v1 only:
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

    /// Requires TLS of all clients. Default: no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: SharedServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long the [TLS](Self::tls) handshake may take, counted from the connection. The handshake
    /// timeout of the protocol begins after it. Default
    /// [`TLS_HANDSHAKE_TIMEOUT`](Self::TLS_HANDSHAKE_TIMEOUT).
    #[cfg(feature = "tls")]
    pub const fn tls_handshake_timeout(mut self, within: Duration) -> Self {
        self.tls_handshake_timeout = within;
        self
    }

    pub(super) fn tls_timeouts(&self) -> TlsTimeouts {
        TlsTimeouts {
            handshake: self.tls_handshake_timeout,
            record: self.limits_in_force().frame_within(),
        }
    }

    /// The maximum number of pending clients in force.
    #[must_use]
    pub fn max_pending_in_force(&self) -> usize {
        let allowed = self.max_sessions.min(descriptors::most());
        let takes_v0 =
            self.tokens.is_none() && self.tls.is_none() && self.protocols != Protocols::V1;
        let default = if takes_v0 { allowed } else { Self::MAX_PENDING.min(allowed / 2) };
        self.max_pending.unwrap_or(default).max(self.threads)
    }

    pub(super) fn max_pending_per_shard(&self) -> usize {
        self.max_pending_in_force() / self.threads
    }

    pub(super) fn held_per_shard(&self) -> Held {
        // A growing buffer's capacity is at most twice its length.
        let one = self.max_queue.saturating_mul(2);
        let share = |max: usize| Account::new((max / self.threads).max(one));
        Held { all: share(self.max_buffered), pending: share(self.max_pending_buffered) }
    }

    /// Whether the configuration asks for coalescing.
    pub(super) fn wants_to_coalesce(&self) -> bool {
        self.coalesce != Some(0) && self.policy.timeout().is_some() && !self.policy.echo()
    }

    /// Whether the server coalesces: the configuration asks for it, and this system can.
    pub(super) fn coalesces(&self) -> bool {
        if !self.wants_to_coalesce() {
            return false;
        }
        let tried = sys::try_coalescing();
        if let Err(error) = &tried {
            tracing::info!(%error, "this system cannot coalesce beats: each is read as it comes");
        }
        tried.is_ok()
    }

    /// The receive low-water mark of v0 sockets: how many bytes wake a shard.
    pub(super) fn receive_mark(&self, coalesces: bool) -> u32 {
        // `close_notify` is shorter than a beat's TLS record, and nothing follows it: any mark that
        // coalesces a beat would delay it until the deadline.
        if !coalesces || self.tls.is_some() {
            return 1;
        }
        let coalesce = self.coalesce.unwrap_or(Self::COALESCE);
        let beat_len = u32::try_from(frame::HEADER_LEN).unwrap_or(u32::MAX);
        u32::from(coalesce) * beat_len + 1
    }

    /// Bytes that TLS adds to each write of a client.
    pub(super) fn overhead(&self) -> u32 {
        if self.tls.is_some() { u32::try_from(RECORD_OVERHEAD).unwrap_or(u32::MAX) } else { 0 }
    }

    /// Bytes of plaintext in one write that wake a shard, for sessions on v1.
    pub(super) fn wake_bytes(&self, coalesces: bool) -> u32 {
        if !coalesces {
            return 1;
        }
        let beats = self.coalesce.unwrap_or(Self::COALESCE_V1);
        let beat_len = u32::try_from(frame::HEADER_LEN + BEAT_LEN).unwrap_or(u32::MAX);
        let mark = u32::from(beats).saturating_mul(beat_len + self.overhead()).saturating_add(1);
        // A client pads up to this with at most one frame. TLS adds its overhead to that.
        mark.saturating_sub(self.overhead()).clamp(1, MAX_PAD_LEN)
    }

    /// The receive low-water mark of v1 sockets, which a write of `wake_bytes` just reaches.
    pub(super) fn wake_mark(&self, coalesces: bool) -> u32 {
        match self.wake_bytes(coalesces) {
            1 => 1,
            bytes => bytes + self.overhead(),
        }
    }

    pub(super) fn terms(&self, coalesces: bool) -> Terms {
        let offer = self.offer.unwrap_or_else(|| Offer::new(&self.policy));
        Terms::new(offer).wake_bytes(self.wake_bytes(coalesces))
    }

    /// The frame limits in force.
    #[must_use]
    pub fn limits_in_force(&self) -> FrameLimits {
        self.limits.unwrap_or_else(|| {
            let limits = FrameLimits::default();
            let two_intervals =
                self.policy.peer_interval().map(|interval| interval.saturating_mul(2));
            limits
                .handshake_timeout(limits.handshake_within().max(two_intervals))
                .frame_timeout(limits.frame_within().max(self.policy.timeout()))
        })
    }

    pub(super) fn settings(&self) -> Settings {
        let protocol = match self.protocols {
            _ if self.tokens.is_some() => Protocol::V1Only,
            Protocols::V0 => Protocol::V0,
            Protocols::Any => Protocol::Any,
            Protocols::V1 => Protocol::V1Only,
        };
        Settings::new(self.policy).protocol(protocol).limits(self.limits_in_force()).tick(TICK)
    }
}
