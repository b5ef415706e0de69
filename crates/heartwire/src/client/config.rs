//! What a client is told when it starts.

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
    /// Given, or what its source told last.
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

    /// Default for [`close_timeout`](Self::close_timeout): 30 s, in which 256 KiB pass through a line of
    /// 70 kbit/s.
    pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

    /// A configuration with every default, for the server at `target`: a `host:port`, where the
    /// host is a name or an address (IPv6 in brackets, with the zone of a link-local one, such as
    /// `[fe80::1%eth0]:39002`). A name is looked up anew for each attempt, so that a server may move, on a
    /// thread that nothing waits for. What is wrong with a target shows as
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

    /// When to beat and what silence to call death.
    ///
    /// Default: [`Preset::Default`](crate::Preset::Default) (beat every 10 s, timeout 30 s). On protocol v1 it is what
    /// this end offers, and the [contract](super::Event::Online) says what came of it; `echo` has no
    /// meaning there. On v0 it must fit the server's: with a server that sends nothing of its own (the
    /// tutorial's), any timeout ends healthy connections; use
    /// [`Preset::Tutorial`](crate::Preset::Tutorial) there.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Which protocol to speak. Default: [`Protocol::V1`]. A server that speaks v0 only, such as the tutorial's,
    /// needs [`Protocol::V0`]. On [`Protocol::Raw`] there are no beats: bytes are reported as they come, and a
    /// timeout judges by them alone.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// How long the server has for the handshake of TLS, if there is one, and then for its WELCOME on wire
    /// v1. Default 5 s; at least 1 ms.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// What this client calls itself on protocol v1: one of the server's sessions at most has that name, and the
    /// newest wins. Default: nothing. Which names there can be is the server's business; one of ours
    /// turns a client away whose name is not a [`valid_name`](crate::server::valid_name).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What shows on protocol v1 that this client may come in. It is never logged. Default: nothing. Without
    /// TLS anybody on the path can read it.
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// As [`token`](Self::token), looked up anew for each attempt: for tokens that are renewed while the
    /// client runs. It is called on a thread of its own, within
    /// [`connect_timeout`](Self::connect_timeout), so it may read a file or ask another program. If it
    /// fails, the client goes on with the last token that it told, or that [`token`](Self::token) was
    /// given; without one, the attempt fails with
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

    /// What this end can do and wants on protocol v1. Default: [`Offer::new`] with the policy.
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// Speaks TLS with the server, and makes sure that it is the right one. Default: it does not. Files
    /// that have changed are read again for each attempt.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: SharedClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How often the application has to [check in](super::Client::feed_watchdog) on protocol v1. When it has not
    /// for so long, beats go on, and say that this client is
    /// [degraded](crate::v1::Health::Degraded): else a heartbeat would outlive a deadlock. Default: never;
    /// at least 1 ms.
    pub fn watchdog(mut self, within: Duration) -> Self {
        self.watchdog = Some(within.max(Duration::from_millis(1)));
        self
    }

    /// What the server may make this client hold, or wait for.
    ///
    /// Default: [`FrameLimits::default`] without a time for the first frame, since a server of protocol v0 may
    /// stay silent for as long as it likes.
    pub fn limits(mut self, limits: FrameLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The kernel's own timers for the connection. Default: `TCP_NODELAY` and nothing else. What is
    /// in force afterwards is in [`Event::Online`](super::Event::Online).
    pub fn kernel(mut self, kernel: KernelOptions) -> Self {
        self.kernel = kernel;
        self
    }

    /// How long the name look-up may take, and then each address. Default 5 s; at least 1 ms.
    ///
    /// Up to 8 addresses are raced (RFC 8305): in the resolver's order, IPv6 and IPv4 in turn, the next one
    /// after 250 ms, or at once when one fails; the first that answers is taken. So with several addresses an
    /// attempt takes 1.75 s more at most. An address that failed comes last for ten minutes, or until a
    /// connection to it was good again: one that refused or did not answer, where the server did not take the
    /// client in, or was called dead.
    ///
    /// Without it a path that drops packets blocks for 135 s (measured). Too short shows as
    /// failures over slow or distant links: leave room for one lost packet, 1 s and more.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long closing may take, from [`close`](super::Client::close) on: until the server has acknowledged
    /// all that was accepted before, and has closed its side. Default
    /// [`CLOSE_TIMEOUT`](Self::CLOSE_TIMEOUT); any time will do.
    ///
    /// All of it is used only while the server acknowledges more and more. A server that acknowledges
    /// nothing new for a tenth of it, for 1 s at least, and for twice the time in which the system sends
    /// again what was lost (Linux; it grows with the round trip), is given up before; and one that has
    /// acknowledged everything, and does not close, is waited for for 1 s. If the server is not known to
    /// have everything, the end is [`Unacknowledged`](crate::Reason::Unacknowledged). What was written may
    /// still arrive then.
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

    /// Comes back even where the server says never to (`unauthorized`, `conflict`, `taken_over` and the
    /// like) or shows a certificate that is not accepted: after a time that is drawn from once to twice `every`, each time, and not before
    /// [`retry`](Self::retry) would. Default: such an answer is final, and the client ends; at least 1 s.
    ///
    /// For clients that no person starts anew: else a wrong token file on the server, for a minute, empties
    /// a fleet. Minutes are a good choice. Where two clients have one name, they take it from each other at
    /// this pace, until the server has enough of it.
    pub fn retry_rejected(mut self, every: Duration) -> Self {
        self.retry_rejected = Some(every.max(Duration::from_secs(1)));
        self
    }

    /// Whether messages wait for the next connection while there is none: in order, up to
    /// [`max_queue`](Self::max_queue). A message whose writing had begun is not sent again, because
    /// the server may have it already.
    ///
    /// Default: no. Messages are refused with
    /// [`SendError::NotConnected`](super::SendError::NotConnected), and those that were waiting when
    /// the connection ended are dropped and counted.
    pub fn offline_queue(mut self, queues: bool) -> Self {
        self.offline_queue = queues;
        self
    }

    /// How many bytes may wait to be written, headers included. Default
    /// [`MAX_QUEUE`](Self::MAX_QUEUE); clamped to 64 bytes to 2 GiB.
    ///
    /// It is also the longest frame that can be sent. When it is used up,
    /// [`send`](super::Client::send) waits and [`try_send`](super::Client::try_send) refuses.
    pub fn max_queue(mut self, bytes: usize) -> Self {
        // The upper end is what a frame's length and a count of permits can hold.
        self.max_queue = bytes.clamp(64, 0x7fff_ffff);
        self
    }

    /// Has the client [look now](super::Client::network_changed) by itself within a second after an address or a
    /// network interface of this machine has changed, or the machine was suspended. Default: it does not. On
    /// other systems than Linux it makes no difference.
    ///
    /// It costs one descriptor for each client, which is woken each second to see.
    pub fn watch_network(mut self) -> Self {
        self.watch_network = true;
        self
    }

    /// Fixes the draws of the waits between attempts, so that a test can repeat them. Default: a
    /// new seed for each client. Clients that share a seed come back in step after an outage.
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

    /// What is to be written first.
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

    /// Another seed, if there is one, for one of several that were given the same.
    pub(crate) fn seed_mixed_with(mut self, other: u64) -> Self {
        self.seed = self.seed.map(|seed| seed ^ other);
        self
    }

    pub(super) fn seed_or_random(&self) -> u64 {
        // The keys of a hasher are drawn from the system's randomness, and differ for each one.
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish())
    }
}

/// Never printed.
#[derive(Clone)]
pub(super) struct Token(pub(super) Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// Tells a token, and may block.
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

/// What a client does when a connection ends or cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// It ends. The last event is [`Closed`](super::Event::Closed).
    Never,
    /// It waits and tries again, for ever.
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
