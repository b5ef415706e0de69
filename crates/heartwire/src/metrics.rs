//! The names of all metrics, and how to report them.
//!
//! With the feature `metrics` a client reports through the [`metrics`](https://docs.rs/metrics)
//! crate to the recorder that the program has installed, and `report_server` does so for a server.
//! Without a recorder that costs next to nothing. The names exist without the feature too, for
//! programs that report in another way. The library chooses no exporter, and this API has no type
//! of that crate.
//!
//! [`ALL`] describes each metric. Counters never fall while the process runs.

use core::fmt;

/// 1 while a client is connected and, on protocol v1, its server has answered, and while its
/// session goes on without a connection; else 0.
pub const CLIENT_ONLINE: &str = "heartwire_client_online";
/// Attempts of a client to connect.
pub const CLIENT_ATTEMPTS: &str = "heartwire_client_attempts_total";
/// Attempts of a client that failed.
pub const CLIENT_FAILURES: &str = "heartwire_client_failures_total";
/// Connections that a client made.
pub const CLIENT_CONNECTIONS: &str = "heartwire_client_connections_total";
/// Connections of a client that ended.
pub const CLIENT_ENDS: &str = "heartwire_client_ends_total";
/// Accepted messages that a client lost with a connection.
pub const CLIENT_UNSENT: &str = "heartwire_client_unsent_messages_total";
/// Times that a client's session went on without a connection.
pub const CLIENT_AWAY: &str = "heartwire_client_away_total";
/// Times that a client's session went on over a new connection.
pub const CLIENT_BACK: &str = "heartwire_client_back_total";
/// Accepted messages that a server is not known to have taken over when the session ended, which
/// could be resumed.
pub const CLIENT_UNDELIVERED: &str = "heartwire_client_undelivered_messages_total";
/// Beats that a client received from its server.
pub const CLIENT_BEATS: &str = "heartwire_client_beats_total";
/// Round-trip times, one for each beat of protocol v1 that measures one.
pub const CLIENT_ROUND_TRIP: &str = "heartwire_client_round_trip_seconds";
/// How late a client's verdicts were.
pub const CLIENT_VERDICT_LATE: &str = "heartwire_client_verdict_late_seconds";
/// How long a client's process was paused, for each pause that it noticed.
pub const CLIENT_PAUSE: &str = "heartwire_client_pause_seconds";
/// Connections that a server accepted.
pub const SERVER_ACCEPTED: &str = "heartwire_server_accepted_total";
/// Clients that a server refused for lack of room.
pub const SERVER_REFUSED: &str = "heartwire_server_refused_total";
/// Times that a session of a server lost its connection and waited for its client.
pub const SERVER_AWAY: &str = "heartwire_server_away_total";
/// Times that a client came back to its session on a server.
pub const SERVER_BACK: &str = "heartwire_server_back_total";
/// Sessions of a server that ended.
pub const SERVER_ENDS: &str = "heartwire_server_ends_total";
/// Times that a shard of a server was paused.
pub const SERVER_PAUSES: &str = "heartwire_server_pauses_total";
/// Turns of a server's event loops: one per wake-up.
pub const SERVER_TURNS: &str = "heartwire_server_turns_total";
/// Deadlines that a server set.
pub const SERVER_TIMERS: &str = "heartwire_server_timers_total";

/// The label that names a client's connection: its name in a
/// [`Supervisor`](crate::supervisor::Supervisor), else its target.
pub const LABEL_CONNECTION: &str = "connection";
/// The label that says why a connection ended: the [name](crate::Reason::name) of a
/// [`Reason`](crate::Reason).
pub const LABEL_REASON: &str = "reason";

/// The description of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, as Prometheus recommends: it ends in `_total` for a counter, or in its unit.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The unit: `seconds`, or what is counted.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// A short description.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A present value.
    Gauge,
    /// A distribution of measurements, as the recorder keeps it.
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

/// Every metric. Later versions may add some; none changes its name or meaning.
pub const ALL: &[Metric] = &[
    metric(CLIENT_ONLINE, Kind::Gauge, "connections", OF_ONE, "1 while connected"),
    metric(CLIENT_ATTEMPTS, Kind::Counter, "attempts", OF_ONE, "attempts to connect"),
    metric(CLIENT_FAILURES, Kind::Counter, "attempts", OF_ONE, "attempts that failed"),
    metric(CLIENT_CONNECTIONS, Kind::Counter, "connections", OF_ONE, "connections made"),
    metric(
        CLIENT_ENDS,
        Kind::Counter,
        "connections",
        &[LABEL_CONNECTION, LABEL_REASON],
        "connections that ended",
    ),
    metric(CLIENT_UNSENT, Kind::Counter, "messages", OF_ONE, "messages lost with a connection"),
    metric(CLIENT_AWAY, Kind::Counter, "sessions", OF_ONE, "sessions that lost a connection"),
    metric(CLIENT_BACK, Kind::Counter, "sessions", OF_ONE, "sessions that were resumed"),
    metric(
        CLIENT_UNDELIVERED,
        Kind::Counter,
        "messages",
        OF_ONE,
        "messages that a resumable session did not deliver",
    ),
    metric(CLIENT_BEATS, Kind::Counter, "beats", OF_ONE, "beats from the server"),
    metric(CLIENT_ROUND_TRIP, Kind::Histogram, "seconds", OF_ONE, "round trips by beats (v1)"),
    metric(CLIENT_VERDICT_LATE, Kind::Histogram, "seconds", OF_ONE, "how late verdicts were"),
    metric(CLIENT_PAUSE, Kind::Histogram, "seconds", OF_ONE, "pauses of the process"),
    metric(SERVER_ACCEPTED, Kind::Counter, "connections", &[], "connections accepted"),
    metric(SERVER_REFUSED, Kind::Counter, "clients", &[], "clients refused for lack of room"),
    metric(SERVER_AWAY, Kind::Counter, "sessions", &[], "sessions that lost a connection"),
    metric(SERVER_BACK, Kind::Counter, "sessions", &[], "sessions that were resumed"),
    metric(SERVER_ENDS, Kind::Counter, "sessions", &[LABEL_REASON], "sessions that ended"),
    metric(SERVER_PAUSES, Kind::Counter, "pauses", &[], "pauses of the shards"),
    metric(SERVER_TURNS, Kind::Counter, "turns", &[], "turns of the event loops"),
    metric(SERVER_TIMERS, Kind::Counter, "deadlines", &[], "deadlines set"),
];

/// Describes every metric to the recorder. Call it once, when the recorder is installed.
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

/// Reports the counters of a server. Call it regularly, with what
/// [`Handle::stats`](crate::server::Handle::stats) returns: a server does not report by itself.
///
/// The counters are set to the server's totals since it started, so one process can report only one
/// server.
#[cfg(feature = "metrics")]
pub fn report_server(stats: &crate::server::Stats) {
    for (metric, name) in [
        (SERVER_ACCEPTED, "accepted"),
        (SERVER_REFUSED, "refused"),
        (SERVER_AWAY, "away"),
        (SERVER_BACK, "resumed"),
        (SERVER_PAUSES, "pauses"),
    ] {
        ::metrics::counter!(metric).absolute(stats.get(name).unwrap_or_default());
    }
    ::metrics::counter!(SERVER_TURNS).absolute(stats.turns);
    ::metrics::counter!(SERVER_TIMERS).absolute(stats.timers);
    for (reason, count) in stats.ends() {
        ::metrics::counter!(SERVER_ENDS, LABEL_REASON => reason).absolute(count);
    }
}

#[cfg(test)]
mod tests;
