//! The report of a run: numbers for each beat and each connection, and reasons to doubt them.

use core::fmt::Write as _;
use core::time::Duration;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{Format, Spread};
use super::lateness::Lateness;
use super::run::{Measured, Plan};
use super::server::Contender;
use crate::output;

/// A generator that is later than this was the bottleneck.
const MAX_LATE: Duration = Duration::from_millis(10);
/// So was one that is busier.
const MAX_BUSY: f64 = 0.9;

/// A pinned server that is busier has no time left.
const MAX_SERVER_BUSY: f64 = 0.97;

/// The result, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    Fine,
    /// A verdict never came.
    Missing,
    /// A verdict was early, or was given on a healthy connection.
    Wrong,
}

impl Exit {
    /// Of these verdicts.
    pub(crate) const fn of(early: u64, wrong: u64, missing: u64) -> Self {
        if early > 0 || wrong > 0 {
            Self::Wrong
        } else if missing > 0 {
            Self::Missing
        } else {
            Self::Fine
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Fine => Self::SUCCESS,
            Exit::Missing => Self::FAILURE,
            // After 2, which clap has for wrong usage.
            Exit::Wrong => Self::from(3),
        }
    }
}

/// The numbers of one run, or the medians of several. Programs read these names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// As typed after `--only`.
    pub(crate) id: String,
    pub(crate) server: String,
    /// The version of another project's server, and of what it runs on.
    pub(crate) version: Option<String>,
    /// What it does with a silent client, in words.
    pub(crate) rule: String,
    /// The shortest silence after which it closes a connection by that.
    pub(crate) timeout_ms: f64,
    #[serde(skip)]
    pub(crate) own: bool,
    pub(crate) connections: u32,
    pub(crate) accepts_per_s: f64,
    /// Whether the clients already waited; if not, the rate may be the generator's.
    pub(crate) accepts_queued: bool,
    pub(crate) accept_cpu_us: f64,
    pub(crate) beats: u64,
    pub(crate) beat_cpu_us: f64,
    pub(crate) beat_user_us: f64,
    pub(crate) beat_system_us: f64,
    pub(crate) wakeups_per_beat: f64,
    /// Whether the server sends as often as its clients do, if we know.
    pub(crate) answers: Option<bool>,
    pub(crate) answers_per_beat: f64,
    /// Of one processor; more where its threads run on several.
    pub(crate) busy: f64,
    pub(crate) threads: usize,
    pub(crate) user_bytes: f64,
    pub(crate) kernel_bytes: f64,
    /// By the times printed with the verdicts.
    pub(crate) verdict_ms: Option<Late>,
    /// By the times at which the clients saw the ends.
    pub(crate) seen_ms: Option<Late>,
    pub(crate) early: u64,
    #[serde(rename = "false")]
    pub(crate) wrong: u64,
    pub(crate) missing: u64,
    pub(crate) generator: Generator,
    pub(crate) warnings: Vec<String>,
}

/// How long after the last byte and the timeout, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Late {
    pub(crate) count: u64,
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// How punctual the load generator was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Generator {
    pub(crate) late_p99_ms: f64,
    pub(crate) late_max_ms: f64,
    /// Of one processor.
    pub(crate) busy: f64,
}

impl Report {
    pub(crate) fn new(plan: &Plan, contender: &Contender, measured: &Measured) -> Self {
        let connections = u64::from(measured.connections);
        let beats = measured.beats.sent;
        let judgement = &measured.judgement;
        let user_ns = measured.beating.user_ns();
        let late = &measured.beats.late;
        let generator = Generator {
            late_p99_ms: ms(late.value_at_quantile(0.99)),
            late_max_ms: ms(late.max()),
            busy: ratio(measured.own_cpu_ns, whole_nanos(measured.time)),
        };
        let accepting = measured.accepting;
        let busy = ratio(measured.beating.cpu_ns, whole_nanos(measured.time));
        let version = match contender {
            Contender::Peer(peer) => peer.version(),
            Contender::Own(_) | Contender::Baseline(_) | Contender::Running { .. } => None,
        };
        Self {
            id: contender.id(),
            server: contender.name(),
            version,
            rule: contender.rule(plan.timeout),
            timeout_ms: contender.timeout(plan.timeout).as_secs_f64() * 1e3,
            own: contender.is_own(),
            connections: measured.connections,
            accepts_per_s: ratio(connections, whole_nanos(accepting.time)) * 1e9,
            accepts_queued: accepting.queued,
            accept_cpu_us: ratio(accepting.usage.cpu_ns, connections) / 1e3,
            beats,
            beat_cpu_us: ratio(measured.beating.cpu_ns, beats) / 1e3,
            beat_user_us: ratio(user_ns, beats) / 1e3,
            beat_system_us: ratio(measured.beating.cpu_ns - user_ns, beats) / 1e3,
            wakeups_per_beat: ratio(measured.beating.wakeups, beats),
            answers: contender.answers(),
            answers_per_beat: ratio(measured.received / measured.answer_len.max(1), beats),
            busy,
            threads: measured.threads,
            user_bytes: ratio(measured.user_bytes, connections),
            // Both ends of each connection are on this machine.
            kernel_bytes: ratio(measured.kernel_bytes, 2 * connections),
            verdict_ms: Late::of(&judgement.verdicts),
            seen_ms: Late::of(&judgement.seen),
            early: judgement.early,
            wrong: judgement.wrong,
            missing: judgement.missing,
            generator,
            warnings: warnings(plan, generator, busy, measured.beats.stuck),
        }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        Exit::of(self.early, self.wrong, self.missing)
    }

    pub(crate) fn print(&self, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Text => output::print(self.render().trim_end()),
            Format::Json => output::print(json!(self)),
        }
    }

    /// The report for people.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, what: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<10} {what}");
        };
        row("server", format!("{}, {} connections", self.server, self.connections));
        let paced = if self.accepts_queued { "" } else { " (as fast as they were made here)" };
        row(
            "accepting",
            format!(
                "{:.0} a second{paced}, {:.2} µs of CPU each",
                self.accepts_per_s, self.accept_cpu_us
            ),
        );
        row(
            "beats",
            format!(
                "{}, each {:.2} µs of CPU ({:.2} user, {:.2} system) and {:.3} wake-ups",
                self.beats,
                self.beat_cpu_us,
                self.beat_user_us,
                self.beat_system_us,
                self.wakeups_per_beat
            ),
        );
        row("answers", format!("{:.3} of the server for each of these", self.answers_per_beat));
        row(
            "memory",
            format!(
                "{:.0} B a connection, and {:.0} B in the kernel",
                self.user_bytes, self.kernel_bytes
            ),
        );
        for (name, late) in [("verdicts", &self.verdict_ms), ("closed", &self.seen_ms)] {
            if let Some(late) = late {
                row(name, late.render());
            }
        }
        row(
            "wrong",
            format!("{} early, {} false, {} missing", self.early, self.wrong, self.missing),
        );
        row(
            "generator",
            format!(
                "late by p99 {:.2}, max {:.2} ms; {:.0} % of a processor",
                self.generator.late_p99_ms,
                self.generator.late_max_ms,
                self.generator.busy * 100.0
            ),
        );
        for warning in &self.warnings {
            row("WARNING", warning.clone());
        }
        text
    }
}

impl Late {
    pub(crate) fn of(lateness: &Lateness) -> Option<Self> {
        let at = |quantile| ms(lateness.quantile_us(quantile));
        (lateness.count() > 0).then(|| Self {
            count: lateness.count(),
            min: float(lateness.min_us().unsigned_abs()).copysign(signum(lateness.min_us())) / 1e3,
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(lateness.max_us()),
        })
    }

    pub(crate) fn render(&self) -> String {
        let Self { count, min, p50, p99, p999, max } = self;
        format!(
            "{count}, ms after the timeout: min {min:.2}, p50 {p50:.2}, p99 {p99:.2}, \
             p99.9 {p999:.2}, max {max:.2}"
        )
    }
}

fn warnings(plan: &Plan, generator: Generator, busy: f64, stuck: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    // A burst takes time; it only must end within the first part of its interval.
    let max_late = match plan.spread {
        Spread::Even => MAX_LATE,
        Spread::Burst => MAX_LATE.max(plan.interval / 10),
    };
    if generator.late_p99_ms > max_late.as_secs_f64() * 1e3 || generator.busy > MAX_BUSY {
        warnings.push("the generator was itself the bottleneck".to_owned());
    }
    if plan.pin.is_some() && busy > MAX_SERVER_BUSY {
        // With many beats in each read, a beat costs less than it does alone.
        warnings.push("its processor was busy all the time: it may not have kept up".to_owned());
    }
    if stuck > 0 {
        warnings.push(format!(
            "{stuck} beats found no room in their sockets: the server does not read"
        ));
    }
    if plan.time < plan.timeout {
        warnings
            .push("--time is shorter than --timeout, so not every deadline came once".to_owned());
    }
    if cfg!(debug_assertions) {
        warnings.push("this is a debug build; its numbers mean nothing".to_owned());
    }
    warnings
}

pub(crate) fn whole_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn ms(us: u64) -> f64 {
    float(us) / 1e3
}

fn signum(number: i64) -> f64 {
    if number < 0 { -1.0 } else { 1.0 }
}

/// 0 instead of 0/0, which cannot be written as JSON.
pub(crate) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}

#[expect(
    clippy::as_conversions,
    reason = "counts up to 2^53 are exact, and larger ones need not be"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
pub(crate) mod tests;
