//! From a name to a connection.

mod failures;
mod look_up;
mod race;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use heartwire_core::frame::Kind;
use heartwire_core::internal::Typed;
use heartwire_core::v1::{ByeCode, RetryHint};
use heartwire_core::{Instant, Violation};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use self::failures::Failures;
use self::look_up::LookUp;
pub(super) use self::look_up::Resolver;
use self::race::race;
use super::ClientConfig;
use super::config::Token;
use super::runtime::Stream;
use super::transport::Transport;
use crate::kernel::{KernelOptions, KernelReport};
use crate::tls::{CertificateFault, SharedClientTls, TlsError, TlsFault, TlsSession};
use crate::{Reason, clock};

/// A connection that was just made.
#[derive(Debug)]
pub(super) struct Dialled<S> {
    pub(super) transport: Transport<S>,
    /// What the server said while the connection was made.
    pub(super) said: Vec<u8>,
    pub(super) peer: SocketAddr,
    pub(super) kernel: KernelReport,
}

/// What a client remembers from one attempt to the next.
#[derive(Debug, Default)]
pub(super) struct Dialler {
    look_up: LookUp,
    failures: Failures,
}

impl Dialler {
    /// Looks up the target and the credentials, which stay in the configuration, and connects to the first
    /// of the target's addresses that answers.
    pub(super) async fn dial(
        &mut self,
        config: &mut ClientConfig,
    ) -> Result<Dialled<Stream>, ConnectError> {
        let found = self.look_up.run(config).await?;
        match found.token {
            Some(Ok(token)) => config.token = Some(Token(token)),
            Some(Err(error)) if config.token.is_none() => {
                return Err(ConnectError::Token { error });
            }
            Some(Err(error)) => warn!(%error, "no token was told, and the last one stays in use"),
            None => {}
        }
        let config = &*config;
        let within = config.connect_timeout;
        let addresses = self.in_order(found.addresses, clock::now());
        debug!(target = config.target, ?addresses, "looked up");
        let mut tried = Vec::new();
        let connect = |address| connect_within(address, within, &config.kernel);
        let won = race(addresses, connect, &mut tried).await;
        tried.iter().for_each(|tried| self.handle_failed(tried.address, clock::now()));
        let Some(mut dialled) = won else {
            return Err(ConnectError::NoAnswer { target: config.target.clone(), tried });
        };
        if let Some(tls) = &config.tls {
            let peer = dialled.peer;
            if let Err(error) = secure(&mut dialled, tls, config).await {
                self.handle_failed(peer, clock::now());
                return Err(ConnectError::Tls { peer, error });
            }
        }
        Ok(dialled)
    }

    /// These addresses in the order in which they are tried at `now`.
    pub(super) fn in_order(
        &mut self,
        found: impl IntoIterator<Item = SocketAddr>,
        now: Instant,
    ) -> Vec<SocketAddr> {
        self.failures.in_order(found, now)
    }

    /// What is at this address did not take the client in, or was called dead: it is tried last now.
    pub(super) fn handle_failed(&mut self, address: SocketAddr, now: Instant) {
        self.failures.insert(address, now);
    }

    /// A connection to this address was as it should be.
    pub(super) fn handle_worked(&mut self, address: SocketAddr) {
        self.failures.remove(address);
    }
}

/// The handshake of TLS. It has as much time as the one of the wire, which comes after it.
async fn secure(
    dialled: &mut Dialled<Stream>,
    tls: &SharedClientTls,
    config: &ClientConfig,
) -> Result<(), TlsError> {
    let session = TlsSession::client(tls, host_of(&config.target))?;
    let within = config.handshake_timeout;
    match timeout(within, dialled.transport.secure(session)).await {
        Ok(secured) => dialled.said = secured?,
        Err(_) => {
            let detail = format!("nothing came of it in {within:?}");
            return Err(TlsError::Fault { fault: TlsFault::TooSlow, detail });
        }
    }
    Ok(())
}

/// The host of a `host:port`.
fn host_of(target: &str) -> &str {
    target.rsplit_once(':').map_or(target, |(host, _port)| host)
}

async fn connect_within(
    address: SocketAddr,
    within: Duration,
    kernel: &KernelOptions,
) -> io::Result<Dialled<Stream>> {
    timeout(within, connect(address, kernel)).await.unwrap_or_else(|_| {
        let error = format!("no answer within {}", Typed(within));
        Err(io::Error::new(io::ErrorKind::TimedOut, error))
    })
}

async fn connect(address: SocketAddr, kernel: &KernelOptions) -> io::Result<Dialled<Stream>> {
    prepare(TcpStream::connect(address).await?, address, kernel)
}

fn prepare(
    stream: TcpStream,
    peer: SocketAddr,
    kernel: &KernelOptions,
) -> io::Result<Dialled<Stream>> {
    let socket = SockRef::from(&stream);
    // A client that tries a local port again and again while nobody listens there is given that
    // very port as its own some day, and TCP then connects the socket to itself: it would read its
    // own beats, call them life, and keep the port from its server.
    if stream.local_addr()? == stream.peer_addr()? {
        // Closed with a reset, so that the port is free at once for the server.
        socket.set_linger(Some(Duration::ZERO))?;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let kernel = kernel.apply(&socket)?;
    Ok(Dialled { transport: Transport::new(Stream::new(stream)), said: Vec::new(), peer, kernel })
}

/// Why no connection was made. The client's state is as before the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The target is not of the form `host:port`.
    #[error("{target:?} is not a host and a port, such as example.org:29002 ({error})")]
    BadTarget {
        /// The target.
        target: String,
        /// What the look-up said.
        error: io::Error,
    },
    /// The name was not found, or the resolver failed.
    #[error("cannot find the host {}: {}", host_of(target), Plain(error))]
    LookUp {
        /// The target.
        target: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The resolver did not answer in time.
    #[error("cannot find the host {}: no answer within {}", host_of(target), Typed(*within))]
    LookUpTimedOut {
        /// The target.
        target: String,
        /// The time it had.
        within: Duration,
    },
    /// [`ClientConfig::token_source`] failed, and has told no token before.
    #[error("there is no token: {error}")]
    Token {
        /// What it said.
        error: io::Error,
    },
    /// The name exists, without any address.
    #[error("the host {} has no address", host_of(target))]
    NoAddress {
        /// The target.
        target: String,
    },
    /// TLS did not come about with the server.
    #[error("no TLS with {peer}: {error}")]
    Tls {
        /// The address.
        peer: SocketAddr,
        /// Why.
        error: TlsError,
    },
    /// The server took the connection and did not answer the HELLO of protocol v1, or not as it should.
    /// See [`may_speak_v0`](Self::may_speak_v0).
    #[error("{}", NoWelcome(*peer, reason))]
    NoWelcome {
        /// The address.
        peer: SocketAddr,
        /// How the connection ended.
        reason: Reason,
    },
    /// The server answered the HELLO of protocol v1 by turning this client away.
    #[error("{peer} rejected this client: {}{}", Code(*code), Detail(detail))]
    Rejected {
        /// The address.
        peer: SocketAddr,
        /// Why.
        code: ByeCode,
        /// Whether to try again.
        retry: RetryHint,
        /// The server's explanation; empty if there is none.
        detail: String,
    },
    /// No address could be connected to.
    #[error("cannot connect to {target}: {}", List(tried))]
    NoAnswer {
        /// The target.
        target: String,
        /// Every address that was tried, in order, with its own error.
        tried: Vec<AddressError>,
    },
}

impl ConnectError {
    /// Whether another attempt with the same configuration could succeed. The network and the
    /// server may recover; a target that cannot be understood does not. Where the server says never to come
    /// back, or shows a certificate that is not accepted for another reason than its time, this is false,
    /// though a client with [`ClientConfig::retry_rejected`] does.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            // With these, the name of the server cannot be one.
            Self::BadTarget { .. }
            | Self::Tls { error: TlsError::Fault { fault: TlsFault::Local, .. }, .. } => false,
            // A certificate stays as it is until a person makes another one, or trusts another root.
            // But servers renew one that has expired, and this machine's clock may not be set yet.
            Self::Tls {
                error: TlsError::Fault { fault: TlsFault::Certificate(fault), .. },
                ..
            } => matches!(fault, CertificateFault::Expired | CertificateFault::NotYetValid),
            Self::Rejected { retry, .. } => !matches!(retry, RetryHint::Never),
            Self::LookUp { .. }
            | Self::LookUpTimedOut { .. }
            | Self::Token { .. }
            | Self::NoAddress { .. }
            | Self::Tls { .. }
            | Self::NoWelcome { .. }
            | Self::NoAnswer { .. } => true,
        }
    }

    /// Whether a server that speaks [protocol v0](crate::client::Protocol::V0) only does what this one did: it sends
    /// no WELCOME. So does one that is full, and one of another service.
    #[must_use]
    pub const fn may_speak_v0(&self) -> bool {
        // After anything else it is a server of v1, or of another service.
        matches!(self, Self::NoWelcome { reason, .. } if !is_wrong_answer(reason))
    }
}

/// Whether the server has answered HELLO, and not as a server of protocol v1 does. Neither does one of
/// protocol v0, which has said nothing, or only data.
const fn is_wrong_answer(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Protocol(
            Violation::BadWelcome
                | Violation::BadBye
                | Violation::TooLong { .. }
                | Violation::NegativeLength { .. }
                | Violation::UnknownType { .. }
                | Violation::Unexpected { kind: Kind::Hello | Kind::Pad | Kind::Heart }
        )
    )
}

impl ConnectError {
    /// Whether this client would not have the server, for its certificate.
    pub(super) const fn is_rejection(&self) -> bool {
        let fault = if let Self::Tls { error, .. } = self { error.fault() } else { None };
        matches!(fault, Some(TlsFault::Certificate(_)))
    }
}

/// Why one address could not be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{address}: {}", Plain(error))]
pub struct AddressError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said. [`io::ErrorKind::TimedOut`] where nothing came back within
    /// [`ClientConfig::connect_timeout`].
    pub error: io::Error,
}

/// An explanation after a colon, if there is one. It comes from elsewhere, so it cannot end the line.
pub(super) struct Detail<'a>(pub(super) &'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0.escape_debug()) }
    }
}

/// Why a server rejected a client.
struct Code(ByeCode);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = self.0 == ByeCode::Full;
        f.write_str(if full { "the server is full" } else { self.0.name() })
    }
}

/// What a server did instead of welcoming a client or rejecting it.
struct NoWelcome<'a>(SocketAddr, &'a Reason);

impl fmt::Display for NoWelcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(peer, reason) = self;
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of reasons is open")]
        match reason {
            Reason::Protocol(violation) if is_wrong_answer(reason) => {
                write!(f, "connected to {peer}, but its answer is not Heartwire's: {violation}")
            }
            Reason::Protocol(Violation::NoFirstFrame { waited }) => {
                // To a tenth of a second.
                let tenths = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) / 100 * 100;
                let waited = if tenths == 0 { *waited } else { Duration::from_millis(tenths) };
                write!(
                    f,
                    "connected to {peer}, but no Heartwire server answered within {} (another \
                     service, or one that speaks v0 only)",
                    Typed(waited)
                )
            }
            Reason::ClosedByPeer | Reason::NoGoodbye | Reason::Truncated | Reason::Reset => {
                write!(
                    f,
                    "{peer} closed the connection without an answer (a full server, another \
                     service, or one that speaks v0 only)"
                )
            }
            reason => write!(
                f,
                "connected to {peer}, but no Heartwire server answered: {reason} (another service, \
                 or one that speaks v0 only)"
            ),
        }
    }
}

/// What each address said: once, where all said the same.
struct List<'a>(&'a [AddressError]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.first().map(|tried| Plain(&tried.error).to_string());
        let mut others = self.0.iter().skip(1);
        if let Some(first) = first {
            if others.all(|tried| Plain(&tried.error).to_string() == first) {
                return f.write_str(&first);
            }
        }
        for (index, tried) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{tried}")?;
        }
        Ok(())
    }
}

/// What the system said, without its number for it, and without what the resolver puts before it.
struct Plain<'a>(&'a io::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.kind() == io::ErrorKind::ConnectionRefused {
            return f.write_str("connection refused (is a server running there?)");
        }
        let text = self.0.to_string();
        let text = text.split(" (os error ").next().unwrap_or_default();
        f.write_str(text.strip_prefix("failed to lookup address information: ").unwrap_or(text))
    }
}

#[cfg(test)]
mod tests;
