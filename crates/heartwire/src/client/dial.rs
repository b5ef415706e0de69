//! From a name to a connection.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use heartwire_core::Violation;
use heartwire_core::frame::Kind;
use heartwire_core::v1::{ByeCode, Retry as RetryHint};
use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tracing::debug;

use super::ClientConfig;
use super::transport::Transport;
use crate::Reason;
use crate::kernel::{KernelOptions, KernelReport};
use crate::tls::{SharedClientTls, TlsError, TlsFault};

/// Addresses tried in one attempt. With the default time-out an attempt ends after 45 s at most.
const ADDRESSES_MAX: usize = 8;

/// A connection that was just made.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) transport: Transport,
    /// What the server said while the connection was made.
    pub(super) said: Vec<u8>,
    pub(super) peer: SocketAddr,
    pub(super) kernel: KernelReport,
}

/// Looks up the target, and tries its addresses one after another until one answers.
pub(super) async fn dial(config: &ClientConfig) -> Result<Dialled, ConnectError> {
    let addresses = look_up(&config.target, config.connect_timeout).await?;
    let mut dialled = connect_any(addresses, config.connect_timeout, &config.kernel)
        .await
        .map_err(|tried| ConnectError::NoAnswer { target: config.target.clone(), tried })?;
    if let Some(tls) = &config.tls {
        let peer = dialled.peer;
        let secured = secure(&mut dialled, tls, config).await;
        secured.map_err(|error| ConnectError::Tls { peer, error })?;
    }
    Ok(dialled)
}

/// The handshake of TLS. It has as much time as the one of the wire, which comes after it.
async fn secure(
    dialled: &mut Dialled,
    tls: &SharedClientTls,
    config: &ClientConfig,
) -> Result<(), TlsError> {
    let session = tls.session(host_of(&config.target))?;
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

async fn look_up(target: &str, within: Duration) -> Result<Vec<SocketAddr>, ConnectError> {
    let target = || target.to_owned();
    let addresses = match timeout(within, lookup_host(target())).await {
        Ok(Ok(addresses)) => in_order(addresses),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(ConnectError::BadTarget { target: target(), error });
        }
        Ok(Err(error)) => return Err(ConnectError::LookUp { target: target(), error }),
        Err(_) => return Err(ConnectError::LookUpTimedOut { target: target(), within }),
    };
    if addresses.is_empty() {
        return Err(ConnectError::NoAddress { target: target() });
    }
    debug!(target = target(), ?addresses, "looked up");
    Ok(addresses)
}

/// IPv6 and IPv4 in turn, IPv6 first, each family as the resolver ordered it (RFC 8305, section 4,
/// though one after another), so that a family without a route costs one address and not all.
fn in_order(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut unique = Vec::new();
    for address in addresses {
        // Resolvers repeat an address for each kind of socket that could use it.
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let (v6, v4): (Vec<_>, Vec<_>) = unique.into_iter().partition(SocketAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut ordered = Vec::new();
    while v6.len() + v4.len() > 0 {
        ordered.extend(v6.next());
        ordered.extend(v4.next());
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

async fn connect_any(
    addresses: Vec<SocketAddr>,
    within: Duration,
    kernel: &KernelOptions,
) -> Result<Dialled, Vec<AddressError>> {
    let mut tried = Vec::new();
    for address in addresses {
        match timeout(within, connect(address, kernel)).await {
            Ok(Ok(dialled)) => return Ok(dialled),
            Ok(Err(error)) => tried.push(AddressError { address, error }),
            Err(_) => {
                let error =
                    io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {within:?}"));
                tried.push(AddressError { address, error });
            }
        }
    }
    Err(tried)
}

async fn connect(address: SocketAddr, kernel: &KernelOptions) -> io::Result<Dialled> {
    prepare(TcpStream::connect(address).await?, address, kernel)
}

fn prepare(stream: TcpStream, peer: SocketAddr, kernel: &KernelOptions) -> io::Result<Dialled> {
    let socket = SockRef::from(&stream);
    // A client that tries a local port again and again while nobody listens there is given that
    // very port as its own some day, and TCP then connects the socket to itself: it would read its
    // own beats, call them life, and keep the port from its server.
    if stream.local_addr()? == stream.peer_addr()? {
        // Closed with a reset, so that the port is free at once for the server.
        socket.set_linger(Some(Duration::ZERO))?;
        let error = "nobody listens (connected to itself)";
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, error));
    }
    let kernel = kernel.apply(&socket)?;
    Ok(Dialled { transport: Transport::new(stream), said: Vec::new(), peer, kernel })
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
    #[error("looking up {target} failed: {error}")]
    LookUp {
        /// The target.
        target: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The resolver did not answer in time.
    #[error("looking up {target} took more than {within:?}")]
    LookUpTimedOut {
        /// The target.
        target: String,
        /// The time it had.
        within: Duration,
    },
    /// The name exists, without any address.
    #[error("{target} has no address")]
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
    /// The server took the connection and did not answer the HELLO of wire v1, or not as it should.
    #[error("{peer} {}", NoWelcome(reason))]
    NoWelcome {
        /// The address.
        peer: SocketAddr,
        /// How the connection ended.
        reason: Reason,
    },
    /// The server answered the HELLO of wire v1 by turning this client away.
    #[error("{peer} turned this client away: {}{}", code.name(), Detail(detail))]
    TurnedAway {
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
    #[error("{target} does not answer: {}", List(tried))]
    NoAnswer {
        /// The target.
        target: String,
        /// Every address that was tried, in order, with its own error.
        tried: Vec<AddressError>,
    },
}

impl ConnectError {
    /// Whether another attempt with the same configuration could succeed. The network and the
    /// server may recover; a target that cannot be understood does not.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            // With these, the name of the server cannot be one.
            Self::BadTarget { .. }
            | Self::Tls { error: TlsError::Fault { fault: TlsFault::Local, .. }, .. } => false,
            Self::TurnedAway { retry, .. } => !matches!(retry, RetryHint::Never),
            Self::LookUp { .. }
            | Self::LookUpTimedOut { .. }
            | Self::NoAddress { .. }
            | Self::Tls { .. }
            | Self::NoWelcome { .. }
            | Self::NoAnswer { .. } => true,
        }
    }
}

/// Why one address could not be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[error("{address}: {error}")]
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

/// What a server did instead of welcoming a client or turning it away.
struct NoWelcome<'a>(&'a Reason);

impl fmt::Display for NoWelcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of reasons is open")]
        match self.0 {
            // This is no server of wire v0, which knows no WELCOME and has said nothing, or only data.
            Reason::Protocol(
                violation @ (Violation::BadWelcome
                | Violation::BadBye
                | Violation::TooLong { .. }
                | Violation::NegativeLength { .. }
                | Violation::UnknownType { .. }
                | Violation::Unexpected { kind: Kind::Hello | Kind::Pad | Kind::Heart }),
            ) => write!(f, "did not answer HELLO as it should: {violation}"),
            // Silence, an end, or data.
            reason => write!(
                f,
                "did not answer HELLO ({reason}). A server that speaks wire v0 only does that: use \
                 Wire::V0, or --wire v0, with it. So does one that has no room"
            ),
        }
    }
}

struct List<'a>(&'a [AddressError]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tried) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{tried}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
