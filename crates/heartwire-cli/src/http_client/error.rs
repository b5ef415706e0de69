//! Why a server gave no good answer, and what to do.

use core::fmt;
use core::time::Duration;
use std::io;

use hyper::StatusCode;

use super::Endpoint;
use crate::output::shown_on_terminal;
use crate::values::typed;

/// A request without a good answer. Its text says what happened, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpError(String);

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for HttpError {}

impl HttpError {
    /// The server may have written parts of the text, and it must not control the terminal.
    fn new(text: &str) -> Self {
        Self(shown_on_terminal(text.as_bytes(), false))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "for most kinds there is nothing to advise")]
    pub(super) fn unreachable(endpoint: &Endpoint, error: io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                ". Nothing listens there: start `heartwire serve --http`, or name another address"
            }
            io::ErrorKind::PermissionDenied => ". Run this as a user who may write to the socket",
            _ => "",
        };
        Self::new(&format!("cannot connect to {endpoint}: {error}{advice}"))
    }

    pub(super) fn silent(endpoint: &Endpoint, within: Duration) -> Self {
        let within = typed(within);
        Self::new(&format!(
            "{endpoint} did not answer within {within}: the server hangs or is busy, or the path \
             to it loses packets. Wait longer, or look at its log"
        ))
    }

    pub(super) fn broken(endpoint: &Endpoint, error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::new(&format!(
                "{endpoint} does not speak HTTP ({error}). Name the address of --http, not that of \
                 --listen"
            ));
        }
        Self::new(&format!(
            "the connection to {endpoint} ended without an answer: {error}. Try again"
        ))
    }

    pub(super) fn too_long(endpoint: &Endpoint, path: &str, max: usize) -> Self {
        let max = crate::values::typed_bytes(u64::try_from(max).unwrap_or(u64::MAX));
        Self::new(&format!(
            "{endpoint} answered {path} with more than {max}, which is not read. Ask for less"
        ))
    }

    /// An answer that is not as ours are.
    pub(crate) fn foreign(endpoint: &Endpoint, path: &str, why: impl fmt::Display) -> Self {
        Self::new(&format!(
            "the answer of {endpoint} to {path} is not that of `heartwire serve --http` ({why}). \
             Is another program there, or another version?"
        ))
    }

    pub(super) fn refused(
        endpoint: &Endpoint,
        status: StatusCode,
        message: Option<String>,
    ) -> Self {
        let code = status.as_u16();
        Self::new(&match message {
            Some(message) => format!("{endpoint} refused ({code}): {message}"),
            None => format!(
                "{endpoint} answered {status}, and not as `heartwire serve --http` does. Is \
                 another program there?"
            ),
        })
    }

    pub(super) fn invalid(path: &str, error: &hyper::http::Error) -> Self {
        Self::new(&format!("cannot ask for {path}: {error}"))
    }
}
