//! Connects to a server: name lookup, racing addresses, TLS handshake.

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
use crate::tls::{self, SharedClientTls, Tickets, TlsError, TlsFailure, TlsFault, TlsSession};
use crate::{Reason, clock};

/// A new connection.
#[derive(Debug)]
pub(super) struct Dialled<S> {
    pub(super) transport: Transport<S>,
    /// Data that came from the server with the TLS handshake.
    pub(super) said: Vec<u8>,
    pub(super) peer: SocketAddr,
    pub(super) kernel: KernelReport,
}

/// Connects, and remembers lookups and failed addresses from one attempt to the next.
#[derive(Debug, Default)]
pub(super) struct Dialler {
    look_up: LookUp,
    failures: Failures,
    /// TLS session tickets of earlier connections.
    tickets: Tickets,
    /// Where the session is that the client comes back to: tried first, because another address
    /// may be that of another server.
    pub(super) session_at: Option<SocketAddr>,
}

impl Dialler {
    /// Looks up the target and the token, which it stores in the configuration, and connects to the
    /// first of the target's addresses that answers.
    pub(super) async fn dial(
        &mut self,
        config: &mut ClientConfig,
    ) -> Result<Dialled<Stream>, ConnectError> {
        let found = self.look_up.run(config).await?;
        if let (Some(found), Some(v1)) = (found.token, config.v1_settings_mut()) {
            match found {
                Ok(token) => v1.token = Some(Token(token)),
                Err(error) if v1.token.is_none() => return Err(ConnectError::Token { error }),
                Err(error) => warn!(%error, "cannot read the token; using the last one"),
            }
        }
        let config = &*config;
        let within = config.connect_timeout;
        let addresses = self.in_order(found.addresses, clock::now());
        debug!(target = config.target, ?addresses, "looked up");
        let mut tried = Vec::new();
        let connect = |address| connect_within(address, within, &config.kernel);
        let won = race(addresses, connect, &mut tried).await;
        tried.iter().for_each(|(address, _)| self.handle_failed(*address, clock::now()));
        let Some(mut dialled) = won else {
            return Err(ConnectError::NoAnswer { target: config.target.clone(), tried });
        };
        if let Some(tls) = &config.tls {
            let peer = dialled.peer;
            if let Err(error) = secure(&mut dialled, tls, &mut self.tickets, config).await {
                self.handle_failed(peer, clock::now());
                return Err(match error {
                    TlsFailure::Fault { fault, detail } => {
                        ConnectError::Tls { peer, error: TlsError(fault), detail }
                    }
                    TlsFailure::Socket(error) => {
                        tried.push((peer, error));
                        ConnectError::NoAnswer { target: config.target.clone(), tried }
                    }
                });
            }
        }
        Ok(dialled)
    }

    /// Sorts addresses into the order in which to try them.
    pub(super) fn in_order(
        &mut self,
        found: impl IntoIterator<Item = SocketAddr>,
        now: Instant,
    ) -> Vec<SocketAddr> {
        let mut addresses = self.failures.in_order(found, now);
        // The sort is stable.
        addresses.sort_by_key(|&address| Some(address) != self.session_at);
        addresses
    }

    /// Remembers that this address failed, or that its server did not accept the client or was
    /// declared dead: it is tried last from now on.
    pub(super) fn handle_failed(&mut self, address: SocketAddr, now: Instant) {
        self.failures.insert(address, now);
    }

    /// Comes back with a full TLS handshake: a server that does not accept the client any more says
    /// why in one, and cuts it off without a word after one with a ticket.
    pub(super) fn forget_tickets(&mut self) {
        self.tickets = Tickets::default();
    }

    /// Forgets that this address had failed: a connection to it worked.
    pub(super) fn handle_worked(&mut self, address: SocketAddr) {
        self.failures.remove(address);
    }
}

/// The TLS handshake. Its timeout is the same as for the protocol's handshake, which follows it.
async fn secure(
    dialled: &mut Dialled<Stream>,
    tls: &SharedClientTls,
    tickets: &mut Tickets,
    config: &ClientConfig,
) -> Result<(), TlsFailure> {
    let session = TlsSession::client(tls, host_of(&config.target), tickets)?;
    let within = config.handshake_timeout;
    match timeout(within, dialled.transport.secure(session)).await {
        Ok(secured) => dialled.said = secured?,
        Err(_) => {
            let detail = format!("not finished within {}", Typed(within));
            return Err(TlsFailure::Fault { fault: TlsFault::TooSlow, detail });
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
    // Self-connection: a client that retries a local port without a listener eventually gets that
    // port as its own, and TCP connects the socket to itself. It would take its own beats for the
    // server's, and keep the port from its server.
    if stream.local_addr()? == stream.peer_addr()? {
        // Close with a reset, so that the port is free for the server at once.
        socket.set_linger(Some(Duration::ZERO))?;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let kernel = kernel.apply(&socket)?;
    Ok(Dialled { transport: Transport::new(Stream::new(stream)), said: Vec::new(), peer, kernel })
}

/// Why an attempt to connect failed. The client's state is as before the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The target is not of the form `host:port`.
    #[error("{target:?} is not a host and a port, such as example.org:29002 ({error})")]
    BadTarget {
        /// The target.
        target: String,
        /// The lookup's error.
        error: io::Error,
    },
    /// The name was not found, or the resolver failed, or did not answer within
    /// [`ClientConfig::connect_timeout`] ([`io::ErrorKind::TimedOut`]).
    #[error("cannot find the host {}: {}", host_of(target), Plain(error))]
    LookUp {
        /// The target.
        target: String,
        /// The resolver's error.
        error: io::Error,
    },
    /// [`V1::token_source`](super::V1::token_source) failed, and there is no earlier token.
    #[error("cannot read the token: {error}")]
    Token {
        /// Its error.
        error: io::Error,
    },
    /// The name exists but has no address.
    #[error("the host {} has no address", host_of(target))]
    NoAddress {
        /// The target.
        target: String,
    },
    /// The TLS handshake failed.
    #[error("no TLS with {peer}: {error}{}", tls::Detail(detail))]
    Tls {
        /// The address.
        peer: SocketAddr,
        /// Why.
        error: TlsError,
        /// Details, such as names and times; empty if there are none.
        detail: String,
    },
    /// The connection was made, but the server did not answer the HELLO of protocol v1, or not
    /// correctly. See [`may_speak_v0`](Self::may_speak_v0).
    #[error("{}", NoWelcome(*peer, reason))]
    NoWelcome {
        /// The address.
        peer: SocketAddr,
        /// How the connection ended.
        reason: Reason,
    },
    /// The server rejected this client's HELLO (protocol v1).
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
    /// No address could be connected to, or the connection was lost before the handshake.
    #[error("cannot connect to {target}: {}", List(tried))]
    NoAnswer {
        /// The target.
        target: String,
        /// Every address that was tried, in order, with the system's error:
        /// [`io::ErrorKind::TimedOut`] if there was no answer within
        /// [`ClientConfig::connect_timeout`].
        tried: Vec<(SocketAddr, io::Error)>,
    },
}

impl ConnectError {
    /// Whether another attempt with the same configuration could succeed. The network and the
    /// server may recover; an invalid target does not. False also if the server says not to
    /// reconnect, or if its certificate is not accepted for another reason than its validity
    /// period; a client that reconnects [even if rejected](super::Reconnect::even_if_rejected) goes
    /// on.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::BadTarget { .. } => false,
            Self::Tls { error, .. } => error.is_retryable(),
            Self::Rejected { retry, .. } => !matches!(retry, RetryHint::Never),
            Self::LookUp { .. }
            | Self::Token { .. }
            | Self::NoAddress { .. }
            | Self::NoWelcome { .. }
            | Self::NoAnswer { .. } => true,
        }
    }

    /// Whether the server may speak [protocol v0](ClientConfig::v0) only: it sent no
    /// WELCOME. A full server and one of another service behave the same.
    #[must_use]
    pub const fn may_speak_v0(&self) -> bool {
        // A wrong answer comes from a v1 server or from another service.
        matches!(self, Self::NoWelcome { reason, .. } if !is_wrong_answer(reason))
    }
}

/// Whether the server answered HELLO in a way that neither protocol allows. (A v0 server sends
/// nothing, or only data.)
const fn is_wrong_answer(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Protocol(
            Violation::BadWelcome
                | Violation::BadBye
                | Violation::TooLong { .. }
                | Violation::NegativeLength { .. }
                | Violation::UnknownType { .. }
                | Violation::Unexpected {
                    kind: Kind::Hello | Kind::Pad | Kind::Heart | Kind::Ack | Kind::End
                }
        )
    )
}

impl ConnectError {
    /// Whether this client rejected the server's certificate.
    pub(super) const fn is_rejection(&self) -> bool {
        matches!(self, Self::Tls { error: TlsError(TlsFault::Certificate(_)), .. })
    }
}

/// An explanation after a colon, if there is one. The peer chose its text, so it is escaped.
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

/// The text of [`ConnectError::NoWelcome`].
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

/// The errors of all addresses, or one error if all are the same.
struct List<'a>(&'a [(SocketAddr, io::Error)]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.first().map(|(_, error)| Plain(error).to_string());
        let mut others = self.0.iter().skip(1);
        if let Some(first) = first {
            if others.all(|(_, error)| Plain(error).to_string() == first) {
                return f.write_str(&first);
            }
        }
        for (index, (address, error)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{address}: {}", Plain(error))?;
        }
        Ok(())
    }
}

/// The system's error, without its number and the resolver's prefix.
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
