//! The report of a run.

use core::fmt::Write as _;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answer::{Judged, Measured, Process};
use super::run::{Outcome, Plan};
use crate::bench::{
    Exit, Format, Late, Lateness, Protocol, float, histogram, ms, ratio, whole_nanos,
};
use crate::output;
use crate::process::Usage;

/// A generator that is later than this has not sent the load that it should.
const LATE_MAX: Duration = Duration::from_millis(100);

/// The numbers of one run. Programs read these names; those that `bench` has too mean the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) sessions: u32,
    /// How many were open at the end of the measurement.
    pub(super) held: u32,
    /// Servers, each with a process of clients.
    pub(super) processes: u32,
    pub(super) protocol: String,
    pub(super) interval_ms: u64,
    pub(super) timeout_ms: u64,
    pub(super) connect_s: f64,
    /// For how long beats were measured.
    pub(super) time_s: f64,
    pub(super) beats: u64,
    pub(super) beat_cpu_us: f64,
    pub(super) beat_user_us: f64,
    pub(super) beat_system_us: f64,
    pub(super) wakeups_per_beat: f64,
    /// Processors that the servers kept busy.
    pub(super) busy: f64,
    /// The servers' memory for each session, and all of it.
    pub(super) user_bytes: f64,
    pub(super) all_user_bytes: u64,
    /// The kernel's memory for each end of a session, and for both.
    pub(super) kernel_bytes: f64,
    pub(super) kernel_bytes_both_ends: f64,
    pub(super) frozen: u32,
    pub(super) verdict_ms: Option<Late>,
    pub(super) early: u64,
    #[serde(rename = "false")]
    pub(super) wrong: u64,
    pub(super) missing: u64,
    pub(super) clients: Clients,
    pub(super) warnings: Vec<String>,
}

/// What the clients cost, and how punctual they were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Clients {
    pub(super) beat_cpu_us: f64,
    pub(super) busy: f64,
    pub(super) user_bytes: f64,
    pub(super) late_p99_ms: f64,
    pub(super) late_max_ms: f64,
}

impl Report {
    pub(super) fn new(plan: &Plan, outcome: &Outcome) -> anyhow::Result<Self> {
        let Outcome { measured, judged, .. } = outcome;
        let (mut late, mut verdicts) = (histogram()?, Lateness::new()?);
        for part in measured {
            part.late.add_to(&mut late);
        }
        for part in judged {
            verdicts.add(&part.late, part.min_us);
        }
        let of_all = |count: fn(&Measured) -> u64| measured.iter().map(count).sum::<u64>();
        let judged = |count: fn(&Judged) -> u64| judged.iter().map(count).sum::<u64>();
        let sum = |process: fn(&Measured) -> Process| {
            measured.iter().map(process).fold(Process::default(), |all, one| Process {
                usage: all.usage + one.usage,
                bytes: all.bytes + one.bytes,
                more_bytes: all.more_bytes + one.more_bytes,
            })
        };
        let (servers, clients) = (sum(|part| part.server), sum(|part| part.clients));
        let busy = |usage: Usage| ratio(usage.cpu_ns, whole_nanos(outcome.time));
        let (beats, user_ns) = (of_all(|part| part.beats), servers.usage.user_ns());
        let sessions = u64::from(plan.sessions);
        let clients = Clients {
            beat_cpu_us: ratio(clients.usage.cpu_ns, beats) / 1e3,
            busy: busy(clients.usage),
            user_bytes: ratio(clients.more_bytes, sessions),
            late_p99_ms: ms(late.value_at_quantile(0.99)),
            late_max_ms: ms(late.max()),
        };
        Ok(Self {
            sessions: plan.sessions,
            held: u32::try_from(of_all(|part| part.open.into()))?,
            processes: outcome.pairs,
            protocol: if plan.protocol == Protocol::V1 { "v1" } else { "v0" }.to_owned(),
            interval_ms: u64::try_from(plan.interval.as_millis())?,
            timeout_ms: u64::try_from(plan.timeout.as_millis())?,
            connect_s: outcome.connecting.as_secs_f64(),
            time_s: outcome.time.as_secs_f64(),
            beats,
            beat_cpu_us: ratio(servers.usage.cpu_ns, beats) / 1e3,
            beat_user_us: ratio(user_ns, beats) / 1e3,
            beat_system_us: ratio(servers.usage.cpu_ns.saturating_sub(user_ns), beats) / 1e3,
            wakeups_per_beat: ratio(servers.usage.wakeups, beats),
            busy: busy(servers.usage),
            user_bytes: ratio(servers.more_bytes, sessions),
            all_user_bytes: servers.bytes,
            kernel_bytes: ratio(outcome.kernel_bytes, 2 * sessions),
            kernel_bytes_both_ends: ratio(outcome.kernel_bytes, sessions),
            frozen: u32::try_from(judged(|part| part.frozen.into()))?,
            verdict_ms: Late::of(&verdicts),
            early: judged(|part| part.early),
            wrong: judged(|part| part.wrong),
            missing: judged(|part| part.missing),
            clients,
            warnings: warnings(plan, &clients, of_all(|part| part.stuck)),
        })
    }

    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        let lost = u64::from(self.sessions.saturating_sub(self.held));
        Exit::of(self.early, self.wrong, self.missing + lost)
    }

    pub(super) fn print(&self, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Text => output::print(self.render().trim_end()),
            Format::Json => output::print(json!(self)),
        }
    }

    /// The report for people.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, what: String| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<10} {what}");
        };
        let seconds = |ms| float(ms) / 1e3;
        row(
            "crowd",
            format!(
                "{} sessions on protocol {}, a beat every {} s, timeout {} s; {} servers, each \
                 with a process of clients",
                self.sessions,
                self.protocol,
                seconds(self.interval_ms),
                seconds(self.timeout_ms),
                self.processes,
            ),
        );
        row(
            "held",
            format!("{} for {:.0} s, connected in {:.1} s", self.held, self.time_s, self.connect_s),
        );
        row(
            "beats",
            format!(
                "{}, each {:.2} µs of the servers' CPU ({:.2} user, {:.2} system) and {:.3} \
                 wake-ups",
                self.beats,
                self.beat_cpu_us,
                self.beat_user_us,
                self.beat_system_us,
                self.wakeups_per_beat
            ),
        );
        row(
            "servers",
            format!(
                "{:.0} % of a processor; {:.0} B of memory a session, {:.0} MB in all",
                self.busy * 100.0,
                self.user_bytes,
                float(self.all_user_bytes) / 1e6
            ),
        );
        row(
            "clients",
            format!(
                "{:.0} % of a processor, {:.2} µs a beat; {:.0} B of memory each; beats late by \
                 p99 {:.2}, max {:.2} ms",
                self.clients.busy * 100.0,
                self.clients.beat_cpu_us,
                self.clients.user_bytes,
                self.clients.late_p99_ms,
                self.clients.late_max_ms
            ),
        );
        row(
            "kernel",
            format!(
                "{:.0} B a session, which is both of its ends: {:.0} MB in all",
                self.kernel_bytes_both_ends,
                self.kernel_bytes_both_ends * f64::from(self.sessions) / 1e6
            ),
        );
        row("frozen", format!("{} at once", self.frozen));
        if let Some(late) = &self.verdict_ms {
            row("verdicts", late.render());
        }
        row(
            "wrong",
            format!("{} early, {} false, {} missing", self.early, self.wrong, self.missing),
        );
        for warning in &self.warnings {
            row("WARNING", warning.clone());
        }
        text
    }
}

fn warnings(plan: &Plan, clients: &Clients, stuck: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if clients.late_p99_ms > LATE_MAX.as_secs_f64() * 1e3 {
        warnings.push("the clients were late: this machine is too slow for the load".to_owned());
    }
    if stuck > 0 {
        warnings
            .push(format!("{stuck} beats found no room in their sockets: the servers do not read"));
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

#[cfg(test)]
pub(crate) mod tests;
