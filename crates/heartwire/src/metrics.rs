//! What can be measured, under which names.
//!
//! With the feature `metrics` a client reports through the [`metrics`](https://docs.rs/metrics) facade, to
//! whatever recorder the program has installed, and `report_server` does so for a server. Without a recorder
//! that costs next to nothing; without the feature the names are here all the same, for whoever reports by
//! other means. No exporter is chosen for you, and no type of that crate is in this API.
//!
//! [`ALL`] describes each. Counters never fall while the process runs.

use core::fmt;

/// Connections of a client that stand and, on protocol v1, whose server has answered: 1 or 0.
pub const CLIENT_ONLINE: &str = "heartwire_client_online";
/// Attempts of a client to connect.
pub const CLIENT_ATTEMPTS: &str = "heartwire_client_attempts_total";
/// Attempts of a client that failed.
pub const CLIENT_FAILURES: &str = "heartwire_client_failures_total";
/// Connections of a client that came about.
pub const CLIENT_CONNECTIONS: &str = "heartwire_client_connections_total";
/// Connections of a client that ended.
pub const CLIENT_ENDS: &str = "heartwire_client_ends_total";
/// Messages that a client accepted, and dropped with a connection that was lost.
pub const CLIENT_UNSENT: &str = "heartwire_client_unsent_messages_total";
/// Beats that came from a client's server.
pub const CLIENT_BEATS: &str = "heartwire_client_beats_total";
/// The round trip, measured by each beat of protocol v1 that says it.
pub const CLIENT_ROUND_TRIP: &str = "heartwire_client_round_trip_seconds";
/// How late a client's verdicts were.
pub const CLIENT_VERDICT_LATE: &str = "heartwire_client_verdict_late_seconds";
/// How long a client's own process stood still, each time that it noticed.
pub const CLIENT_PAUSE: &str = "heartwire_client_pause_seconds";
/// Clients that became sessions of a server.
pub const SERVER_ACCEPTED: &str = "heartwire_server_accepted_total";
/// Clients that a server refused for want of room.
pub const SERVER_REFUSED: &str = "heartwire_server_refused_total";
/// Sessions of a server that ended.
pub const SERVER_ENDS: &str = "heartwire_server_ends_total";
/// Times that a shard of a server stood still.
pub const SERVER_PAUSES: &str = "heartwire_server_pauses_total";
/// Turns of a server's loops: each is one wake-up.
pub const SERVER_TURNS: &str = "heartwire_server_turns_total";
/// Deadlines that a server set.
pub const SERVER_TIMERS: &str = "heartwire_server_timers_total";

/// The label that says which connection of a program: the name under which a
/// [`Supervisor`](crate::supervisor::Supervisor) has it, else its target.
pub const LABEL_CONNECTION: &str = "connection";
/// The label that says why something ended: a [`Reason`](crate::Reason) by its
/// [name](crate::Reason::name).
pub const LABEL_REASON: &str = "reason";

/// What is counted or measured under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, in the manner of Prometheus: it ends in `_total` for a counter, and in its unit.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// The unit: `seconds`, or what is counted.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it is, in a sentence.
    pub help: &'static str,
}

/// What kind of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// Each measurement is kept, in whatever way the recorder has.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, help }
}

const OF_ONE: &[&str] = &[LABEL_CONNECTION];

/// Every metric there is. Later versions add some; none changes its name or meaning.
pub const ALL: &[Metric] = &[
    metric(CLIENT_ONLINE, Kind::Gauge, "connections", OF_ONE, "1 while the connection stands"),
    metric(CLIENT_ATTEMPTS, Kind::Counter, "attempts", OF_ONE, "attempts to connect"),
    metric(CLIENT_FAILURES, Kind::Counter, "attempts", OF_ONE, "attempts that failed"),
    metric(CLIENT_CONNECTIONS, Kind::Counter, "connections", OF_ONE, "connections that came about"),
    metric(
        CLIENT_ENDS,
        Kind::Counter,
        "connections",
        &[LABEL_CONNECTION, LABEL_REASON],
        "connections that ended",
    ),
    metric(CLIENT_UNSENT, Kind::Counter, "messages", OF_ONE, "messages lost with a connection"),
    metric(CLIENT_BEATS, Kind::Counter, "beats", OF_ONE, "beats that came from the server"),
    metric(CLIENT_ROUND_TRIP, Kind::Histogram, "seconds", OF_ONE, "round trips by beats (v1)"),
    metric(CLIENT_VERDICT_LATE, Kind::Histogram, "seconds", OF_ONE, "how late verdicts were"),
    metric(CLIENT_PAUSE, Kind::Histogram, "seconds", OF_ONE, "times the process stood still"),
    metric(SERVER_ACCEPTED, Kind::Counter, "clients", &[], "clients that became sessions"),
    metric(SERVER_REFUSED, Kind::Counter, "clients", &[], "clients refused for want of room"),
    metric(SERVER_ENDS, Kind::Counter, "sessions", &[LABEL_REASON], "sessions that ended"),
    metric(SERVER_PAUSES, Kind::Counter, "pauses", &[], "times that a shard stood still"),
    metric(SERVER_TURNS, Kind::Counter, "turns", &[], "turns of the shards' loops"),
    metric(SERVER_TIMERS, Kind::Counter, "deadlines", &[], "deadlines that were set"),
];

/// Tells the recorder what each metric is. Call it once, when the recorder is installed.
#[cfg(feature = "metrics")]
pub fn describe() {
    for metric in ALL {
        let unit = match metric.unit {
            "seconds" => ::metrics::Unit::Seconds,
            _ => ::metrics::Unit::Count,
        };
        match metric.kind {
            Kind::Counter => ::metrics::describe_counter!(metric.name, unit, metric.help),
            Kind::Gauge => ::metrics::describe_gauge!(metric.name, unit, metric.help),
            Kind::Histogram => ::metrics::describe_histogram!(metric.name, unit, metric.help),
        }
    }
}

/// Reports what a server has counted. Call it as often as the figures should be fresh, with what
/// [`Handle::stats`](crate::server::Handle::stats) returns: a server touches nothing of this by itself.
///
/// The counters are set to what the server has counted since it started, so one process can report one server.
#[cfg(feature = "metrics")]
pub fn report_server(stats: &crate::server::Stats) {
    for (name, count) in [
        (SERVER_ACCEPTED, stats.accepted),
        (SERVER_REFUSED, stats.refused),
        (SERVER_PAUSES, stats.pauses),
        (SERVER_TURNS, stats.turns),
        (SERVER_TIMERS, stats.timers),
    ] {
        ::metrics::counter!(name).absolute(count);
    }
    for (reason, count) in stats.ends() {
        ::metrics::counter!(SERVER_ENDS, LABEL_REASON => reason).absolute(count);
    }
}

#[cfg(test)]
mod tests;
