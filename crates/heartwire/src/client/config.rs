//! The configuration of a client.

use core::time::Duration;

use heartwire_core::frame::HEADER_LEN;
use heartwire_core::v1::{LastConnection, ResumeOffer, Resuming};
use heartwire_core::{Backoff, FrameLimits, Instant, Policy, Settings};

use super::dial::Resolver;
use crate::TICK;
use crate::kernel::KernelOptions;
use crate::tls::SharedClientTls;

mod reconnect;
mod resume;
mod v1;

pub use reconnect::Reconnect;
pub use resume::Resume;
pub(super) use resume::STABLE;
pub use v1::V1;
pub(super) use v1::{Token, TokenSource};

/// Where a client connects to, and how it behaves. Any value is valid.
///
/// ```
/// use core::time::Duration;
/// use heartwire::client::{ClientConfig, V1};
/// use heartwire::{Preset, Side};
///
/// let config = ClientConfig::new("gateway.example:29002")
///     .v1(V1::default().name("hall/door-3"))
///     .policy(Preset::Fast.policy(Side::Client))
///     .connect_timeout(Duration::from_secs(2))
///     .offline_queue(true);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientConfig {
    pub(super) target: String,
    pub(super) policy: Policy,
    protocol: Protocol,
    pub(super) limits: FrameLimits,
    pub(super) kernel: KernelOptions,
    pub(super) connect_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) tls: Option<SharedClientTls>,
    pub(super) close_timeout: Duration,
    pub(super) reconnect: Option<Reconnect>,
    resume: Option<Resume>,
    pub(super) offline_queue: bool,
    pub(super) max_queue: usize,
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
            protocol: Protocol::V1(Box::default()),
            limits: FrameLimits::default().handshake_timeout(None),
            kernel: KernelOptions::default(),
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(5),
            tls: None,
            close_timeout: Self::CLOSE_TIMEOUT,
            reconnect: Some(Reconnect::default()),
            resume: None,
            offline_queue: false,
            max_queue: Self::MAX_QUEUE,
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

    /// Speaks protocol v1 with these settings. The default, with [`V1::default`].
    pub fn v1(mut self, v1: V1) -> Self {
        self.protocol = Protocol::V1(Box::new(v1));
        self
    }

    /// Speaks protocol v0, the tutorial's frames, as a server that speaks v0 only needs it.
    pub fn v0(mut self) -> Self {
        self.protocol = Protocol::V0;
        self
    }

    /// Speaks no protocol: there are no headers and no heartbeats. Bytes are reported as they come,
    /// and only they hold off the timeout.
    pub fn raw(mut self) -> Self {
        self.protocol = Protocol::Raw;
        self
    }

    /// How long the server may take for the TLS handshake, if there is one, and then again for its
    /// WELCOME on protocol v1. Default 5 s; at least 1 ms.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// Connects with TLS and verifies the server's certificate. Default: no TLS. Changed files are
    /// read again for each attempt.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: SharedClientTls) -> Self {
        self.tls = Some(tls);
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
    /// refused or did not answer, its server did not accept the client, or was declared dead. A
    /// client that comes back to a [session](Self::resume) tries the address of its server first.
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

    /// When to try again after a connection has ended or could not be made: a [`Reconnect`], or
    /// `None` for a client that then ends, with [`Closed`](super::Event::Closed) as its last event.
    /// Default: [`Reconnect::default`].
    pub fn reconnect(mut self, reconnect: impl Into<Option<Reconnect>>) -> Self {
        self.reconnect = reconnect.into();
        self
    }

    /// Makes a session outlive its connections, where the server agrees (protocol v1): a [`Resume`]
    /// says how. Default: `None`, and a session ends with its connection.
    ///
    /// When a connection is lost, the client reports [`Away`](super::Event::Away), connects again
    /// at once, and goes on with the session: [`Back`](super::Event::Back). No message is lost or
    /// doubled, in either direction, and [`send`](super::Client::send) accepts messages meanwhile,
    /// up to [`max_queue`](Self::max_queue). If the session ends after all,
    /// [`Offline`](super::Event::Offline) counts what was not delivered.
    ///
    /// A message then counts as delivered when the server's application has taken it over. What the
    /// server sends counts when this application takes the event, and until then its window is in
    /// use: so an application that takes no events stops the server, and still hears of its end.
    ///
    /// The session's key comes with the WELCOME: without TLS it can be read on the path, and
    /// another client could resume the session with it.
    pub fn resume(mut self, resume: impl Into<Option<Resume>>) -> Self {
        self.resume = resume.into();
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

    /// The settings of a connection that goes on with a session, if there is one.
    pub(super) fn settings(&self, resuming: Option<&Resuming>) -> Settings {
        let settings = Settings::new(self.policy).limits(self.limits).tick(TICK);
        let settings = match &self.protocol {
            Protocol::V0 => settings.protocol(heartwire_core::Protocol::V0),
            Protocol::Raw => settings.protocol(heartwire_core::Protocol::Raw),
            Protocol::V1(v1) => settings
                .protocol(heartwire_core::Protocol::V1)
                .offer(v1.offer_in_force(&self.policy))
                .limits(self.limits.handshake_timeout(Some(self.handshake_timeout)))
                .resume(self.resume_offer()),
        };
        match resuming {
            Some(resuming) => settings.resuming(resuming.session, resuming.only),
            None => settings,
        }
    }

    fn resume_offer(&self) -> Option<ResumeOffer> {
        self.resume.as_ref().map(Resume::offer)
    }

    /// Whether a spare connection is made when the link of a session is suspected to be lost.
    pub(super) fn suspects(&self) -> bool {
        self.resume.is_some_and(|resume| resume.suspects)
    }

    /// The waits between the attempts to go on with a session.
    pub(super) fn resume_backoff(&self) -> Backoff {
        let seed = self.reconnect.and_then(|reconnect| reconnect.seed);
        Resume::backoff(seed.unwrap_or_else(reconnect::random))
    }

    pub(super) fn v1_settings(&self) -> Option<&V1> {
        if let Protocol::V1(v1) = &self.protocol { Some(v1) } else { None }
    }

    pub(super) fn v1_settings_mut(&mut self) -> Option<&mut V1> {
        if let Protocol::V1(v1) = &mut self.protocol { Some(v1) } else { None }
    }

    pub(super) fn even_if_rejected(&self) -> Option<Duration> {
        self.reconnect?.even_if_rejected
    }

    /// A client with this configuration starts: its instance is drawn.
    pub(super) fn start(&mut self) {
        let seed = self.reconnect.and_then(|reconnect| reconnect.seed);
        if let Protocol::V1(v1) = &mut self.protocol {
            v1.instance = seed.unwrap_or_else(reconnect::random);
        }
    }

    /// The HELLO frame, on protocol v1.
    pub(super) fn hello(
        &self,
        last: Option<LastConnection<'_>>,
        resuming: Option<Resuming>,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let v1 = self.v1_settings()?;
        let mut hello = v1.hello(&self.policy, self.limits.longest_frame());
        hello.last = last;
        hello.resume = self.resume_offer();
        hello.resuming = resuming;
        // Other grease on each connection.
        Some(hello.encode_greased(v1.instance ^ now.as_nanos()))
    }

    /// The longest body that [`max_queue`](Self::max_queue) leaves room for.
    pub(super) fn max_frame(&self) -> usize {
        self.max_queue - self.header_len()
    }

    pub(super) fn header_len(&self) -> usize {
        match self.protocol {
            Protocol::V0 | Protocol::V1(_) => HEADER_LEN,
            Protocol::Raw => 0,
        }
    }

    /// Mixes `other` into the seed, if one is set, so that clients with the same configuration
    /// differ.
    pub(crate) fn seed_mixed_with(mut self, other: u64) -> Self {
        if let Some(reconnect) = &mut self.reconnect {
            reconnect.mix(other);
        }
        self
    }
}

#[derive(Clone, Debug)]
enum Protocol {
    V0,
    V1(Box<V1>),
    Raw,
}
