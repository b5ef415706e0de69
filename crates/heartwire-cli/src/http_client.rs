//! A small HTTP/1.1 client for what `serve --http` offers: one connection, kept between requests.

mod endpoint;
mod error;

use core::pin::{Pin, pin};
use core::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub(crate) use endpoint::{DEFAULT_URL, Endpoint};
pub(crate) use error::HttpError;

/// Longest body of an answer. A page of 1,000 sessions with names of 255 escaped bytes has 2 MB.
const MAX_BODY_LEN: usize = 8 << 20;

/// Longest head of an answer, and the most that is read at once. Time is looked at between reads,
/// also where a server sends interim answers without end.
const MAX_HEAD_LEN: usize = 16 << 10;

/// The server's answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Asks one server, one request at a time.
pub(crate) struct HttpClient {
    endpoint: Endpoint,
    token: Option<String>,
    /// How long a request may take, with the connection and the whole answer.
    within: Duration,
    connection: Option<Connection>,
}

impl HttpClient {
    pub(crate) const fn new(endpoint: Endpoint, token: Option<String>, within: Duration) -> Self {
        Self { endpoint, token, within, connection: None }
    }

    /// The JSON of a successful answer.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, HttpError> {
        let answer = self.request(Method::GET, path).await?.successful(&self.endpoint)?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| HttpError::foreign(&self.endpoint, path, error))
    }

    /// Any answer. A GET is sent again if it met the end of an idle connection.
    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
    ) -> Result<Answer, HttpError> {
        let deadline = Instant::now() + self.within;
        // Dropped, and so closed, unless the answer is complete.
        if let Some(mut kept) = self.connection.take() {
            let request = self.prepare(method.clone(), path)?;
            match timeout_at(deadline, kept.exchange(request)).await {
                Ok(Ok(answer)) => return Ok(self.keep(kept, answer)),
                Ok(Err(Broken::TooLong)) => return Err(self.too_long(path)),
                Ok(Err(Broken::Unsent(_))) => {}
                Ok(Err(Broken::Sent(_))) if method == Method::GET => {}
                Ok(Err(Broken::Sent(error))) => {
                    return Err(HttpError::broken(&self.endpoint, &error));
                }
                Err(_) => return Err(self.silent()),
            }
        }
        let request = self.prepare(method, path)?;
        let endpoint = &self.endpoint;
        let fresh = async {
            let mut connection = Connection::open(endpoint).await?;
            match connection.exchange(request).await {
                Ok(answer) => Ok((connection, answer)),
                Err(Broken::TooLong) => Err(HttpError::too_long(endpoint, path, MAX_BODY_LEN)),
                Err(Broken::Unsent(error) | Broken::Sent(error)) => {
                    Err(HttpError::broken(endpoint, &error))
                }
            }
        };
        let (connection, answer) =
            timeout_at(deadline, fresh).await.unwrap_or_else(|_| Err(self.silent()))?;
        Ok(self.keep(connection, answer))
    }

    fn prepare(&self, method: Method, path: &str) -> Result<Request<Empty<Bytes>>, HttpError> {
        let request =
            Request::builder().method(method).uri(path).header(HOST, self.endpoint.host());
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        request.body(Empty::new()).map_err(|error| HttpError::invalid(path, &error))
    }

    fn keep(&mut self, connection: Connection, answer: Answer) -> Answer {
        self.connection = Some(connection);
        answer
    }

    fn too_long(&self, path: &str) -> HttpError {
        HttpError::too_long(&self.endpoint, path, MAX_BODY_LEN)
    }

    fn silent(&self) -> HttpError {
        HttpError::silent(&self.endpoint, self.within)
    }
}

impl Answer {
    /// This answer, unless the server refused the request.
    pub(crate) fn successful(self, endpoint: &Endpoint) -> Result<Self, HttpError> {
        /// The body of every refusal of `serve --http`.
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        if self.status.is_success() {
            return Ok(self);
        }
        let refusal = serde_json::from_slice(&self.body).ok();
        let message = refusal.map(|Refusal { message }| message);
        Err(HttpError::refused(endpoint, self.status, message))
    }
}

/// A connection, which does its work during an exchange.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// What reads and writes; `None` once the connection has ended.
    driver: Option<Driver>,
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Why there is no answer.
enum Broken {
    /// The request has not left.
    Unsent(hyper::Error),
    /// The server may have obeyed the request.
    Sent(hyper::Error),
    TooLong,
}

impl Connection {
    async fn open(endpoint: &Endpoint) -> Result<Self, HttpError> {
        let unreachable = |error| HttpError::unreachable(endpoint, error);
        match endpoint {
            Endpoint::Tcp(authority) => {
                let stream = TcpStream::connect(authority.as_str()).await.map_err(unreachable)?;
                Self::start(stream).await
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await.map_err(unreachable)?;
                Self::start(stream).await
            }
        }
        .map_err(|error| HttpError::broken(endpoint, &error))
    }

    async fn start<S>(stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD_LEN);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Some(Box::pin(connection)) })
    }

    async fn exchange(&mut self, request: Request<Empty<Bytes>>) -> Result<Answer, Broken> {
        let mut answer = pin!(answer(&mut self.sender, request));
        if let Some(driver) = &mut self.driver {
            tokio::select! {
                biased;
                answer = &mut answer => return answer,
                // Its errors come with the answer too.
                _ = driver => self.driver = None,
            }
        }
        answer.await
    }
}

async fn answer(
    sender: &mut SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
) -> Result<Answer, Broken> {
    sender.ready().await.map_err(Broken::Unsent)?;
    let sent = sender.try_send_request(request).await;
    let response: Response<Incoming> = sent.map_err(|mut error| {
        let is_unsent = error.take_message().is_some();
        let error = error.into_error();
        if is_unsent { Broken::Unsent(error) } else { Broken::Sent(error) }
    })?;
    let status = response.status();
    match Limited::new(response.into_body(), MAX_BODY_LEN).collect().await {
        Ok(body) => Ok(Answer { status, body: body.to_bytes() }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => Broken::Sent(*error),
            Err(_) => Broken::TooLong,
        }),
    }
}

/// Text as a part of a URL.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
