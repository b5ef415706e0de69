//! What a client says on protocol v1.

use core::fmt;
use core::num::NonZero;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use heartwire_core::Policy;
use heartwire_core::v1::{Hello, Offer};

/// What a client says on protocol v1: its name, its token, and what it offers. For
/// [`ClientConfig::v1`](super::ClientConfig::v1).
///
/// ```
/// use heartwire::client::{ClientConfig, V1};
///
/// let v1 = V1::default()
///     .name("hall/door-3")
///     .token_source(|| Ok(std::fs::read_to_string("door.token")?.trim().into()));
/// let config = ClientConfig::new("gateway.example:29002").v1(v1);
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct V1 {
    pub(in crate::client) name: Option<String>,
    /// The configured token, or the last one from `token_source`.
    pub(in crate::client) token: Option<Token>,
    pub(in crate::client) token_source: Option<TokenSource>,
    offer: Option<Offer>,
    pub(in crate::client) watchdog: Option<Duration>,
    /// Drawn at random when the client starts, and kept over its connections.
    pub(super) instance: u64,
}

impl V1 {
    /// The client's name. A server keeps only the newest session of each name. Default: no name. A
    /// Heartwire server rejects a name that is not a
    /// [`valid_name`](crate::server::auth::valid_name).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The token that authenticates this client. It is never logged. Default: none. Without TLS it
    /// can be read on the path.
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(Token(token.into()));
        self
    }

    /// As [`token`](Self::token), read again for each attempt: for tokens that are renewed while
    /// the client runs. `source` is called on a thread of its own, within
    /// [`connect_timeout`](super::ClientConfig::connect_timeout), so it may read a file or ask
    /// another program. If it fails, the client uses the last token that it returned, or the one
    /// from [`token`](Self::token); without one, the attempt fails with
    /// [`ConnectError::Token`](crate::client::ConnectError::Token).
    pub fn token_source(
        mut self,
        source: impl Fn() -> io::Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.token_source = Some(TokenSource(Arc::new(source)));
        self
    }

    /// The settings and capabilities that the client offers. Default: [`Offer::new`] with the
    /// policy.
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offer = Some(offer);
        self
    }

    /// How often the application has to [feed the watchdog](crate::client::Client::feed_watchdog).
    /// When it is late, beats go on but report this client as
    /// [degraded](crate::v1::Health::Degraded): otherwise a heartbeat would hide a deadlock.
    /// Default: no watchdog; at least 1 ms.
    pub fn watchdog(mut self, within: Duration) -> Self {
        self.watchdog = Some(within.max(Duration::from_millis(1)));
        self
    }

    pub(super) fn offer_in_force(&self, policy: &Policy) -> Offer {
        self.offer.unwrap_or_else(|| Offer::new(policy))
    }

    pub(super) fn hello(&self, policy: &Policy, max_frame: u32) -> Hello<'_> {
        let mut hello = Hello::new(self.offer_in_force(policy));
        hello.name = self.name.as_deref();
        hello.token = self.token.as_ref().map(|token| token.0.as_slice());
        hello.agent = Some(concat!("heartwire/", env!("CARGO_PKG_VERSION")));
        hello.instance = NonZero::new(self.instance);
        hello.max_frame = Some(max_frame);
        hello
    }
}

/// A token. `Debug` does not show it.
#[derive(Clone)]
pub(in crate::client) struct Token(pub(in crate::client) Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// A function that returns a token, and may block.
#[derive(Clone)]
pub(in crate::client) struct TokenSource(Arc<dyn Fn() -> io::Result<Vec<u8>> + Send + Sync>);

impl TokenSource {
    pub(in crate::client) fn look_up(&self) -> io::Result<Vec<u8>> {
        (self.0)()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}
