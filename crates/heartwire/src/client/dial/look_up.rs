//! From a name to addresses.

use core::fmt;
use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ConnectError;

/// Looks up the addresses of a host, and blocks while it does.
#[derive(Clone)]
pub(in crate::client) struct Resolver(Arc<LookUp>);

type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl Resolver {
    /// The system's.
    pub(in crate::client) fn system() -> Self {
        Self(Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect())))
    }

    #[cfg(test)]
    pub(in crate::client) fn of(
        look_up: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(look_up))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// The look-up that is under way, if there is one: a resolver that does not answer is not asked again
/// before it does.
#[derive(Debug, Default)]
pub(super) struct Resolution {
    pending: Option<oneshot::Receiver<io::Result<Vec<SocketAddr>>>>,
}

impl Resolution {
    pub(super) async fn look_up(
        &mut self,
        target: &str,
        resolver: &Resolver,
        within: Duration,
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = target.parse() {
            return Ok(vec![address]);
        }
        let copy = || target.to_owned();
        let (host, port) =
            parse(target).map_err(|error| ConnectError::BadTarget { target: copy(), error })?;
        let pending = match &mut self.pending {
            Some(pending) => pending,
            None => {
                let started = start(resolver, host, port);
                let started =
                    started.map_err(|error| ConnectError::LookUp { target: copy(), error })?;
                self.pending.insert(started)
            }
        };
        let Ok(answer) = timeout(within, pending).await else {
            return Err(ConnectError::LookUpTimedOut { target: copy(), within });
        };
        self.pending = None;
        match answer.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked"))) {
            Ok(found) if found.is_empty() => Err(ConnectError::NoAddress { target: copy() }),
            Ok(found) => Ok(found),
            Err(error) => Err(ConnectError::LookUp { target: copy(), error }),
        }
    }
}

/// Asks on a thread of its own, which no runtime waits for when it ends, as it would for one of the
/// threads that it keeps for such work.
fn start(
    resolver: &Resolver,
    host: &str,
    port: u16,
) -> io::Result<oneshot::Receiver<io::Result<Vec<SocketAddr>>>> {
    let (sender, receiver) = oneshot::channel();
    let (Resolver(look_up), host) = (resolver.clone(), host.to_owned());
    thread::Builder::new().name("heartwire-look-up".to_owned()).spawn(move || {
        // The client may have ended meanwhile.
        let _ = sender.send(look_up(&host, port));
    })?;
    Ok(receiver)
}

/// The host, without brackets, and the port of a `host:port`. In brackets there is an IPv6 address, if
/// need be with the zone in which it is one, such as `[fe80::1%eth0]:39002`, which the system looks up.
fn parse(target: &str) -> io::Result<(&str, u16)> {
    let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidInput, what);
    let (host, port) = target.rsplit_once(':').ok_or_else(|| invalid("there is no port"))?;
    let port = port.parse().map_err(|_| invalid("the port is not a number up to 65535"))?;
    let Some(bracketed) = host.strip_prefix('[') else { return Ok((host, port)) };
    let host = bracketed.strip_suffix(']').ok_or_else(|| invalid("a bracket is missing"))?;
    let is_address = match host.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv6Addr>().is_ok(),
    };
    if is_address { Ok((host, port)) } else { Err(invalid("brackets are for IPv6 addresses")) }
}

#[cfg(test)]
mod tests;
