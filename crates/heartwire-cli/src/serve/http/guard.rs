//! Which requests are answered at all.
//!
//! A web page anywhere can make a browser on this machine send requests to it, and with a name that
//! it points here (DNS rebinding) read the answers. So the name in a request must be one of this
//! server's, and a request from a page must be from the server's own.

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use axum::http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING,
};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};

use super::args::{HttpAddress, HttpArgs};
use super::reply::Refusal;
use crate::exit::Usage;

/// A shorter token can be guessed.
const MIN_TOKEN: usize = 16;

/// Browsers say with it where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a method changes something.
const fn writes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// The rules by which requests are refused.
#[derive(Debug)]
pub(super) struct Guard {
    /// `None`: no browser reaches a Unix socket, and any name will do.
    names: Option<Names>,
    /// `None`: it was started without, and changes nothing.
    token: Option<Mutex<Token>>,
    reads_need_token: bool,
}

impl Guard {
    pub(super) fn new(args: &HttpArgs, bound: &HttpAddress) -> Result<Self, Usage> {
        let names = match bound {
            HttpAddress::Tcp(address) => Some(Names::new(*address, &args.http_host)?),
            #[cfg(unix)]
            HttpAddress::Unix(_) => None,
        };
        let token = Token::of(args)?.map(Mutex::new);
        Ok(Self { names, token, reads_need_token: args.http_anywhere })
    }

    /// Another token is the right one from now on. False, with nothing changed, if one was to be
    /// added or removed.
    pub(super) fn replace_token(&self, new: Option<Token>) -> bool {
        match (&self.token, new) {
            (Some(token), Some(new)) => {
                *token.lock().unwrap_or_else(PoisonError::into_inner) = new;
                true
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Refuses a request that must not be answered.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Refusal> {
        let path = request.uri.path();
        if let Some(names) = &self.names {
            let host = host(request)?;
            names.check(&host)?;
            check_origin(&request.headers, &host)?;
            check_site(&request.headers, path)?;
        }
        if writes(&request.method) {
            check_body(&request.headers)?;
        }
        self.check_token(request, path)
    }

    fn check_token(&self, request: &Parts, path: &str) -> Result<(), Refusal> {
        if !writes(&request.method) && (!self.reads_need_token || !is_protected(path)) {
            return Ok(());
        }
        let Some(token) = &self.token else {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "writes_off",
                "this server has no token for HTTP, so HTTP only reads; start it with --http-token \
                 FILE",
            ));
        };
        let given = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| {
            let (scheme, given) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(given.trim())
        });
        let token = token.lock().unwrap_or_else(PoisonError::into_inner);
        match given {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => {
                tracing::warn!(%path, "refused a request over HTTP with a wrong token");
                Err(Refusal::unauthorized("the token is not this server's (--http-token)"))
            }
            None => Err(Refusal::unauthorized(
                "this needs the token of --http-token, as `Authorization: Bearer TOKEN`",
            )),
        }
    }
}

/// Whether reading it can need a token. Health and the page, which asks for a token, never do.
fn is_protected(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/v1/")
}

/// The host that a request names. The one in its first line replaces the header.
fn host(request: &Parts) -> Result<Authority, Refusal> {
    let mut hosts = request.headers.get_all(HOST).into_iter();
    let host = match (request.uri.authority(), hosts.next(), hosts.next()) {
        (Some(authority), ..) => Some(authority.clone()),
        (None, Some(host), None) => host.to_str().ok().and_then(|host| host.parse().ok()),
        _ => None,
    };
    host.filter(|host| !host.as_str().contains('@')).ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_host", "a request needs one valid Host header")
    })
}

/// The names that this server answers to.
#[derive(Debug)]
struct Names {
    names: BTreeSet<String>,
    bound: IpAddr,
}

impl Names {
    fn new(bound: SocketAddr, further: &[String]) -> Result<Self, Usage> {
        let mut names = BTreeSet::from(["localhost".to_owned()]);
        for name in further {
            let is_name = name.parse::<Authority>().is_ok_and(|name| name.port().is_none());
            if !is_name || name.contains('@') {
                return Err(Usage(format!(
                    "--http-host takes names without a port, such as heartwire.example: {name:?}"
                )));
            }
            names.insert(name.trim_end_matches('.').to_ascii_lowercase());
        }
        Ok(Self { names, bound: bound.ip().to_canonical() })
    }

    fn check(&self, host: &Authority) -> Result<(), Refusal> {
        let host = host.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_own = match bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            // A page cannot point an address at another machine.
            Ok(ip) => ip.is_loopback() || ip == self.bound || self.bound.is_unspecified(),
            Err(_) => self.names.contains(&host.trim_end_matches('.').to_ascii_lowercase()),
        };
        if is_own {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "foreign_host",
            "the request's Host is not a name of this server; use its address, localhost, or a \
             name that --http-host lists",
        ))
    }
}

fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        // A proxy in front may have TLS.
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !own.is_some_and(|own| own.eq_ignore_ascii_case(host.as_str())) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "foreign_origin",
                "the request comes from a page of another site",
            ));
        }
    }
    Ok(())
}

/// Pages of other sites may lead here, and nothing else.
fn check_site(headers: &HeaderMap, path: &str) -> Result<(), Refusal> {
    let site = headers.get(FETCH_SITE).map(|site| site.as_bytes());
    if path == "/" || matches!(site, None | Some(b"same-origin" | b"none")) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "foreign_origin",
        "the request comes from a page of another site",
    ))
}

/// What a form can send has another type, and would need no permission.
fn check_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let is_empty = headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    if is_empty && !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not_json",
        "a body needs Content-Type: application/json",
    ))
}

/// What a request that changes something has to know.
pub(crate) struct Token(String);

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// The token that these options name.
    pub(crate) fn of(args: &HttpArgs) -> Result<Option<Self>, Usage> {
        args.http_token.as_deref().map(Self::load).transpose()
    }

    fn load(path: &Path) -> Result<Self, Usage> {
        let cannot =
            |why: &str| Usage(format!("cannot use the token in {}: {why}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| cannot(&error.to_string()))?;
        let token = text.trim();
        if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(cannot(&format!(
                "it has to be one word of at least {MIN_TOKEN} ASCII characters, such as `openssl \
                 rand -hex 16` makes"
            )));
        }
        Ok(Self(token.to_owned()))
    }

    /// In a time that depends only on the lengths.
    fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let differ =
            own.iter().zip(given).fold(0, |differ, (a, b)| core::hint::black_box(differ | (a ^ b)));
        own.len() == given.len() && differ == 0
    }
}

#[cfg(test)]
mod tests;
