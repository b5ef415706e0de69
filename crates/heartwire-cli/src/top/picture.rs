//! What the server says of itself and of its sessions at one moment.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::args::{Sort, View};
use crate::http_client::{Endpoint, HttpClient, HttpError, percent_encoded};
use crate::output::to_json;

/// Sessions in each part of the overview.
const NEAREST: usize = 20;

/// Sessions in a page of the other views.
const PAGE: usize = 100;

/// What the server is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) view: View,
    pub(super) sort: Sort,
    /// A part of the name.
    pub(super) search: String,
    /// The last session of the page before.
    pub(super) after: Option<String>,
}

impl Asked {
    /// The pages of sessions, in the order in which they are shown.
    pub(super) fn paths(&self) -> Vec<String> {
        let path = |sort: Sort, limit: usize, rest: &str| {
            let mut path = format!("/v1/sessions?sort={}&limit={limit}{rest}", sort.name());
            if !self.search.is_empty() {
                path.push_str("&name=");
                path.push_str(&percent_encoded(&self.search));
            }
            if let Some(after) = &self.after {
                path.push_str("&after=");
                path.push_str(&percent_encoded(after));
            }
            path
        };
        match self.view {
            View::Overview => vec![path(Sort::Due, NEAREST, ""), path(Sort::Rtt, NEAREST, "")],
            View::Sessions => vec![path(self.sort, PAGE, "")],
            View::Away => vec![path(self.sort, PAGE, "&away=true")],
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) at: Instant,
    pub(super) asked: Asked,
    pub(super) stats: Stats,
    pub(super) pages: Vec<Page>,
    /// The answers as they came.
    raw: Vec<Value>,
}

impl Picture {
    /// Asks for statistics and one or two pages of sessions.
    pub(super) async fn take(
        client: &mut HttpClient,
        endpoint: &Endpoint,
        asked: &Asked,
    ) -> Result<Self, HttpError> {
        let mut raw: Vec<Value> = vec![client.json("/v1/stats").await?];
        let paths = asked.paths();
        for path in &paths {
            raw.push(client.json(path).await?);
        }
        Self::read(asked, raw).map_err(|error| HttpError::foreign(endpoint, "/v1", error))
    }

    pub(super) fn read(asked: &Asked, raw: Vec<Value>) -> Result<Self, serde_json::Error> {
        let mut answers = raw.iter();
        let stats = Stats::deserialize(answers.next().unwrap_or(&Value::Null))?;
        let pages = answers.map(Page::deserialize).collect::<Result<_, _>>()?;
        Ok(Self { at: Instant::now(), asked: asked.clone(), stats, pages, raw })
    }

    /// The answers of the server in one object.
    pub(super) fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Object<'a> {
            time: String,
            stats: Option<&'a Value>,
            pages: &'a [Value],
        }
        let (stats, pages) = self.raw.split_first().unzip();
        to_json(&Object { time: now(), stats, pages: pages.unwrap_or_default() })
    }

    pub(super) fn session(&self, at: usize) -> Option<&Session> {
        self.pages.iter().flat_map(|page| &page.sessions).nth(at)
    }

    pub(super) fn len(&self) -> usize {
        self.pages.iter().map(|page| page.sessions.len()).sum()
    }
}

/// The object of a look that failed.
pub(super) fn error_to_json(error: &HttpError) -> String {
    #[derive(Serialize)]
    struct Object {
        time: String,
        error: String,
    }
    to_json(&Object { time: now(), error: error.to_string() })
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// `/v1/stats`. What is missing is not known: another version may say less.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    pub(super) version: String,
    pub(super) uptime_ms: f64,
    pub(super) ready: bool,
    pub(super) reasons: Vec<String>,
    pub(super) now: Now,
    pub(super) policy: Policy,
    pub(super) lateness_ms: Option<Quantiles>,
    pub(super) round_trip_ms: Option<Quantiles>,
    pub(super) gap_ms: Option<Quantiles>,
    pub(super) shards: Vec<Shard>,
    pub(super) resources: Vec<Resource>,
    pub(super) cpu_ms: Option<f64>,
    /// The counters of `stopped`, among other things.
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Stats {
    /// A counter; 0 if this server has none.
    pub(super) fn count(&self, name: &str) -> f64 {
        self.rest.get(name).and_then(Value::as_f64).unwrap_or_default()
    }

    /// How many of something a second there were between an earlier picture and this one. Without
    /// one, since the server's start.
    pub(super) fn rate(&self, before: Option<&Self>, of: impl Fn(&Self) -> f64) -> f64 {
        // A server with less uptime than before has been started anew.
        let before = before.filter(|before| before.uptime_ms < self.uptime_ms);
        let (count, uptime_ms) = before.map_or((0.0, 0.0), |before| (of(before), before.uptime_ms));
        let seconds = (self.uptime_ms - uptime_ms) / 1e3;
        if seconds > 0.0 { ((of(self) - count) / seconds).max(0.0) } else { 0.0 }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Now {
    pub(super) sessions: u64,
    pub(super) away: u64,
    pub(super) pending: Option<u64>,
    pub(super) held_bytes: Option<u64>,
    pub(super) max_sessions: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Policy {
    pub(super) interval_ms: Option<f64>,
    pub(super) timeout_ms: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quantiles {
    pub(super) count: f64,
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) p999: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Shard {
    pub(super) shard: u64,
    pub(super) turned: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Resource {
    pub(super) resource: String,
    #[serde(default)]
    pub(super) used: u64,
    #[serde(default)]
    pub(super) limit: Option<u64>,
    #[serde(default)]
    pub(super) short: bool,
}

/// A page of `/v1/sessions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Page {
    pub(super) sessions: Vec<Session>,
    pub(super) after: Option<String>,
    pub(super) missing_shards: Vec<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Session {
    pub(super) session: String,
    pub(super) name: Option<String>,
    pub(super) peer: String,
    pub(super) age_ms: Option<f64>,
    pub(super) silence_ms: Option<f64>,
    pub(super) timeout_ms: Option<f64>,
    pub(super) due_ms: Option<f64>,
    pub(super) rtt_ms: Option<f64>,
    pub(super) health: Option<String>,
    pub(super) beats: u64,
    pub(super) queued: u64,
    pub(super) away_within_ms: Option<f64>,
}
