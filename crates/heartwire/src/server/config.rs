//! What a server is told when it starts.

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::thread;

use heartwire_core::v1::{BEAT_LEN, MAX_PAD_LEN, Offer, Terms};
use heartwire_core::{FrameLimits, Policy, Preset, Protocol, Settings, Side, frame};

use super::admission::{AddressLimits, SharedTokens};
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
    /// Each shard accepts for itself, from a listener of its own on the same port
    /// (`SO_REUSEPORT`); the kernel spreads the clients. The default on Linux and Android.
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
    /// v0 only. A client is online as soon as it has connected, because it need not say anything.
    V0,
    /// v1 only. Whoever begins with anything but a HELLO is sent away.
    V1,
}

/// Everything a [`Server`](super::Server) is told when it starts. The methods take and return it,
/// so that they can be chained.
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
    pub(super) tokens: Option<SharedTokens>,
    pub(super) addresses: AddressLimits,
    pub(super) max_pending: Option<usize>,
    pub(super) tls: Option<SharedServerTls>,
    pub(super) tls_handshake_timeout: Duration,
}

impl ServerConfig {
    /// Default for [`max_sessions`](Self::max_sessions): chosen so that the kernel's share alone,
    /// about 4.6 KB a socket, stays under half a gigabyte.
    pub const MAX_SESSIONS: usize = 100_000;
    /// Default for [`max_queue`](Self::max_queue): four of the longest frames at the default
    /// [`FrameLimits`].
    pub const MAX_QUEUE: usize = 256 * 1024;
    /// Default for [`max_buffered`](Self::max_buffered): a thousand sessions whose queue is full, and half of what the
    /// kernel takes for as many sessions as there may be.
    pub const MAX_BUFFERED: usize = 256 * 1024 * 1024;
    /// Default for [`max_pending_buffered`](Self::max_pending_buffered): five hundred of the longest first frames, or a
    /// thousand of the longest messages of TLS. A HELLO is far shorter, and is whole when it comes.
    pub const MAX_PENDING_BUFFERED: usize = 32 * 1024 * 1024;
    /// Default for [`coalesce`](Self::coalesce).
    pub const COALESCE: u16 = 1;
    /// Default for [`coalesce`](Self::coalesce) on protocol v1, where data wakes the server however many beats
    /// lie before it.
    pub const COALESCE_V1: u16 = 4;
    /// Default for [`max_pending`](Self::max_pending) where clients speak first and at once: with tokens, with
    /// TLS, and on protocol v1 alone. Of those who are honest each waits for a round trip or two: so many for
    /// 200 ms are 20,000 a second.
    pub const MAX_PENDING: usize = 4096;
    /// Default for `tls_handshake_timeout`, which the feature `tls` adds: two round trips on any path, with a lost
    /// packet in each.
    pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
    /// Default for [`drain`](Self::drain).
    pub const DRAIN: Duration = Duration::from_secs(5);
    /// Default for [`stale_after`](Self::stale_after): half of what our clients wait for a WELCOME. The other
    /// half is for the way, and for the handshake itself.
    pub const STALE_AFTER: Duration = Duration::from_millis(2500);

    /// A server on `listen`, with one shard for each processor and [`Preset::Default`]. Port 0 lets
    /// the system choose.
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

    /// Listens on one more address. An IPv6 address takes IPv6 clients only; give both to have
    /// both.
    pub fn also_listen(mut self, listen: SocketAddr) -> Self {
        self.listen.push(listen);
        self
    }

    /// How many shards, each a thread with its own sessions. Default: the number of processors.
    /// Clamped to 1 to 256.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, MAX_SHARDS);
        self
    }

    /// How clients reach the shards. Default: [`Acceptor::of_system`].
    pub const fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// When to beat, when to call a client dead, whether to answer. Default: [`Preset::Default`].
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What a client may make a session hold, or wait for. Default: [`FrameLimits::default`], with the
    /// time for the first frame stretched to twice the client's beat where that is longer, so that
    /// a client that waits one beat before its first is never refused, and the time for a frame to
    /// the timeout, so that a blackout within a frame is outlived where one between frames is.
    pub const fn limits(mut self, limits: FrameLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Kernel options for each session's socket. Default: [`KernelOptions::default`].
    pub const fn kernel(mut self, kernel: KernelOptions) -> Self {
        self.kernel = kernel;
        self
    }

    /// Most sessions at one time. Further clients are closed at once. Default
    /// [`MAX_SESSIONS`](Self::MAX_SESSIONS).
    pub const fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Most bytes that may wait for one client, headers included, beyond what its socket holds. A
    /// client whose queue would grow past it is closed as a slow reader. Default
    /// [`MAX_QUEUE`](Self::MAX_QUEUE); at least 64.
    pub fn max_queue(mut self, bytes: usize) -> Self {
        self.max_queue = bytes.max(64);
        self
    }

    /// Most bytes held for all sessions together: queued for them, or of frames that are not whole. What the
    /// kernel holds, about 4.6 KB for a socket and more for one that does not read, is not among them. Each shard
    /// has an equal share of it, or room for one full queue where that is more. When it is reached, those
    /// sessions end for which most is held, with [`Reason::MostBuffered`](crate::Reason::MostBuffered), until a quarter is free
    /// again. Default [`MAX_BUFFERED`](Self::MAX_BUFFERED).
    pub const fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }

    /// The same for clients that have connected and not been taken in. It is a part of the above. Default
    /// [`MAX_PENDING_BUFFERED`](Self::MAX_PENDING_BUFFERED).
    pub const fn max_pending_buffered(mut self, bytes: usize) -> Self {
        self.max_pending_buffered = bytes;
        self
    }

    /// How long a shutdown waits for clients to acknowledge what is queued for them, and to close. Default
    /// [`DRAIN`](Self::DRAIN).
    ///
    /// Clients that speak v1 are told at once to come back within it, or within 1 s if it is shorter; those
    /// that speak v0 are closed one after the other, spread over it but for its last second. A session is
    /// over ([`Shutdown`](crate::Reason::Shutdown)) when its client has acknowledged everything and has
    /// closed its side, or had 1 s to do that. One whose client has not acknowledged everything in this time
    /// ends as [`Unacknowledged`](crate::Reason::Unacknowledged). Zero waits for nothing.
    pub const fn drain(mut self, within: Duration) -> Self {
        self.drain = within;
        self
    }

    /// How long a HELLO, or what begins the handshake of TLS, may have been here when the server gets
    /// round to it. A client that has waited longer has left or is about to: it is told to come back (BYE
    /// [`Full`](heartwire_core::v1::ByeCode::Full); with TLS its connection is only closed), which costs little,
    /// and others are served in time. It counts from when the last byte arrived, in the kernel, not from
    /// when the client connected. Clients of protocol v0 wait for ever, and are always taken in.
    ///
    /// Default [`STALE_AFTER`](Self::STALE_AFTER); set it to half of what your clients wait. Only Linux can
    /// tell; elsewhere everybody is served. [`Duration::MAX`]: always served.
    pub const fn stale_after(mut self, waited: Duration) -> Self {
        self.stale_after = waited;
        self
    }

    /// How many beats of a client may lie in its socket without waking its shard, which sees them
    /// when the client's deadline comes, or with the next bytes that do wake it. Verdicts are as exact
    /// as without. Linux only (`SO_RCVLOWAT` and `TCP_INFO`); elsewhere every beat is read at once.
    ///
    /// Default: 1, which halves the work and delays nothing but data frames without a body. More beats
    /// cost less, and a data frame of up to `8 × beats` bytes, header included, can then wait until as
    /// many bytes have gathered, at worst until the deadline; so can a header of 8 bytes that breaks the
    /// protocol. A session's first frame never waits. 0: off. It is off too without a timeout, because
    /// there is no deadline to wait for, and with echo, because beats are to be answered.
    ///
    /// On protocol v1 the default is [`COALESCE_V1`](Self::COALESCE_V1), and no data waits: the client pads what
    /// is too short to wake the server.
    ///
    /// With TLS no beat of v0 is held back, because its goodbye (close_notify) would be too. On v1 the server
    /// looks before each of its own beats, so that one waits for a beat at most; where it sends none, nothing
    /// is held back with TLS either.
    pub const fn coalesce(mut self, beats: u16) -> Self {
        self.coalesce = Some(beats);
        self
    }

    /// Which versions of the protocol to speak. Default: [`Protocols::Any`]. With [tokens](Self::tokens) it is v1
    /// only, because nobody can show a token on v0.
    pub const fn protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// What the server can do and wants of clients that speak v1. Default: [`Offer::new`] with the policy.
    pub const fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// Who may come in. Default: anybody.
    pub fn tokens(mut self, tokens: SharedTokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// How many clients may come from one address, and how fast. Default: [`AddressLimits::default`].
    pub const fn addresses(mut self, limits: AddressLimits) -> Self {
        self.addresses = limits;
        self
    }

    /// Most clients at one time that have connected and not been taken in. When there are more, those go
    /// that have waited longest, so that a flood of silent ones cannot keep others out. Default:
    /// [`MAX_PENDING`](Self::MAX_PENDING), or half of what [sessions](Self::max_sessions) and descriptors
    /// allow if that is less, with [tokens](Self::tokens), with TLS, and on v1 alone. Where v0 is taken too it
    /// is as many as sessions, because a whole population of such clients, come back after an outage, may say
    /// nothing for one beat. At least one for each shard.
    ///
    /// Where there is no place or no descriptor for a newcomer, the client that has waited longest goes as
    /// well, if it has waited for longer than a second, whatever this says.
    pub const fn max_pending(mut self, clients: usize) -> Self {
        self.max_pending = Some(clients);
        self
    }

    /// Has clients speak TLS. Default: they do not.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: SharedServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long the handshake of [TLS](Self::tls) may take, from the connection on; the time for the first
    /// frame begins after it. Default [`TLS_HANDSHAKE_TIMEOUT`](Self::TLS_HANDSHAKE_TIMEOUT).
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

    /// The most clients that will wait at one time to be taken in.
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
        // A buffer that grows has room for twice of what is in it at most.
        let one = self.max_queue.saturating_mul(2);
        let share = |max: usize| Account::new((max / self.threads).max(one));
        Held { all: share(self.max_buffered), pending: share(self.max_pending_buffered) }
    }

    /// Whether beats are to lie in the kernel unread, where the system can do that.
    pub(super) fn wants_to_coalesce(&self) -> bool {
        self.coalesce != Some(0) && self.policy.timeout().is_some() && !self.policy.echo()
    }

    /// Whether they do.
    pub(super) fn coalesces(&self) -> bool {
        if !self.wants_to_coalesce() {
            return false;
        }
        let tried = sys::try_coalescing();
        if let Err(error) = &tried {
            tracing::info!(%error, "this system cannot hold beats back: each is read as it comes");
        }
        tried.is_ok()
    }

    /// How many bytes it takes to wake a shard: its sockets' low-water mark.
    pub(super) fn receive_mark(&self, coalesces: bool) -> u32 {
        // TLS's goodbye is shorter than the record of a beat, and nothing comes after it: behind any mark
        // that holds a beat back it would lie until the deadline.
        if !coalesces || self.tls.is_some() {
            return 1;
        }
        let coalesce = self.coalesce.unwrap_or(Self::COALESCE);
        let beat_len = u32::try_from(frame::HEADER_LEN).unwrap_or(u32::MAX);
        u32::from(coalesce) * beat_len + 1
    }

    /// What comes on top of whatever a client writes at a time.
    pub(super) fn overhead(&self) -> u32 {
        if self.tls.is_some() { u32::try_from(RECORD_OVERHEAD).unwrap_or(u32::MAX) } else { 0 }
    }

    /// The same for sessions that speak v1, where `receive_mark` is what it is for others.
    pub(super) fn wake_bytes(&self, coalesces: bool) -> u32 {
        if !coalesces {
            return 1;
        }
        let beats = self.coalesce.unwrap_or(Self::COALESCE_V1);
        let beat_len = u32::try_from(frame::HEADER_LEN + BEAT_LEN).unwrap_or(u32::MAX);
        let mark = u32::from(beats).saturating_mul(beat_len + self.overhead()).saturating_add(1);
        // A client pads up to this, with one frame at most. TLS adds its own to that.
        mark.saturating_sub(self.overhead()).clamp(1, MAX_PAD_LEN)
    }

    /// The low-water mark of sessions that speak v1: what is as long as they are told, and no less, fills
    /// it.
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

    /// The timeouts that will be in force.
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
