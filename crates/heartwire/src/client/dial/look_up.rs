//! Lookups before each attempt: the target's addresses and the client's token.

use core::fmt;
use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::thread;

use heartwire_core::internal::Typed;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::ConnectError;
use crate::client::ClientConfig;
use crate::client::config::TokenSource;

/// A blocking resolver of host names.
#[derive(Clone)]
pub(in crate::client) struct Resolver(Arc<Resolve>);

type Resolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl Resolver {
    /// The system's resolver.
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

/// The result of a lookup.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) addresses: Vec<SocketAddr>,
    /// The result of the token source, if there is one.
    pub(super) token: Option<io::Result<Vec<u8>>>,
}

type Answer = (io::Result<Vec<SocketAddr>>, Option<io::Result<Vec<u8>>>);

/// Runs lookups, at most one at a time: a lookup without an answer is awaited again instead of
/// repeated.
#[derive(Debug, Default)]
pub(super) struct LookUp {
    pending: Option<oneshot::Receiver<Answer>>,
}

impl LookUp {
    /// Looks up the addresses of the target, and the token.
    pub(super) async fn run(&mut self, config: &ClientConfig) -> Result<Found, ConnectError> {
        let (target, within) = (&config.target, config.connect_timeout);
        let copy = || target.to_owned();
        let known = target.parse().ok();
        if let Some(address) = known.filter(|_| !has_credentials(config)) {
            return Ok(Found { addresses: vec![address], token: None });
        }
        let pending = match &mut self.pending {
            Some(pending) => pending,
            None => self.pending.insert(start(config, known)?),
        };
        let Ok(answer) = timeout(within, pending).await else {
            return Err(ConnectError::LookUp { target: copy(), error: no_answer(within) });
        };
        self.pending = None;
        let panicked = |_| (Err(io::Error::other("the look-up panicked")), None);
        match answer.unwrap_or_else(panicked) {
            (Ok(found), _) if found.is_empty() => Err(ConnectError::NoAddress { target: copy() }),
            (Ok(addresses), token) => Ok(Found { addresses, token }),
            (Err(error), _) => Err(ConnectError::LookUp { target: copy(), error }),
        }
    }
}

pub(super) fn no_answer(within: Duration) -> io::Error {
    let text = format!("no answer within {}", Typed(within));
    io::Error::new(io::ErrorKind::TimedOut, text)
}

fn has_credentials(config: &ClientConfig) -> bool {
    token_source(config).is_some() || config.tls.is_some()
}

fn token_source(config: &ClientConfig) -> Option<&TokenSource> {
    config.v1_settings()?.token_source.as_ref()
}

/// Runs the lookup on its own thread: a runtime that ends would wait for one of its blocking
/// threads.
fn start(
    config: &ClientConfig,
    known: Option<SocketAddr>,
) -> Result<oneshot::Receiver<Answer>, ConnectError> {
    let target = || config.target.clone();
    let host = match known {
        Some(_) => None,
        None => Some(
            parse(&config.target)
                .map(|(host, port)| (host.to_owned(), port))
                .map_err(|error| ConnectError::BadTarget { target: target(), error })?,
        ),
    };
    let (sender, receiver) = oneshot::channel();
    let Resolver(resolve) = config.resolver.clone();
    let (token_source, tls) = (token_source(config).cloned(), config.tls.clone());
    let work = move || {
        let addresses = match host {
            Some((host, port)) => resolve(&host, port),
            None => Ok(known.into_iter().collect()),
        };
        if let Some(tls) = tls {
            tls.refresh();
        }
        // The client may have ended meanwhile.
        let _ = sender.send((addresses, token_source.map(|source| source.look_up())));
    };
    let thread = thread::Builder::new().name("heartwire-look-up".to_owned());
    match thread.spawn(work) {
        Ok(_) => Ok(receiver),
        Err(error) => Err(ConnectError::LookUp { target: target(), error }),
    }
}

/// Splits a `host:port` into the host, without brackets, and the port. Brackets contain an IPv6
/// address, with a zone if needed, such as `[fe80::1%eth0]:39002`, which the system looks up.
fn parse(target: &str) -> io::Result<(&str, u16)> {
    let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidInput, what);
    let (host, port) = target.rsplit_once(':').ok_or_else(|| invalid("there is no port"))?;
    let port = port.parse().map_err(|_| invalid("the port is not a number up to 65535"))?;
    let Some(bracketed) = host.strip_prefix('[') else {
        if host.is_empty() {
            return Err(invalid("there is no host"));
        }
        // An IPv6 address without brackets is accepted if its last colon comes before a port.
        if host.contains(':') && !is_ipv6(host) {
            return Err(invalid(
                "an IPv6 address goes in brackets, and nothing else has two colons",
            ));
        }
        return Ok((host, port));
    };
    let host = bracketed.strip_suffix(']').ok_or_else(|| invalid("a bracket is missing"))?;
    if is_ipv6(host) { Ok((host, port)) } else { Err(invalid("brackets are for IPv6 addresses")) }
}

/// Whether this is an IPv6 address, with a zone or without.
fn is_ipv6(host: &str) -> bool {
    match host.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv6Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests;
