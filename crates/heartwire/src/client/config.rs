//! The configuration of a client.

use core::fmt;
use core::hash::{BuildHasher, Hasher};
use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::io;
use std::sync::Arc;

use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::frame::HEADER_LEN;
use heartwire_core::v1::{Hello, Offer};
use heartwire_core::{FrameLimits, Policy, Settings};

use super::dial::Resolver;
use crate::TICK;
use crate::kernel::KernelOptions;
use crate::tls::SharedClientTls;

/// Where a client connects to, and how it behaves. Any value is valid.
///
/// ```
/// use core::time::Duration;
/// use heartwire::client::{ClientConfig};
/// use heartwire::{Preset, Side};
///
/// let config = ClientConfig::new("gateway.example:29002")
///     .policy(Preset::Fast.policy(Side::Client))
///     .connect_timeout(Duration::from_secs(2))
///     .offline_queue(true);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientConfig {
    pub(super) target: String,
    pub(super) policy: Policy,
    pub(super) protocol: Protocol,
    pub(super) limits: FrameLimits,
    pub(super) kernel: KernelOptions,
    pub(super) connect_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) name: Option<String>,
    /// The configured token, or the last one from `token_source`.
    pub(super) token: Option<Token>,
    pub(super) token_source: Option<TokenSource>,
    pub(super) offer: Option<Offer>,
    pub(super) tls: Option<SharedClientTls>,
    pub(super) watchdog: Option<Duration>,
    pub(super) close_timeout: Duration,
    pub(super) retry: Retry,
    pub(super) retry_rejected: Option<Duration>,
    pub(super) offline_queue: bool,
    pub(super) max_queue: usize,
    pub(super) seed: Option<u64>,
    pub(super) watch_network: bool,
    pub(super) resolver: Resolver,
}

impl ClientConfig {
    /// Default for [`max_queue`](Self::max_queue): 256 KiB, chosen so that four bodies of the
    /// longest default length fit, and a thousand clients in one process hold 256 MiB at most.
    pub const MAX_QUEUE: usize = 256 * 1024;

    /// Default for [`close_timeout`](Self::close_timeout): 30 s, in which a line of 70 kbit/s
    /// carries 256 KiB.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

    /// A configuration with every default, for the server at `target`: a `host:port`, where the
    /// host is a name or an address (IPv6 in brackets, with the zone of a link-local one, such as
    /// `[fe80::1%eth0]:39002`). A name is looked up again for each attempt, so that a server may
    /// move; the lookup runs on a thread of its own. An invalid target is reported as
    /// [`Event::Failed`](super::Event::Failed).
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            policy: Policy::default(),
            protocol: Protocol::V1,
            limits: FrameLimits::default().handshake_timeout(None),
            kernel: KernelOptions::default(),
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            name: None,
            token: None,
            token_source: None,
            offer: None,
            tls: None,
            watchdog: None,
            close_timeout: Self::CLOSE_TIMEOUT,
            retry: Retry::default(),
            retry_rejected: None,
            offline_queue: false,
            max_queue: Self::MAX_QUEUE,
            seed: None,
            watch_network: false,
            resolver: Resolver::system(),
        }
    }

    /// When to send heartbeats, and the timeout after which a silent server is declared dead.
    ///
    /// Default: [`Preset::Default`](crate::Preset::Default) (interval 10 s, timeout 30 s). On
    /// protocol v1 the client offers it, the [contract](super::Event::Online) says what was
    /// negotiated, and `echo` has no meaning. On v0 it must fit the server's policy: with a server
    /// that sends no heartbeats (the tutorial's), any timeout ends healthy connections; use
    /// [`Preset::Tutorial`](crate::Preset::Tutorial) with it.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Which protocol to speak. Default: [`Protocol::V1`]. A server that speaks v0 only, such as
    /// the tutorial's, needs [`Protocol::V0`]. [`Protocol::Raw`] has no heartbeats: bytes are
    /// reported as they come, and only they hold off the timeout.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How long the server may take for the TLS handshake, if there is one, and then again for its
    /// WELCOME on protocol v1. Default 5 s; at least 1 ms.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// The client's name on protocol v1. A server keeps only the newest session of each name.
    /// Default: no name. A Heartwire server rejects a name that is not a
    /// [`valid_name`](crate::server::auth::valid_name).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The token that authenticates this client on protocol v1. It is never logged. Default: none.
    /// Without TLS it can be read on the path.
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// As [`token`](Self::token), read again for each attempt: for tokens that are renewed while
    /// the client runs. `source` is called on a thread of its own, within
    /// [`connect_timeout`](Self::connect_timeout), so it may read a file or ask another program. If
    /// it fails, the client uses the last token that it returned, or the one from
    /// [`token`](Self::token); without one, the attempt fails with
    /// [`ConnectError::Token`](super::ConnectError::Token).
    ///
    /// ```
    /// use heartwire::client::ClientConfig;
    ///
    /// let config = ClientConfig::new("gateway.example:29002")
    ///     .name("hall/door-3")
    ///     .token_source(|| Ok(std::fs::read_to_string("door.token")?.trim().into()));
    /// # let _ = config;
    /// ```
    pub fn token_source(
        mut self,
        source: impl Fn() -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.token_source = Some(TokenSource(Arc::new(source)));
        self
    }

    /// The settings and capabilities that the client offers on protocol v1. Default: [`Offer::new`]
    /// with the policy.
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// Connects with TLS and verifies the server's certificate. Default: no TLS. Changed files are
    /// read again for each attempt.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: SharedClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How often the application has to [feed the watchdog](super::Client::feed_watchdog) on
    /// protocol v1. When it is late, beats go on but report this client as
    /// [degraded](crate::v1::Health::Degraded): otherwise a heartbeat would hide a deadlock.
    /// Default: no watchdog; at least 1 ms.
    pub fn watchdog(mut self, within: Duration) -> Self {
        self.watchdog = Some(within.max(Duration::from_millis(1)));
        self
    }

    /// Limits on the frames that the server sends: their size, and how long they may take.
    ///
    /// Default: [`FrameLimits::default`] without a handshake timeout, because a server of protocol
    /// v0 may stay silent. (On v1 [`handshake_timeout`](Self::handshake_timeout) applies.)
    pub fn limits(mut self, limits: FrameLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Kernel options of the connection, such as keepalive. Default: `TCP_NODELAY` and nothing
    /// else. [`Event::Online`](super::Event::Online) says which are in force.
    pub fn kernel(mut self, kernel: KernelOptions) -> Self {
        self.kernel = kernel;
        self
    }

    /// How long the name lookup may take, and then the connection to each address. Default 5 s; at
    /// least 1 ms.
    ///
    /// Up to 8 addresses are raced (RFC 8305): in the resolver's order, IPv6 and IPv4 in turn, each
    /// one 250 ms after the one before, or at once when that fails; the first that answers is used.
    /// So with several addresses an attempt takes at most 1.75 s more. An address that failed is
    /// tried last for ten minutes, or until a connection to it works again. Failed means: it
    /// refused or did not answer, its server did not accept the client, or was declared dead.
    ///
    /// Without this timeout a path that drops packets blocks for 135 s (measured). If it is too
    /// short, attempts over slow or distant links fail: leave room for one lost packet, at least 1
    /// s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long [`close`](super::Client::close) may take: until the server has acknowledged every
    /// accepted message and has closed its side. Default [`CLOSE_TIMEOUT`](Self::CLOSE_TIMEOUT);
    /// any duration is valid.
    ///
    /// The client waits that long only while the server acknowledges more and more. It gives up
    /// earlier on a server that acknowledges nothing new for a tenth of this time, at least for 1 s
    /// and for twice the retransmission timeout (Linux; it grows with the round trip). It waits 1 s
    /// for a server that has acknowledged everything to close. Unless the server is known to have
    /// everything, the connection ends as [`Unacknowledged`](crate::Reason::Unacknowledged); what
    /// was written may still arrive then.
    pub fn close_timeout(mut self, within: Duration) -> Self {
        self.close_timeout = within;
        self
    }

    /// What to do when a connection ends or cannot be made. Default: [`Retry::Backoff`] with
    /// [`BackoffPolicy::default`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Reconnects even if the server says not to (`unauthorized`, `conflict`, `taken_over` and the
    /// like) or its certificate is not accepted: after a random time of one to two times `every`,
    /// and not before [`retry`](Self::retry) would. Default: the client ends. At least 1 s.
    ///
    /// For unattended clients: without it, one minute with a wrong token file on the server ends a
    /// whole fleet. Minutes are a good choice. Two clients with the same name take it over from
    /// each other at this pace, until the server rejects the newer one.
    pub fn retry_rejected(mut self, every: Duration) -> Self {
        self.retry_rejected = Some(every.max(Duration::from_secs(1)));
        self
    }

    /// Whether messages wait for the next connection while the client is offline: in order, up to
    /// [`max_queue`](Self::max_queue). A message that was partly written is not sent again, because
    /// the server may have received it.
    ///
    /// Default: no. Messages are refused with
    /// [`SendError::NotConnected`](super::SendError::NotConnected), and those that were waiting
    /// when the connection ended are dropped and counted.
    pub fn offline_queue(mut self, queues: bool) -> Self {
        self.offline_queue = queues;
        self
    }

    /// How many bytes may wait to be written, headers included. Default
    /// [`MAX_QUEUE`](Self::MAX_QUEUE); clamped to 64 bytes to 2 GiB.
    ///
    /// It is also the longest frame that can be sent. When the queue is full,
    /// [`send`](super::Client::send) waits and [`try_send`](super::Client::try_send) fails.
    pub fn max_queue(mut self, bytes: usize) -> Self {
        // The maximum fits a frame's length and a count of permits.
        self.max_queue = bytes.clamp(64, 0x7fff_ffff);
        self
    }

    /// Watches this machine's network (Linux only): calls
    /// [`network_changed`](super::Client::network_changed) within a second after an address or an
    /// interface has changed, or the machine was suspended. Default: off.
    ///
    /// It costs one file descriptor per client, and wakes the client every second.
    pub fn watch_network(mut self) -> Self {
        self.watch_network = true;
        self
    }

    /// Seed of the random back-off delays, so that a test can repeat them. Default: a random seed
    /// for each client. Clients that share a seed reconnect in step after an outage.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(super) fn settings(&self) -> Settings {
        let mut limits = self.limits;
        if self.protocol == Protocol::V1 {
            limits = limits.handshake_timeout(Some(self.handshake_timeout));
        }
        Settings::new(self.policy)
            .protocol(self.protocol.into())
            .offer(self.offer_in_force())
            .limits(limits)
            .tick(TICK)
    }

    fn offer_in_force(&self) -> Offer {
        self.offer.unwrap_or_else(|| Offer::new(&self.policy))
    }

    /// The HELLO frame, on protocol v1.
    pub(super) fn hello(&self) -> Option<Vec<u8>> {
        let mut hello = Hello::new(self.offer_in_force());
        hello.name = self.name.as_deref();
        hello.token = self.token.as_ref().map(|token| token.0.as_slice());
        hello.agent = Some(concat!("heartwire/", env!("CARGO_PKG_VERSION")));
        (self.protocol == Protocol::V1).then(|| hello.encode())
    }

    /// The longest body that [`max_queue`](Self::max_queue) leaves room for.
    pub(super) fn max_frame(&self) -> usize {
        self.max_queue - self.header_len()
    }

    pub(super) fn header_len(&self) -> usize {
        if self.protocol == Protocol::Raw { 0 } else { HEADER_LEN }
    }

    /// Mixes `other` into the seed, if one is set, so that clients with the same configuration
    /// differ.
    pub(crate) fn seed_mixed_with(mut self, other: u64) -> Self {
        self.seed = self.seed.map(|seed| seed ^ other);
        self
    }

    pub(super) fn seed_or_random(&self) -> u64 {
        // `RandomState` takes its keys from the system's randomness; each one differs.
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish())
    }
}

/// A token. `Debug` does not show it.
#[derive(Clone)]
pub(super) struct Token(pub(super) Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// A function that returns a token, and may block.
#[derive(Clone)]
pub(super) struct TokenSource(Arc<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>);

impl TokenSource {
    pub(super) fn look_up(&self) -> io::Result<Vec<u8>> {
        (self.0)()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

/// Whether a client reconnects when a connection ends or cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// The client ends. Its last event is [`Closed`](super::Event::Closed).
    Never,
    /// The client waits and tries again, without end.
    Backoff(BackoffPolicy),
}

impl Default for Retry {
    fn default() -> Self {
        Self::Backoff(BackoffPolicy::default())
    }
}

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// Version 0, the tutorial's frames.
    V0,
    /// [Version 1](crate::v1). The default.
    #[default]
    V1,
    /// Bytes without any header. There are no heartbeats.
    Raw,
}

impl From<Protocol> for heartwire_core::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::V0 => Self::V0,
            Protocol::V1 => Self::V1,
            Protocol::Raw => Self::Raw,
        }
    }
}
