//! The configuration of a server.

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use heartwire_core::internal::v1::{BEAT_LEN, MAX_PAD_LEN};
use heartwire_core::v1::{Offer, Terms};
use heartwire_core::{FrameLimits, Policy, Preset, Protocol, Settings, Side, frame};

use super::admission::pending::MaxPending;
use super::agenda::{Account, Held};
use super::auth::Tokens;
use super::epoch::EpochClock;
use super::id::MAX_SHARDS;
use super::limits::{Admission, Limits};
use super::link::TlsTimeouts;
use super::network::Network;
use super::resume::Resume;
use crate::TICK;
use crate::kernel::KernelOptions;
use crate::tls::{RECORD_OVERHEAD, SharedServerTls};

/// How long a balancer has for its header where clients have any time for their first frame: it
/// sends the header with the connection, and a lost packet takes up to 3 s to be sent again.
const HEADER_WITHIN: Duration = Duration::from_secs(5);

/// Which versions of the protocol a server speaks, and with which clients.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Protocols {
    /// Each client's first frame decides. The default.
    #[default]
    Any,
    /// v0 only. A client is online as soon as it has connected, because it need not send anything.
    V0,
    /// v1 only. A client whose first frame is not a HELLO is disconnected.
    V1,
    /// v1 only, and only clients that have one of these tokens: v0 has no tokens.
    V1WithTokens(Tokens),
}

/// The configuration of a [`Server`](super::Server). Methods can be chained.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerConfig {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) listeners: Vec<Arc<TcpListener>>,
    pub(super) threads: usize,
    pub(super) reuse_port: bool,
    pub(super) policy: Policy,
    pub(super) kernel: KernelOptions,
    pub(super) protocols: Protocols,
    offer: Option<Offer>,
    coalesce: Option<u16>,
    pub(super) admission: Admission,
    pub(super) limits: Limits,
    pub(super) drain: Duration,
    pub(super) max_age: Option<Duration>,
    pub(super) resume: Option<Resume>,
    pub(super) tls: Option<SharedServerTls>,
    tls_handshake_timeout: Duration,
    pub(super) proxy_from: Vec<Network>,
    pub(super) epoch_clock: EpochClock,
}

impl ServerConfig {
    /// Default for [`coalesce`](Self::coalesce).
    pub const COALESCE: u16 = 1;
    /// Default for [`coalesce`](Self::coalesce) on protocol v1, where data wakes the server however
    /// many beats wait before it.
    pub const COALESCE_V1: u16 = 4;

    /// A server that listens on `listen`, with one shard per processor and [`Preset::Default`].
    /// With port 0 the system chooses a port.
    pub fn new(listen: SocketAddr) -> Self {
        Self::without_address().also_listen(listen)
    }

    /// A server on a socket that already listens, such as one that a service manager
    /// [passed](super::passed_sockets), with the same defaults as [`new`](Self::new).
    ///
    /// The server makes the socket non-blocking and sets its sessions' [kernel
    /// options](Self::kernel) on it and on each client that it accepts, because clients may have
    /// connected before. A [`buffers`](crate::kernel::KernelOptions::buffers) size has no effect on
    /// the window that such a client was offered. The backlog, and whether `[::]` accepts clients
    /// of IPv4, stay as they are.
    ///
    /// It is one socket, so the first shard accepts for all, as without
    /// [`reuse_port`](Self::reuse_port). The server closes its own descriptors when it shuts down;
    /// clients that connect later wait as long as the socket is open elsewhere.
    pub fn from_listener(listener: TcpListener) -> Self {
        Self::without_address().also_listener(listener)
    }

    fn without_address() -> Self {
        Self {
            listen: Vec::new(),
            listeners: Vec::new(),
            threads: thread::available_parallelism().map_or(1, NonZeroUsize::get),
            // Elsewhere `SO_REUSEPORT` is missing or does not distribute clients.
            reuse_port: cfg!(any(target_os = "linux", target_os = "android")),
            policy: Preset::Default.policy(Side::Server),
            kernel: KernelOptions::default(),
            protocols: Protocols::default(),
            offer: None,
            coalesce: None,
            admission: Admission::default(),
            limits: Limits::default(),
            drain: Duration::from_secs(5),
            max_age: None,
            resume: None,
            tls: None,
            // Two round trips on any path, with one packet lost in each.
            tls_handshake_timeout: Duration::from_secs(5),
            proxy_from: Vec::new(),
            epoch_clock: EpochClock::new(),
        }
    }

    /// Listens on one more address. `[::]` accepts clients of IPv4 too, unless the server also
    /// listens on an IPv4 address with the same port; any other IPv6 address accepts IPv6 clients
    /// only.
    pub fn also_listen(mut self, listen: SocketAddr) -> Self {
        self.listen.push(listen);
        self
    }

    /// Serves one more socket that already listens, as [`from_listener`](Self::from_listener) does.
    pub fn also_listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(Arc::new(listener));
        self
    }

    /// Number of shards: threads that each serve their own sessions. Default: the number of
    /// processors. Clamped to 1 to 256.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, MAX_SHARDS);
        self
    }

    /// Whether each shard accepts from its own listener on the same port (`SO_REUSEPORT`), and the
    /// kernel distributes the clients. If not, the first shard accepts, and hands clients to all
    /// shards in turn, as with a [socket that already listens](Self::from_listener). Default: on
    /// Linux and Android.
    pub const fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Balancers in front of the server: each connection from these addresses must begin with a
    /// header of the PROXY protocol, version 1 or 2, within the
    /// [handshake timeout](Limits::handshake_timeout) (5 s where that is off). The client's address
    /// in it takes the place of the balancer's in the limits for each address, the log, the events
    /// and lists. TLS, if any, begins after it. A connection from another address cannot use it.
    /// Default: none.
    ///
    /// Connections that are the balancer's own (`LOCAL`, `UNKNOWN`), such as health checks, keep
    /// its address; they count in the limits for all only, and so does each connection of a
    /// balancer until its header has come.
    pub fn proxy_from(mut self, balancers: impl IntoIterator<Item = Network>) -> Self {
        self.proxy_from.extend(balancers);
        self
    }

    /// When to send heartbeats, when to declare a client dead, and whether to echo. Default:
    /// [`Preset::Default`].
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How many clients the server accepts, and how fast. Default: [`Admission::default`].
    pub fn admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// Limits on frames and on what is buffered. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Kernel options for each session's socket. Default: [`KernelOptions::default`].
    pub const fn kernel(mut self, kernel: KernelOptions) -> Self {
        self.kernel = kernel;
        self
    }

    /// How long a shutdown waits for clients to acknowledge their queued data and to close. Default
    /// 5 s.
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

    /// The greatest age of a session, so that clients move to servers that were added behind a
    /// balancer. Default: none. At least 1 s.
    ///
    /// A session ends up to a quarter earlier, as its id decides, so that sessions that began
    /// together do not end together. The server waits until nothing is under way to its client and
    /// everything that came is delivered, for [`drain`](Self::drain) and an interval of the client
    /// at most. Then it tells the client to reconnect within a second (on v0 it closes the
    /// connection), and the session ends with [`Reason::MaxAge`](crate::Reason::MaxAge). A session
    /// that can be [resumed](Self::resume) ends as well: it cannot move to another server, and both
    /// ends are told what was not taken over. One that is away waits for its client first.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age.max(Duration::from_secs(1)));
        self
    }

    /// Keeps the sessions of clients that lose their connection: such a client comes back and goes
    /// on, and both applications get every message once. Only for clients on v1 that want it, and,
    /// unless [allowed](Resume::in_the_clear), with TLS or over loopback. Default: off; a session
    /// ends with its connection.
    ///
    /// The window of such a session takes the place of
    /// [`max_queue`](super::limits::Limits::max_queue): a handler whose
    /// [`send`](super::Control::send) finds no room gets
    /// [`CommandError::Full`](super::CommandError::Full), and other senders end the session with
    /// [`Reason::Overflow`](crate::Reason::Overflow).
    pub const fn resume(mut self, resume: Resume) -> Self {
        self.resume = Some(resume);
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

    /// Which versions of the protocol to speak, and whether clients need tokens. Default:
    /// [`Protocols::Any`].
    pub fn protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// The settings and capabilities that the server offers to clients on v1. Default:
    /// [`Offer::new`] with the policy.
    pub const fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// Requires TLS of all clients, with 5 s for the handshake. Default: no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: SharedServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Requires TLS of all clients as [`tls`](Self::tls) does, with a timeout for the TLS
    /// handshake, counted from the connection. The handshake timeout of the protocol begins after
    /// it.
    #[cfg(feature = "tls")]
    pub fn tls_with_timeout(mut self, tls: SharedServerTls, handshake: Duration) -> Self {
        self.tls_handshake_timeout = handshake;
        self.tls(tls)
    }

    /// The clock that [epochs](super::Agreed::epoch) come from. Default: one of its own, which
    /// began with the wall clock when this configuration was made.
    pub fn epoch_clock(mut self, clock: EpochClock) -> Self {
        self.epoch_clock = clock;
        self
    }

    /// Whether each shard accepts for itself.
    pub(super) fn each_shard_accepts(&self) -> bool {
        self.reuse_port && self.listeners.is_empty()
    }

    pub(super) fn tls_timeouts(&self) -> TlsTimeouts {
        TlsTimeouts {
            header: self.frame_limits().handshake_within().unwrap_or(HEADER_WITHIN),
            handshake: self.tls_handshake_timeout,
            record: self.frame_limits().frame_within(),
        }
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        match &self.protocols {
            Protocols::V1WithTokens(tokens) => Some(tokens),
            Protocols::Any | Protocols::V0 | Protocols::V1 => None,
        }
    }

    /// The maximum number of pending clients.
    pub(super) fn max_pending(&self) -> MaxPending {
        let takes_v0 =
            self.tls.is_none() && matches!(self.protocols, Protocols::Any | Protocols::V0);
        MaxPending::new(&self.admission, takes_v0, self.threads)
    }

    /// The window of sessions that can be resumed; 0 without them.
    pub(super) fn window(&self) -> usize {
        self.resume.map_or(0, |resume| usize::try_from(resume.window).unwrap_or(usize::MAX))
    }

    pub(super) fn held_per_shard(&self) -> Held {
        // A growing buffer's capacity is at most twice its length.
        let one = self.limits.max_queue.max(self.window()).saturating_mul(2);
        let share = |max: usize| Account::new((max / self.threads).max(one));
        Held {
            all: share(self.limits.max_buffered),
            pending: share(self.limits.max_pending_buffered),
            away: share(self.resume.map_or(0, |resume| resume.max_replay)),
        }
    }

    /// Whether the configuration asks for coalescing.
    pub(super) fn wants_to_coalesce(&self) -> bool {
        self.coalesce != Some(0) && self.policy.timeout().is_some() && !self.policy.echo()
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

    /// Bytes of plaintext in one write that wake a shard, for sessions on v1 whose beats have
    /// bodies of this length.
    pub(super) fn wake_bytes(&self, coalesces: bool, beat_len: usize) -> u32 {
        if !coalesces {
            return 1;
        }
        let beats = self.coalesce.unwrap_or(Self::COALESCE_V1);
        let beat_len = u32::try_from(frame::HEADER_LEN + beat_len).unwrap_or(u32::MAX);
        let mark = u32::from(beats).saturating_mul(beat_len + self.overhead()).saturating_add(1);
        // A client pads up to this with at most one frame. TLS adds its overhead to that.
        mark.saturating_sub(self.overhead()).clamp(1, MAX_PAD_LEN)
    }

    pub(super) fn terms(&self, coalesces: bool) -> Terms {
        let offer = self.offer.unwrap_or_else(|| Offer::new(&self.policy));
        Terms::new(offer).wake_bytes(self.wake_bytes(coalesces, BEAT_LEN))
    }

    pub(super) fn frame_limits(&self) -> FrameLimits {
        self.limits.frames(&self.policy)
    }

    pub(super) fn settings(&self) -> Settings {
        let protocol = match self.protocols {
            Protocols::V0 => Protocol::V0,
            Protocols::Any => Protocol::Any,
            Protocols::V1 | Protocols::V1WithTokens(_) => Protocol::V1Only,
        };
        Settings::new(self.policy).protocol(protocol).limits(self.frame_limits()).tick(TICK)
    }
}
