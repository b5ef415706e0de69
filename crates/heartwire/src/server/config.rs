//! What a server is told when it starts.

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::thread;

use heartwire_core::{Caps, Policy, Preset, Settings, Side};

use super::id::SHARDS_MAX;
use crate::kernel::KernelOptions;
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
    pub(super) drain: Duration,
    pub(super) coalesce: u16,
}

impl ServerConfig {
    /// Default for [`sessions_max`](Self::sessions_max): chosen so that the kernel's share alone,
    /// about 4.6 KB a socket, stays under half a gigabyte.
    pub const SESSIONS_MAX: usize = 100_000;
    /// Default for [`outbound_max`](Self::outbound_max): four of the longest frames at the default
    /// [`Caps`].
    pub const OUTBOUND_MAX: usize = 256 * 1024;
    /// Default for [`coalesce`](Self::coalesce).
    pub const COALESCE: u16 = 1;
    /// Default for [`drain`](Self::drain).
    pub const DRAIN: Duration = Duration::from_secs(5);

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
            drain: Self::DRAIN,
            coalesce: Self::COALESCE,
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

    /// How long a shutdown waits for queued bytes to be sent. Default [`DRAIN`](Self::DRAIN).
    pub const fn drain(mut self, within: Duration) -> Self {
        self.drain = within;
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
    pub const fn coalesce(mut self, beats: u16) -> Self {
        self.coalesce = beats;
        self
    }

    /// How many bytes it takes to wake a shard: its sockets' low-water mark.
    pub(super) fn receive_mark(&self) -> u32 {
        if self.coalesce == 0 || self.policy.limit().is_none() || self.policy.echo() {
            return 1;
        }
        if let Err(error) = sys::try_coalescing() {
            tracing::info!(%error, "this system cannot hold beats back: each is read as it comes");
            return 1;
        }
        u32::from(self.coalesce) * 8 + 1
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
        Settings::new(self.policy).caps(self.caps_in_force()).tick(TICK)
    }
}
