//! Where an HTTP server is: a host and port, or the path of a Unix socket.

use core::fmt;
use core::str::FromStr;
#[cfg(unix)]
use std::path::PathBuf;

use hyper::http::uri::Authority;

/// The port of `serve --http`.
const PORT: u16 = 39_080;

/// Where `serve --http` listens unless it is told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:39080";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A host and a port.
    Tcp(String),
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Endpoint {
    /// What the header `Host` says.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Tcp(authority) => authority,
            #[cfg(unix)]
            Self::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return at_path(path);
        }
        if text.starts_with("https://") {
            return Err("serve --http speaks no TLS: write http://, and reach another machine \
                        through a tunnel, such as ssh -L 39080:127.0.0.1:39080 HOST");
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority = rest.parse::<Authority>().ok();
        let authority = authority.filter(|authority| {
            !rest.contains('@') && !authority.host().is_empty() && !rest.ends_with(':')
        });
        let Some(authority) = authority else {
            return Err("write http://HOST:PORT or unix:PATH, and no path behind the port");
        };
        if authority.host() == rest {
            return Ok(Self::Tcp(format!("{authority}:{PORT}")));
        }
        match authority.port_u16() {
            Some(1..) => Ok(Self::Tcp(rest.to_owned())),
            Some(0) | None => Err("write a port from 1 to 65535"),
        }
    }
}

#[cfg(unix)]
fn at_path(path: &str) -> Result<Endpoint, &'static str> {
    if path.is_empty() {
        return Err("write the path of the socket behind unix:");
    }
    Ok(Endpoint::Unix(path.into()))
}

#[cfg(not(unix))]
fn at_path(_: &str) -> Result<Endpoint, &'static str> {
    Err("this system has no Unix sockets: write http://HOST:PORT")
}
