//! The report of `operate`, for people and for programs.

use core::time::Duration;

use serde_json::{Value, json};

use super::args::Format;
use crate::output;

/// Most processor time of the server for a scrape, or for its statistics, in ms.
const MOST_MS: f64 = 5.0;
/// The lateness that one of 1,000 verdicts may exceed, in ms.
const LATENESS_MS: f64 = 20.0;
/// Most of a processor for the page, and for `heartwire top`.
const MOST_SHARE: f64 = 0.02;

/// How late verdicts were, in ms; at least one.
#[derive(Clone, Debug)]
pub(super) struct Lateness(Vec<f64>);

impl Lateness {
    /// `None` without any.
    pub(super) fn new(mut late: Vec<f64>) -> Option<Self> {
        late.sort_unstable_by(f64::total_cmp);
        if late.is_empty() { None } else { Some(Self(late)) }
    }

    /// What `permille` of 1,000 do not exceed.
    fn quantile(&self, permille: usize) -> f64 {
        let rank = (self.0.len() * permille).div_ceil(1000).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    fn object(&self) -> Value {
        let [p50, p99, p999, max] = [500, 990, 999, 1000].map(|permille| self.quantile(permille));
        json!({ "count": self.0.len(), "p50": p50, "p99": p99, "p999": p999, "max": max })
    }
}

/// Listings of 1,000 sessions that were made one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listings {
    pub(super) count: u32,
    pub(super) slowest: Duration,
}

/// The processor time of the server for some requests, as a share of one processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Without them.
    pub(super) idle: f64,
    /// For each, in seconds of processor time.
    pub(super) each: f64,
    /// For all of them.
    pub(super) cpu: f64,
    pub(super) slowest: Duration,
}

/// What health checks said of a drain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drained {
    pub(super) lasted: Duration,
    /// It lasted long enough to say something.
    pub(super) is_whole: bool,
    live: [u32; 2],
    ready: [u32; 2],
}

impl Drained {
    pub(super) fn count_live(&mut self, status: u16) {
        let [right, wrong] = &mut self.live;
        *(if status == 200 { right } else { wrong }) += 1;
    }

    pub(super) fn count_ready(&mut self, status: u16) {
        let [right, wrong] = &mut self.ready;
        *(if status == 503 { right } else { wrong }) += 1;
    }

    fn is_right([right, wrong]: [u32; 2]) -> bool {
        right > 0 && wrong == 0
    }
}

/// Results of a run.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) sessions: u32,
    pub(super) control: Lateness,
    pub(super) with_listings: Lateness,
    pub(super) listings: Listings,
    pub(super) scrape_ms: f64,
    pub(super) stats_ms: f64,
    pub(super) page: Share,
    pub(super) top: Share,
    pub(super) drained: Drained,
}

/// One line of the report.
struct Row {
    what: &'static str,
    measured: String,
    /// What it must not exceed, or must be.
    bar: String,
    is_kept: bool,
}

impl Outcome {
    /// Whether every bar was kept.
    pub(super) fn is_fine(&self) -> bool {
        self.rows().iter().all(|row| row.is_kept)
    }

    fn rows(&self) -> Vec<Row> {
        let cost = |what, ms: f64| Row {
            what,
            measured: format!("{ms:.2} ms of the server's processor time"),
            bar: format!("{MOST_MS} ms"),
            is_kept: ms <= MOST_MS,
        };
        let late = |of: &Lateness| {
            let [p50, p999, max] = [500, 999, 1000].map(|permille| of.quantile(permille));
            format!("p50 {p50:.1} ms, p99.9 {p999:.1} ms, max {max:.1} ms ({})", of.0.len())
        };
        let share = |what, share: Share| Row {
            what,
            measured: format!(
                "{:.2} % of a processor (the server without: {:.1} %), slowest {:.0} ms",
                share.cpu * 100.0,
                share.idle * 100.0,
                share.slowest.as_secs_f64() * 1e3
            ),
            bar: format!("{:.0} %", MOST_SHARE * 100.0),
            is_kept: share.cpu < MOST_SHARE,
        };
        let health = |what, [right, wrong]: [u32; 2], status| Row {
            what,
            measured: format!(
                "{right} of {} answers in {:.1} s",
                right + wrong,
                self.drained.lasted.as_secs_f64()
            ),
            bar: format!("all {status}"),
            is_kept: self.drained.is_whole && Drained::is_right([right, wrong]),
        };
        let Listings { count, slowest } = self.listings;
        vec![
            cost("/metrics", self.scrape_ms),
            cost("/v1/stats", self.stats_ms),
            Row {
                what: "verdicts",
                measured: late(&self.control),
                bar: "-".to_owned(),
                is_kept: true,
            },
            Row {
                what: "verdicts, listed",
                measured: late(&self.with_listings),
                bar: format!("p99.9 {LATENESS_MS} ms"),
                is_kept: self.with_listings.quantile(999) <= LATENESS_MS,
            },
            Row {
                what: "listings",
                measured: format!(
                    "{count} of 1,000 one after the other, slowest {:.0} ms",
                    slowest.as_secs_f64() * 1e3
                ),
                bar: "-".to_owned(),
                is_kept: count > 0,
            },
            share("the page", self.page),
            share("top", self.top),
            health("/livez in a drain", self.drained.live, 200),
            health("/readyz in a drain", self.drained.ready, 503),
        ]
    }

    fn object(&self) -> Value {
        let share = |share: Share| {
            let slowest_ms = share.slowest.as_secs_f64() * 1e3;
            json!({ "cpu": share.cpu, "idle": share.idle, "slowest_ms": slowest_ms })
        };
        let answers = |[right, wrong]: [u32; 2]| json!({ "right": right, "wrong": wrong });
        let missed: Vec<&str> =
            self.rows().iter().filter(|row| !row.is_kept).map(|row| row.what).collect();
        json!({
            "machine": crate::process::machine(),
            "sessions": self.sessions,
            "scrape_cpu_ms": self.scrape_ms,
            "stats_cpu_ms": self.stats_ms,
            "late_ms": self.control.object(),
            "late_listed_ms": self.with_listings.object(),
            "listings": self.listings.count,
            "slowest_listing_ms": self.listings.slowest.as_secs_f64() * 1e3,
            "page": share(self.page),
            "top": share(self.top),
            "drain_ms": self.drained.lasted.as_secs_f64() * 1e3,
            "livez": answers(self.drained.live),
            "readyz": answers(self.drained.ready),
            "missed": missed,
        })
    }
}

pub(super) fn print(outcome: &Outcome, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::print(outcome.object()),
        Format::Text => {
            output::print(format_args!("{} sessions", outcome.sessions))?;
            for Row { what, measured, bar, is_kept } in outcome.rows() {
                let missed = if is_kept { "" } else { "  MISSED" };
                output::print(format_args!("  {what:<19} {measured}  [bar: {bar}]{missed}"))?;
            }
            output::print(crate::process::machine())
        }
        Format::Markdown => {
            output::print("| what | measured | bar |\n|---|---|---|")?;
            for Row { what, measured, bar, is_kept } in outcome.rows() {
                let missed = if is_kept { "" } else { " (missed)" };
                output::print(format_args!("| {what} | {measured} | {bar}{missed} |"))?;
            }
            output::print(format_args!("\n{}", crate::process::machine()))
        }
    }
}

#[cfg(test)]
mod tests;
