//! `/metrics`: what Prometheus and its like read, made anew for each of them.
//!
//! No label names a session, a client or an address: there would be as many series as there ever
//! were clients.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use heartwire::server::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::stats::cpu_time;
use super::{Row, Running, Shared};
use crate::serve::presence::Status;

/// What a metric's reader understands.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn answer(shared: &Arc<Shared>) -> Response {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics(Arc::clone(shared))));
    let mut text = String::new();
    // Nothing can fail in memory.
    let _ = encode(&mut text, &registry);
    ([(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS))], text).into_response()
}

/// The metrics of a server. docs/observability.md lists them.
#[derive(Debug)]
struct Metrics(Arc<Shared>);

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Encoder(encoder);
        let shared = &self.0;
        let is_ready = shared.reasons().is_empty();
        out.gauge("ready", "1 while it takes new clients", u64::from(is_ready))?;
        let hanging = count(shared.health.hanging().len());
        out.gauge("hanging_shards", "shards that have not turned in time", hanging)?;
        let Some(Running { server, .. }) = shared.running.get() else { return Ok(()) };
        out.gauge("sessions", "sessions with a connection", count(server.count()))?;
        out.gauge("sessions_away", "sessions that wait for their client", count(server.away()))?;
        let held = server.held();
        let most = count(held.sessions.max);
        out.gauge("max_sessions", "as many sessions as there may be", most)?;
        let (bytes, away) = (count(held.bytes.used), count(held.away_bytes.used));
        out.gauge("pending", "clients that are not accepted yet", count(held.pending.used))?;
        out.gauge("held_bytes", "bytes held for sessions with a connection", bytes)?;
        out.gauge("held_away_bytes", "bytes held for sessions that are away", away)?;

        let stats = server.stats();
        let get = |name| stats.get(name).unwrap_or_default();
        for (metric, counter, what) in [
            ("accepted", "accepted", "connections accepted"),
            ("refused", "refused", "clients refused for lack of room"),
            ("hellos", "hellos", "connections with a valid HELLO"),
            ("welcomed", "welcomed", "of those, how many began a session"),
            ("away", "away", "sessions that lost a connection"),
            ("back", "resumed", "sessions that were resumed"),
            ("lost", "lost", "clients that came back to a session that had ended"),
            ("tls_handshakes", "tls_handshakes", "TLS handshakes completed"),
            ("tls_tickets", "tls_tickets", "of those, how many with a session ticket"),
            ("cut_off", "cut_off", "connections ended before their clients had everything"),
            ("pauses", "pauses", "pauses of the shards"),
        ] {
            out.counter(metric, what, get(counter))?;
        }
        out.counter("turns", "turns of the event loops", stats.turns)?;
        out.counter("timers", "deadlines set", stats.timers)?;
        out.counters("ends", "sessions that ended", "reason", stats.ends())?;
        let rejected = stats
            .counts()
            .filter_map(|(name, count)| Some((name.strip_prefix("rejected_")?, count)));
        out.counters("rejections", "clients rejected at the handshake", "code", rejected)?;

        let rows = shared.resources();
        let used = |row: &Row| (row.resource, count(row.used));
        let limit = |row: &Row| (row.resource, count(row.limit));
        let short = |row: &Row| (row.resource, u64::from(row.short));
        out.resources("resource_used", "how much is in use", rows.iter().map(used))?;
        out.resources("resource_limit", "how much may be in use", rows.iter().map(limit))?;
        let what = "1 from 90 % of the limit on, until it is below 80 % again";
        out.resources("resource_short", what, rows.iter().map(short))?;

        out.presence(&shared.presence().unwrap_or_default())?;

        let measured = server.histograms();
        out.histogram("verdict_late", "how late verdicts were", &measured.lateness)?;
        out.histogram("round_trip", "round trips by beats", &measured.round_trip)?;
        out.histogram("arrival_gap", "between arrivals of a client's bytes", &measured.gap)?;

        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let mut info = out.0.encode_descriptor(
            "heartwire_build",
            "the program that serves",
            None,
            MetricType::Info,
        )?;
        info.encode_info(&version)?;
        if let Some(used) = cpu_time() {
            let what = "processor time used";
            let mut metric =
                out.0.encode_descriptor("process_cpu_seconds", what, None, MetricType::Counter)?;
            plain(&mut metric, used.as_secs_f64())?;
        }
        let started = shared.started_at.duration_since(SystemTime::UNIX_EPOCH);
        let started = started.unwrap_or_default().as_secs_f64();
        let what = "when it started, since 1970";
        let name = "process_start_time_seconds";
        out.0.encode_descriptor(name, what, None, MetricType::Gauge)?.encode_gauge(&started)
    }
}

/// Writes metrics of a server.
struct Encoder<'a>(DescriptorEncoder<'a>);

impl Encoder<'_> {
    fn descriptor<T>(
        &mut self,
        name: &str,
        what: &str,
        kind: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> Result<T, fmt::Error>,
    ) -> Result<T, fmt::Error> {
        let name = format!("heartwire_server_{name}");
        write(self.0.encode_descriptor(&name, what, None, kind)?)
    }

    fn gauge(&mut self, name: &str, what: &str, value: u64) -> fmt::Result {
        self.descriptor(name, what, MetricType::Gauge, |mut metric| metric.encode_gauge(&value))
    }

    fn counter(&mut self, name: &str, what: &str, value: u64) -> fmt::Result {
        self.descriptor(name, what, MetricType::Counter, |mut metric| plain(&mut metric, value))
    }

    /// One counter for each value of a label.
    fn counters(
        &mut self,
        name: &str,
        what: &str,
        label: &'static str,
        counts: impl Iterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        self.descriptor(name, what, MetricType::Counter, |mut metric| {
            for (value, count) in counts {
                plain(&mut metric.encode_family(&[(label, value)])?, count)?;
            }
            Ok(())
        })
    }

    /// One gauge for each resource.
    fn resources(
        &mut self,
        name: &str,
        what: &str,
        levels: impl Iterator<Item = (&'static str, u64)>,
    ) -> fmt::Result {
        self.descriptor(name, what, MetricType::Gauge, |mut metric| {
            for (resource, level) in levels {
                metric.encode_family(&[("resource", resource)])?.encode_gauge(&level)?;
            }
            Ok(())
        })
    }

    /// All are 0 without presence and hooks.
    fn presence(&mut self, status: &Status) -> fmt::Result {
        let is_lost = status.connected == Some(false);
        self.gauge("presence_lost", "1 while Redis does not answer", u64::from(is_lost))?;
        let waiting = "changes that wait for Redis";
        self.gauge("presence_waiting", waiting, count(status.waiting))?;
        let fenced = "times that it was taken for dead by another node";
        self.counter("presence_fenced", fenced, status.fenced)?;
        let held = "names whose offline is held back";
        self.gauge("offlines_held", held, count(status.held))?;
        let is_incident = u64::from(status.incident.is_some());
        self.gauge("incident", "1 while many clients are lost at once", is_incident)?;
        let hooks = status.hooks.unwrap_or_default();
        let waiting = "changes that are to be told by hooks";
        self.gauge("hooks_waiting", waiting, count(hooks.queued))?;
        let lag = hooks.oldest.unwrap_or_default().as_secs_f64();
        let what = "age of the oldest of them";
        self.descriptor("hooks_lag_seconds", what, MetricType::Gauge, |mut metric| {
            metric.encode_gauge(&lag)
        })?;
        self.counter("hooks_delivered", "changes that the hook has taken", hooks.delivered)?;
        self.counter("hooks_retries", "deliveries that were tried again", hooks.retries)?;
        self.counter("hooks_dead", "changes that were given up", hooks.dead)
    }

    /// In seconds.
    fn histogram(&mut self, name: &str, what: &str, histogram: &Histogram) -> fmt::Result {
        let edge = |edge: Option<Duration>| edge.map_or(f64::INFINITY, |edge| edge.as_secs_f64());
        let buckets: Vec<_> = histogram.buckets().map(|(to, count)| (edge(to), count)).collect();
        let (sum, count) = (histogram.sum().as_secs_f64(), histogram.count());
        self.descriptor(&format!("{name}_seconds"), what, MetricType::Histogram, |mut metric| {
            metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }
}

/// A counter without an example.
fn plain(
    metric: &mut MetricEncoder<'_>,
    value: impl prometheus_client::encoding::EncodeCounterValue,
) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
