//! The options of the HTTP side.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::exit::Usage;
use crate::values::address;

/// The port where an address has none.
const PORT: u16 = 39080;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// Serve metrics, health checks, sessions, events and a page over HTTP, at an address such as
    /// 127.0.0.1:39080 or a Unix socket, unix:/PATH [default: off].
    ///
    /// docs/http.md describes it. Other machines reach it only with --http-anywhere. A socket that
    /// a service manager passes under the name `http` takes its place.
    #[arg(long, value_name = "ADDR", value_parser = http_address)]
    pub(crate) http: Option<HttpAddress>,

    /// Allow an address of --http that other machines reach; reading sessions, events and metrics
    /// then needs the token too.
    ///
    /// HTTP is not encrypted: put a proxy with TLS in front of it.
    #[arg(long, requires = "http_token")]
    pub(crate) http_anywhere: bool,

    /// File with the token that disconnecting clients and draining need, as `Authorization: Bearer
    /// TOKEN`; without it HTTP only reads.
    #[arg(long, value_name = "FILE")]
    pub(crate) http_token: Option<PathBuf>,

    /// Further names in URLs by which HTTP is reached, separated by commas, such as that of a
    /// container.
    ///
    /// Requests for other names than localhost are refused, because web pages can make a browser
    /// send them.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) http_host: Vec<String>,
}

impl HttpArgs {
    /// Refuses options without effect, and a second socket.
    pub(super) fn check(&self, is_passed: bool) -> Result<(), Usage> {
        if let (Some(address), true) = (&self.http, is_passed) {
            return Err(Usage(format!(
                "a socket for HTTP was passed by the service manager, and --http {address} wants \
                 another: leave one of them out"
            )));
        }
        let is_served = is_passed || self.http.is_some();
        if !is_served && (self.http_token.is_some() || !self.http_host.is_empty()) {
            return Err(Usage(
                "--http-token, --http-anywhere and --http-host have no effect without --http"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Refuses an address that other machines reach, unless that is wanted.
    pub(super) fn check_address(&self, address: &HttpAddress) -> Result<(), Usage> {
        match address {
            HttpAddress::Tcp(at) if !self.http_anywhere && !at.ip().is_loopback() => {
                Err(Usage(format!(
                    "--http {at} can be reached by other machines: use 127.0.0.1, or allow it with \
                     --http-anywhere and --http-token"
                )))
            }
            HttpAddress::Tcp(_) => Ok(()),
            #[cfg(unix)]
            HttpAddress::Unix(_) => Ok(()),
        }
    }
}

/// Where HTTP is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HttpAddress {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
}

/// As in `top` and in the line that `serve` starts with.
impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            #[cfg(unix)]
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn http_address(text: &str) -> Result<HttpAddress, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path);
    }
    let text = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(HttpAddress::Tcp((ip, PORT).into()));
    }
    if text == "localhost" {
        return Ok(HttpAddress::Tcp((core::net::Ipv4Addr::LOCALHOST, PORT).into()));
    }
    address(text).map(HttpAddress::Tcp).map_err(|_| {
        "write an address, a port, or both, such as 127.0.0.1:39080, or unix:/PATH".to_owned()
    })
}

#[cfg(unix)]
fn unix(path: &str) -> Result<HttpAddress, String> {
    if path.is_empty() {
        return Err("write the path of a socket after unix:".to_owned());
    }
    Ok(HttpAddress::Unix(path.into()))
}

#[cfg(not(unix))]
fn unix(_: &str) -> Result<HttpAddress, String> {
    Err("this system has no Unix sockets: write an address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_port_or_be_a_unix_socket() {
        for (typed, meant) in [
            ("127.0.0.1", "http://127.0.0.1:39080"),
            ("localhost", "http://127.0.0.1:39080"),
            ("::1", "http://[::1]:39080"),
            ("[::1]", "http://[::1]:39080"),
            ("[::1]:80", "http://[::1]:80"),
            ("8080", "http://127.0.0.1:8080"),
            (":8080", "http://0.0.0.0:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("unix:/run/heartwire.sock", "unix:/run/heartwire.sock"),
        ] {
            assert_eq!(http_address(typed).unwrap().to_string(), meant, "{typed}");
        }
        for wrong in ["", "unix:", "https://127.0.0.1:1", "127.0.0.1:x"] {
            assert!(http_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_without_http_and_a_second_socket_for_it_are_refused() {
        let args = |http: Option<&str>, token: Option<&str>, host: &[&str]| HttpArgs {
            http: http.map(|at| http_address(at).unwrap()),
            http_anywhere: false,
            http_token: token.map(PathBuf::from),
            http_host: host.iter().map(|&name| name.to_owned()).collect(),
        };
        let nothing = args(None, None, &[]);
        assert!(nothing.check(false).is_ok() && nothing.check(true).is_ok());
        let at_home = args(Some("39080"), Some("token"), &["hall"]);
        assert!(at_home.check(false).is_ok() && at_home.check(true).is_err());
        for without in [args(None, Some("token"), &[]), args(None, None, &["hall"])] {
            // A socket that is passed is for them, too.
            assert!(without.check(false).is_err() && without.check(true).is_ok(), "{without:?}");
        }
        let everywhere = http_address(":39080").unwrap();
        assert!(nothing.check_address(&everywhere).is_err());
    }
}
