//! What a server is told when it starts.

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::thread;

use heartwire_core::v1::{BEAT_LEN, Offer, PAD_LEN_MAX, Terms};
use heartwire_core::{Caps, Policy, Preset, Settings, Side, Wire, frame};

use super::agenda::{Account, Held};
use super::descriptors;
use super::gate::{AddressCaps, SharedTokens};
use super::id::SHARDS_MAX;
use super::link::TlsWithin;
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

/// Which versions of the wire a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wires {
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
    pub(super) shards: usize,
    pub(super) acceptor: Acceptor,
    pub(super) policy: Policy,
    pub(super) caps: Option<Caps>,
    pub(super) kernel: KernelOptions,
    pub(super) sessions_max: usize,
    pub(super) outbound_max: usize,
    pub(super) held_max: usize,
    pub(super) pending_held_max: usize,
    pub(super) drain: Duration,
    pub(super) stale_after: Duration,
    pub(super) coalesce: Option<u16>,
    pub(super) wires: Wires,
    pub(super) offer: Option<Offer>,
    pub(super) tokens: Option<SharedTokens>,
    pub(super) addresses: AddressCaps,
    pub(super) pending_max: Option<usize>,
    pub(super) tls: Option<SharedServerTls>,
    pub(super) tls_within: Duration,
}

impl ServerConfig {
    /// Default for [`sessions_max`](Self::sessions_max): chosen so that the kernel's share alone,
    /// about 4.6 KB a socket, stays under half a gigabyte.
    pub const SESSIONS_MAX: usize = 100_000;
    /// Default for [`outbound_max`](Self::outbound_max): four of the longest frames at the default
    /// [`Caps`].
    pub const OUTBOUND_MAX: usize = 256 * 1024;
    /// Default for [`held_max`](Self::held_max): a thousand sessions whose queue is full, and half of what the
    /// kernel takes for as many sessions as there may be.
    pub const HELD_MAX: usize = 256 * 1024 * 1024;
    /// Default for [`pending_held_max`](Self::pending_held_max): five hundred of the longest first frames, or a
    /// thousand of the longest messages of TLS. A HELLO is far shorter, and is whole when it comes.
    pub const PENDING_HELD_MAX: usize = 32 * 1024 * 1024;
    /// Default for [`coalesce`](Self::coalesce).
    pub const COALESCE: u16 = 1;
    /// Default for [`coalesce`](Self::coalesce) on wire v1, where data wakes the server however many beats
    /// lie before it.
    pub const COALESCE_V1: u16 = 4;
    /// Default for [`pending_max`](Self::pending_max) where clients speak first and at once: with tokens, with
    /// TLS, and on wire v1 alone. Of those who are honest each waits for a round trip or two: so many for
    /// 200 ms are 20,000 a second.
    pub const PENDING_MAX: usize = 4096;
    /// Default for `tls_within`, which the feature `tls` adds: two round trips on any path, with a lost
    /// packet in each.
    pub const TLS_WITHIN: Duration = Duration::from_secs(5);
    /// Default for [`drain`](Self::drain).
    pub const DRAIN: Duration = Duration::from_secs(5);
    /// Default for [`stale_after`](Self::stale_after): half of what our clients wait for a WELCOME. The other
    /// half is for the way, and for the handshake itself.
    pub const STALE_AFTER: Duration = Duration::from_millis(2500);

    /// A server on `listen`, with one shard for each processor and [`Preset::Usual`]. Port 0 lets
    /// the system choose.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen: vec![listen],
            shards: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            acceptor: Acceptor::of_system(),
            policy: Preset::Usual.policy(Side::Server),
            caps: None,
            kernel: KernelOptions::default(),
            sessions_max: Self::SESSIONS_MAX,
            outbound_max: Self::OUTBOUND_MAX,
            held_max: Self::HELD_MAX,
            pending_held_max: Self::PENDING_HELD_MAX,
            drain: Self::DRAIN,
            stale_after: Self::STALE_AFTER,
            coalesce: None,
            wires: Wires::Any,
            offer: None,
            tokens: None,
            addresses: AddressCaps::default(),
            pending_max: None,
            tls: None,
            tls_within: Self::TLS_WITHIN,
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
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards.clamp(1, SHARDS_MAX);
        self
    }

    /// How clients reach the shards. Default: [`Acceptor::of_system`].
    pub const fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// When to beat, when to call a client dead, whether to answer. Default: [`Preset::Usual`].
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What a client may make a session hold, or wait for. Default: [`Caps::default`], with the
    /// time for the first frame stretched to twice the client's beat where that is longer, so that
    /// a client that waits one beat before its first is never refused, and the time for a frame to
    /// the limit, so that a blackout within a frame is outlived where one between frames is.
    pub const fn caps(mut self, caps: Caps) -> Self {
        self.caps = Some(caps);
        self
    }

    /// Kernel options for each session's socket. Default: [`KernelOptions::default`].
    pub const fn kernel(mut self, kernel: KernelOptions) -> Self {
        self.kernel = kernel;
        self
    }

    /// Most sessions at one time. Further clients are closed at once. Default
    /// [`SESSIONS_MAX`](Self::SESSIONS_MAX).
    pub const fn sessions_max(mut self, sessions: usize) -> Self {
        self.sessions_max = sessions;
        self
    }

    /// Most bytes that may wait for one client, heads included, beyond what its socket holds. A
    /// client whose queue would grow past it is closed as a slow reader. Default
    /// [`OUTBOUND_MAX`](Self::OUTBOUND_MAX); at least 64.
    pub fn outbound_max(mut self, bytes: usize) -> Self {
        self.outbound_max = bytes.max(64);
        self
    }

    /// Most bytes held for all sessions together: queued for them, or of frames that are not whole. What the
    /// kernel holds, about 4.6 KB for a socket and more for one that does not read, is not among them. Each shard
    /// has an equal share of it, or room for one full queue where that is more. When it is reached, those
    /// sessions end for which most is held, with [`Reason::HeldMost`](crate::Reason::HeldMost), until a quarter is free
    /// again. Default [`HELD_MAX`](Self::HELD_MAX).
    pub const fn held_max(mut self, bytes: usize) -> Self {
        self.held_max = bytes;
        self
    }

    /// The same for clients that have connected and not been taken in. It is a part of the above. Default
    /// [`PENDING_HELD_MAX`](Self::PENDING_HELD_MAX).
    pub const fn pending_held_max(mut self, bytes: usize) -> Self {
        self.pending_held_max = bytes;
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
    /// when the client connected. Clients of wire v0 wait for ever, and are always taken in.
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
    /// cost less, and a data frame of up to `8 × beats` bytes, head included, can then wait until as
    /// many bytes have gathered, at worst until the deadline; so can a head of 8 bytes that breaks the
    /// protocol. A session's first frame never waits. 0: off. It is off too without a limit, because
    /// there is no deadline to wait for, and with echo, because beats are to be answered.
    ///
    /// On wire v1 the default is [`COALESCE_V1`](Self::COALESCE_V1), and no data waits: the client pads what
    /// is too short to wake the server.
    ///
    /// With TLS no beat of v0 is held back, because its goodbye (close_notify) would be too. On v1 the server
    /// looks before each of its own beats, so that one waits for a beat at most; where it sends none, nothing
    /// is held back with TLS either.
    pub const fn coalesce(mut self, beats: u16) -> Self {
        self.coalesce = Some(beats);
        self
    }

    /// Which versions of the wire to speak. Default: [`Wires::Any`]. With [tokens](Self::tokens) it is v1
    /// only, because nobody can show a token on v0.
    pub const fn wires(mut self, wires: Wires) -> Self {
        self.wires = wires;
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

    /// How many clients may come from one address, and how fast. Default: [`AddressCaps::default`].
    pub const fn addresses(mut self, caps: AddressCaps) -> Self {
        self.addresses = caps;
        self
    }

    /// Most clients at one time that have connected and not been taken in. When there are more, those go
    /// that have waited longest, so that a flood of silent ones cannot keep others out. Default:
    /// [`PENDING_MAX`](Self::PENDING_MAX), or half of what [sessions](Self::sessions_max) and descriptors
    /// allow if that is less, with [tokens](Self::tokens), with TLS, and on v1 alone. Where v0 is taken too it
    /// is as many as sessions, because a whole population of such clients, come back after an outage, may say
    /// nothing for one beat. At least one for each shard.
    ///
    /// Where there is no place or no descriptor for a newcomer, the client that has waited longest goes as
    /// well, if it has waited for longer than a second, whatever this says.
    pub const fn pending_max(mut self, clients: usize) -> Self {
        self.pending_max = Some(clients);
        self
    }

    /// Has clients speak TLS. Default: they do not.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: SharedServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How long the handshake of [TLS](Self::tls) may take, from the connection on; the time for the first
    /// frame begins after it. Default [`TLS_WITHIN`](Self::TLS_WITHIN).
    #[cfg(feature = "tls")]
    pub const fn tls_within(mut self, within: Duration) -> Self {
        self.tls_within = within;
        self
    }

    pub(super) fn tls_times(&self) -> TlsWithin {
        TlsWithin { handshake: self.tls_within, record: self.caps_in_force().frame_within() }
    }

    /// The most clients that will wait at one time to be taken in.
    #[must_use]
    pub fn pending_max_in_force(&self) -> usize {
        let allowed = self.sessions_max.min(descriptors::limit());
        let takes_v0 = self.tokens.is_none() && self.tls.is_none() && self.wires != Wires::V1;
        let default = if takes_v0 { allowed } else { Self::PENDING_MAX.min(allowed / 2) };
        self.pending_max.unwrap_or(default).max(self.shards)
    }

    pub(super) fn pending_max_per_shard(&self) -> usize {
        self.pending_max_in_force() / self.shards
    }

    pub(super) fn held_per_shard(&self) -> Held {
        // A buffer that grows has room for twice of what is in it at most.
        let one = self.outbound_max.saturating_mul(2);
        let share = |max: usize| Account::new((max / self.shards).max(one));
        Held { all: share(self.held_max), pending: share(self.pending_held_max) }
    }

    /// Whether beats are to lie in the kernel unread, where the system can do that.
    pub(super) fn wants_to_coalesce(&self) -> bool {
        self.coalesce != Some(0) && self.policy.limit().is_some() && !self.policy.echo()
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
        let beat_len = u32::try_from(frame::HEAD_LEN).unwrap_or(u32::MAX);
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
        let beat_len = u32::try_from(frame::HEAD_LEN + BEAT_LEN).unwrap_or(u32::MAX);
        let mark = u32::from(beats).saturating_mul(beat_len + self.overhead()).saturating_add(1);
        // A client pads up to this, with one frame at most. TLS adds its own to that.
        mark.saturating_sub(self.overhead()).clamp(1, PAD_LEN_MAX)
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

    /// The caps that will be in force.
    #[must_use]
    pub fn caps_in_force(&self) -> Caps {
        self.caps.unwrap_or_else(|| {
            let caps = Caps::default();
            let two_beats = self.policy.peer_beat().map(|beat| beat.saturating_mul(2));
            caps.first_frame(caps.first_frame_within().max(two_beats))
                .frame(caps.frame_within().max(self.policy.limit()))
        })
    }

    pub(super) fn settings(&self) -> Settings {
        let wire = match self.wires {
            _ if self.tokens.is_some() => Wire::V1Only,
            Wires::V0 => Wire::V0,
            Wires::Any => Wire::Any,
            Wires::V1 => Wire::V1Only,
        };
        Settings::new(self.policy).wire(wire).caps(self.caps_in_force()).tick(TICK)
    }
}
