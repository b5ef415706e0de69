//! `/v1/stats`: the server in one object.

use std::time::SystemTime;

use axum::http::StatusCode;
use axum::response::Response;
use heartwire::Policy;
use heartwire::server::{Handle, Histogram, Stats};
use serde::{Serialize, Serializer};

use super::Row;
use super::reply::json;
use super::{Settings, Shared};
use crate::output::{Millis, fields};
use crate::serve::presence;

#[derive(Serialize)]
struct Answer<'a> {
    version: &'static str,
    time: String,
    uptime_ms: Millis,
    ready: bool,
    reasons: Vec<String>,
    #[serde(flatten, serialize_with = "counts")]
    stats: Stats,
    now: Now,
    #[serde(serialize_with = "fields::policy")]
    policy: &'a Policy,
    lateness_ms: Spread,
    round_trip_ms: Spread,
    gap_ms: Spread,
    shards: Vec<Shard>,
    resources: Vec<Row>,
    presence: Option<presence::Now>,
    cpu_ms: Option<Millis>,
}

/// What there is at this moment.
#[derive(Serialize)]
struct Now {
    sessions: usize,
    away: usize,
    pending: usize,
    held_bytes: usize,
    max_sessions: usize,
}

/// Durations in short, estimated from a histogram.
#[derive(Serialize)]
struct Spread {
    count: u64,
    p50: Option<Millis>,
    p99: Option<Millis>,
    p999: Option<Millis>,
}

impl Spread {
    fn of(histogram: &Histogram) -> Self {
        let quantile = |permille| histogram.quantile(permille).map(Millis);
        let [p50, p99, p999] = [500, 990, 999].map(quantile);
        Self { count: histogram.count(), p50, p99, p999 }
    }
}

#[derive(Serialize)]
struct Shard {
    shard: usize,
    turned: bool,
}

pub(super) fn answer(shared: &Shared, server: &Handle, settings: &Settings) -> Response {
    let reasons = shared.reasons();
    let hanging = shared.health.hanging();
    let (held, measured) = (server.held(), server.histograms());
    let shard = |shard| Shard { shard, turned: !hanging.contains(&shard) };
    let answer = Answer {
        version: env!("CARGO_PKG_VERSION"),
        time: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        uptime_ms: Millis(shared.began.elapsed()),
        ready: reasons.is_empty(),
        reasons,
        stats: server.stats(),
        now: Now {
            sessions: held.sessions.used,
            away: held.away.used,
            pending: held.pending.used,
            held_bytes: held.bytes.used.saturating_add(held.away_bytes.used),
            max_sessions: held.sessions.max,
        },
        policy: &settings.policy,
        lateness_ms: Spread::of(&measured.lateness),
        round_trip_ms: Spread::of(&measured.round_trip),
        gap_ms: Spread::of(&measured.gap),
        shards: (0..settings.shards).map(shard).collect(),
        resources: shared.resources(),
        presence: shared.presence().map(presence::Now::from),
        cpu_ms: cpu_time().map(Millis),
    };
    json(StatusCode::OK, &answer)
}

fn counts<S: Serializer>(stats: &Stats, serializer: S) -> Result<S::Ok, S::Error> {
    let work = [("turns", stats.turns), ("timers", stats.timers)];
    serializer.collect_map(stats.counts().chain(work))
}

/// Processor time that this process has used.
#[cfg(unix)]
pub(super) fn cpu_time() -> Option<core::time::Duration> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    core::time::Duration::try_from(used).ok()
}

#[cfg(not(unix))]
pub(super) fn cpu_time() -> Option<core::time::Duration> {
    None
}
