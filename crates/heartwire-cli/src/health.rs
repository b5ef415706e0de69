//! `heartwire health`: asks a server whether it is ready, or alive, for containers and scripts.

use core::fmt;
use core::time::Duration;

use clap::Args;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::runtime;

use crate::exit::Exit;
use crate::http_client::{Answer, DEFAULT_URL, Endpoint, HttpClient, HttpError};
use crate::options::FormatArgs;
use crate::output::{print_text, shown_on_terminal, to_json};
use crate::values::{Format, duration};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire health
      ready? asks the server of this machine, on 127.0.0.1:39080
  heartwire health --live unix:/run/heartwire/http.sock
      is every thread of the server making progress? for a check that restarts it
  heartwire health --json http://10.0.0.5:39080

Exit codes: 0 ready (--live: alive), 1 it answered that it is not, 2 invalid arguments, 4 no
answer.";

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// The server's --http address, as http://HOST:PORT or unix:PATH.
    #[arg(default_value = DEFAULT_URL)]
    url: Endpoint,

    /// Ask whether the server is alive (/livez), which it is while it drains too, and not whether
    /// it is ready for clients (/readyz).
    #[arg(long)]
    live: bool,

    /// Wait this long for the answer.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    wait: Duration,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

pub(crate) fn run(args: &HealthArgs) -> anyhow::Result<Exit> {
    let check = if args.live { Check::Live } else { Check::Ready };
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = HttpClient::new(args.url.clone(), None, args.wait);
    let answer = runtime.block_on(client.request(Method::GET, check.path()))?;
    let health = Health::read(check, &answer, &args.url)?;
    match args.format.format() {
        Format::Text => {
            print_text(shown_on_terminal(health.to_string().as_bytes(), false))?;
        }
        Format::Json => print_text(to_json(&health))?,
    }
    Ok(if health.ok { Exit::Success } else { Exit::Failure })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Check {
    Ready,
    Live,
}

impl Check {
    const fn path(self) -> &'static str {
        match self {
            Self::Ready => "/readyz",
            Self::Live => "/livez",
        }
    }
}

/// What the server says of itself.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Health {
    check: Check,
    ok: bool,
    /// Why it is not.
    reasons: Vec<String>,
}

impl Health {
    fn read(check: Check, answer: &Answer, endpoint: &Endpoint) -> Result<Self, HttpError> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default)]
            reasons: Vec<String>,
            /// Numbers of the threads without progress.
            #[serde(default)]
            hanging_shards: Vec<usize>,
        }
        let ok = match answer.status {
            StatusCode::OK => true,
            StatusCode::SERVICE_UNAVAILABLE => false,
            status => return Err(HttpError::foreign(endpoint, check.path(), status)),
        };
        let Body { mut reasons, hanging_shards } = serde_json::from_slice(&answer.body)
            .map_err(|error| HttpError::foreign(endpoint, check.path(), error))?;
        reasons.extend(hanging_shards.iter().map(|shard| format!("shard {shard} hangs")));
        Ok(Self { check, ok, reasons })
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.check, self.ok) {
            (Check::Ready, true) => "ready",
            (Check::Ready, false) => "not ready",
            (Check::Live, true) => "alive",
            (Check::Live, false) => "not alive",
        })?;
        if self.reasons.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.reasons.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;

    use super::*;

    fn health(check: Check, status: u16, body: &'static str) -> Result<Health, HttpError> {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, body: Bytes::from_static(body.as_bytes()) };
        Health::read(check, &answer, &DEFAULT_URL.parse().unwrap())
    }

    #[test]
    fn health_is_what_the_server_says_with_its_reasons() {
        let ready = health(Check::Ready, 200, r#"{"ready":true,"reasons":[]}"#).unwrap();
        assert_eq!(ready.to_string(), "ready");
        assert_eq!(to_json(&ready), r#"{"check":"ready","ok":true,"reasons":[]}"#);
        let body = r#"{"ready":false,"reasons":["draining","full"]}"#;
        let draining = health(Check::Ready, 503, body).unwrap();
        assert_eq!(draining.to_string(), "not ready: draining, full");
        assert!(!draining.ok);
        let alive = health(Check::Live, 200, "{}").unwrap();
        assert_eq!(alive.to_string(), "alive");
        let hanging = health(Check::Live, 503, r#"{"live":false,"hanging_shards":[1]}"#).unwrap();
        assert_eq!(hanging.to_string(), "not alive: shard 1 hangs");
    }

    #[test]
    fn health_of_another_program_is_an_error_and_not_bad_health() {
        for (status, body) in [(404, "{}"), (200, "<html>"), (503, "Service Unavailable")] {
            let error = health(Check::Ready, status, body).unwrap_err().to_string();
            assert!(error.contains("is not that of `heartwire serve --http`"), "{error}");
        }
    }
}
