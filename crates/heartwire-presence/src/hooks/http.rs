//! Deliveries by HTTP.

use core::error::Error;
use core::fmt;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::item::Batch;
use super::lanes::Failure;
use super::{HookError, Secret};

/// How much of an answer is read. A connection with more in it is closed, and not used again.
const MAX_ANSWER: usize = 64 * 1024;

/// How long an idle connection is kept. Servers and balancers that close idle connections mostly
/// do so after 60 s or more.
const MAX_IDLE: Duration = Duration::from_secs(45);

const AGENT: &str = concat!("heartwire/", env!("CARGO_PKG_VERSION"));

/// A receiver by HTTP.
#[derive(Clone)]
pub(super) struct Endpoint {
    url: Uri,
    secret: Option<Secret>,
    ca_file: Option<PathBuf>,
}

impl Endpoint {
    pub(super) fn new(url: &str, secret: Option<Secret>) -> Result<Self, HookError> {
        let bad = |reason: &str| HookError::BadUrl { reason: reason.into() };
        let url: Uri = url.parse().map_err(|error| bad(&format!("{error}")))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) {
            return Err(bad("it begins with https:// or http://"));
        }
        match url.authority() {
            None => return Err(bad("it names no host")),
            Some(authority) if authority.as_str().contains('@') => {
                return Err(bad("a name and a password in it are not sent; use a secret"));
            }
            Some(_) => {}
        }
        Ok(Self { url, secret, ca_file: None })
    }

    pub(super) fn ca_file(&mut self, path: PathBuf) {
        self.ca_file = Some(path);
    }
}

/// Without the path, which may itself be a secret.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.url.scheme_str(), self.url.authority());
        f.debug_struct("Endpoint")
            .field("scheme", &scheme.unwrap_or_default())
            .field("authority", &authority.map_or("", |authority| authority.as_str()))
            .field("is_signed", &self.secret.is_some())
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// Sends batches to an [`Endpoint`].
#[derive(Debug)]
pub(super) struct Sender {
    endpoint: Endpoint,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Sender {
    /// Reads the certificates.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, HookError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(endpoint)?);
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(MAX_IDLE)
            .build(connector);
        Ok(Self { endpoint: endpoint.clone(), client })
    }

    pub(super) async fn send(&self, batch: &Batch) -> Result<(), Failure> {
        let body = batch.body();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.endpoint.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT);
        if let Some(secret) = &self.endpoint.secret {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let timestamp = now.map_or(0, |since| since.as_secs());
            request = request
                .header("webhook-id", &*batch.id)
                .header("webhook-timestamp", timestamp)
                .header("webhook-signature", secret.sign(&batch.id, timestamp, &body));
        }
        let request = request.body(Full::new(body)).map_err(failed)?;
        let response = self.client.request(request).await.map_err(failed)?;
        let (status, wait) = (response.status(), retry_after(response.headers()));
        // The connection can be used again only after the whole answer was read.
        let read = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        if status.is_success() {
            // An answer that broke off may be that of a receiver that did.
            return match read {
                Err(error) if error.downcast_ref::<LengthLimitError>().is_none() => {
                    Err(Failure::new(format!("answered {status}, but {}", chain(&*error))))
                }
                Ok(_) | Err(_) => Ok(()),
            };
        }
        let hint = if status.is_redirection() { " (redirects are not followed)" } else { "" };
        let error = format!("answered {status}{hint}").into();
        Err(Failure { error, retry_after: wait })
    }
}

fn tls(endpoint: &Endpoint) -> Result<ClientConfig, HookError> {
    let roots = match &endpoint.ca_file {
        Some(path) => roots(path)?,
        None => system_roots(),
    };
    if endpoint.url.scheme_str() == Some("https") && roots.is_empty() {
        return Err(HookError::NoSystemRoots);
    }
    let provider = rustls::crypto::ring::default_provider().into();
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| HookError::Tls { reason: chain(&error).into() })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, HookError> {
    let bad = |error: &dyn Error| HookError::BadCaFile {
        path: path.to_owned(),
        reason: chain(error).into(),
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| bad(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in found {
        let certificate = certificate.map_err(|error| bad(&error))?;
        roots.add(certificate).map_err(|error| bad(&error))?;
    }
    if roots.is_empty() {
        let reason = "it holds no certificate".into();
        return Err(HookError::BadCaFile { path: path.to_owned(), reason });
    }
    Ok(roots)
}

/// The system's trusted roots, except those that rustls cannot parse: every system has some.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// What a receiver asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

fn failed(error: impl Error) -> Failure {
    Failure::new(chain(&error))
}

/// An error with its causes, each once.
fn chain(error: &(dyn Error + '_)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
        assert!(read(&httpdate::fmt_http_date(in_an_hour)) > Some(Duration::from_secs(3_000)));
        for bad in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
