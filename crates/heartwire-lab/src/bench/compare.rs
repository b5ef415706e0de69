//! `bench --compare`: the same load on the baselines, on ours and on peers, in turn, as one table.

use core::fmt::Write as _;
use core::time::Duration;
use std::env;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;

use super::args::{Args, Format, Spread};
use super::progress::Progress;
use super::report::{Exit, Generator, Late, Report};
use super::run::{Plan, measure};
use super::server::Contender;
use super::{contenders, ledger};
use crate::local::program;
use crate::output;
use crate::process::machine;

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let shards = args.threads.unwrap_or(1);
    let chosen = match args.pairs {
        Some(_) => contenders::pair(args, shards),
        None => contenders::chosen(contenders::all(shards), &args.only)?,
    };
    if args.list {
        list(&chosen, args.timeout)?;
        return Ok(Exit::Fine);
    }
    if let Some(folder) = &args.write {
        ledger::check(folder)?;
    }
    let (contenders, left_out) = contenders::installed(chosen);
    for line in &left_out {
        output::say(format_args!("left out: {line}"));
    }
    // Find our program before the baselines are measured, and count processors before this thread
    // is kept on one of them.
    let program = program(args.bin.as_deref())?;
    let machine = machine();
    let plan = Plan { bin: Some(program), ..Plan::new(args)? };
    let rounds = args.pairs.unwrap_or(args.rounds);
    let servers = measure_all(&plan, &contenders, rounds)?;
    let comparison = Comparison {
        machine,
        time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        command: command(),
        interval: spaced(plan.interval),
        load: describe(&plan, shards, rounds),
        rounds,
        shards,
        left_out,
        servers,
    };
    if let Some(folder) = &args.write {
        ledger::write(&comparison, folder)?;
    }
    match args.format {
        Format::Json => output::print(json!(comparison))?,
        Format::Text => output::print(render(&comparison).trim_end())?,
    }
    // Faults of a baseline or a peer do not fail the run.
    let own = comparison.servers.iter().filter(|report| report.own).map(Report::exit);
    Ok(own.max().unwrap_or(Exit::Fine))
}

/// The result. Programs read these names.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) machine: String,
    /// RFC 3339.
    pub(super) time: String,
    /// As it was typed.
    pub(super) command: String,
    /// Of a client's beats, as text.
    #[serde(skip)]
    pub(super) interval: String,
    /// What was sent, and how it was measured.
    pub(super) load: String,
    pub(super) rounds: u16,
    pub(super) shards: u16,
    /// Servers that are not installed, with what to install.
    pub(super) left_out: Vec<String>,
    pub(super) servers: Vec<Report>,
}

impl Comparison {
    /// What a row is compared with: the first one that answers, or that does not, as it does.
    pub(super) fn base(&self, report: &Report) -> Option<&Report> {
        self.servers.iter().find(|base| base.answers == report.answers)
    }
}

/// Round by round, so that a machine that is slow for a while is slow for every server.
fn measure_all(plan: &Plan, contenders: &[Contender], rounds: u16) -> anyhow::Result<Vec<Report>> {
    let mut runs: Vec<Vec<Report>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (number, (contender, runs)) in (1..).zip(contenders.iter().zip(&mut runs)) {
            let prefix = format!(
                "round {round} of {rounds}, {number} of {}, {}: ",
                contenders.len(),
                contender.name()
            );
            let measured = measure(plan, contender, Progress::new(prefix))?;
            runs.push(Report::new(plan, contender, &measured));
        }
    }
    Ok(runs.iter().filter_map(|runs| median(runs)).collect())
}

fn list(contenders: &[Contender], timeout: Duration) -> anyhow::Result<()> {
    for contender in contenders {
        let rule = contender.rule(timeout);
        output::print(format_args!("{:<14} {}: {rule}", contender.id(), contender.name()))?;
    }
    for line in contenders::installed(contenders.to_vec()).1 {
        output::print(format_args!("left out: {line}"))?;
    }
    Ok(())
}

/// A time for people: a number and its unit.
fn spaced(time: Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1000) {
        format!("{} s", time.as_secs())
    } else {
        format!("{millis} ms")
    }
}

/// The command line, with the program's name alone.
fn command() -> String {
    let words = ["heartwire-lab".to_owned()].into_iter().chain(env::args().skip(1));
    words.collect::<Vec<String>>().join(" ")
}

/// The table's footer: how it was measured.
fn describe(plan: &Plan, shards: u16, rounds: u16) -> String {
    let spread = match plan.spread {
        Spread::Even => "spread evenly",
        Spread::Burst => "all at once",
    };
    let rounds = if rounds == 1 { String::new() } else { format!(", medians of {rounds} rounds") };
    let threads = if shards == 1 { "one thread".to_owned() } else { format!("{shards} shards") };
    let pinned = match plan.pin {
        Some(pin) => format!(
            "The server is on one processor ({}), and the load on another ({})",
            pin.server, pin.load
        ),
        None => "Server and load share all processors".to_owned(),
    };
    format!(
        "{} connections, a beat every {:?} each, {spread}, for {:?}, timeout {:?}{rounds}. A beat \
         has 8 bytes, 40 on protocol v1 (56 where a session can be resumed), and with other \
         servers it is their protocol's. {pinned}. A ratio is to the bare loop that does the same: \
         the one that answers, where a server answers or sends beats itself. Baselines have one \
         thread for all connections; heartwire has {threads} (`--threads {shards}`), and prints \
         its verdicts as JSON besides; other servers have as many as they like.",
        plan.connections, plan.interval, plan.time, plan.timeout,
    )
}

/// The table. Ratios are against the first row that does the same: that answers, or does not.
fn render(comparison: &Comparison) -> String {
    let mut text = String::from(
        "| server | answers | CPU per beat (user + system) | ratio | busy | wake-ups per beat | \
         memory per connection | in the kernel | accepts per s | ratio | CPU per accept | verdict, \
         ms after the timeout: p50 / p99.9 / max | closed, as the clients saw it | early | false \
         |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for report in &comparison.servers {
        let Some(base) = comparison.base(report) else { continue };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} µs ({:.2} + {:.2}) | {} | {:.0} % | {:.3} | {:.0} B | {:.0} B | \
             {:.0} | {} | {:.2} µs | {} | {} | {} | {} |",
            report.server,
            yes(report.answers),
            report.beat_cpu_us,
            report.beat_user_us,
            report.beat_system_us,
            times(report.beat_cpu_us, base.beat_cpu_us),
            report.busy * 100.0,
            report.wakeups_per_beat,
            report.user_bytes,
            report.kernel_bytes,
            report.accepts_per_s,
            times(report.accepts_per_s, base.accepts_per_s),
            report.accept_cpu_us,
            late(report.verdict_ms),
            late(report.seen_ms),
            report.early,
            report.wrong,
        );
    }
    let Comparison { machine, time, load, .. } = comparison;
    let _ = writeln!(text, "\n{load} {machine}, {time}.");
    for report in &comparison.servers {
        if let Some(version) = &report.version {
            let _ = writeln!(text, "{}: {version}; {}", report.server, report.rule);
        }
    }
    for line in &comparison.left_out {
        let _ = writeln!(text, "left out: {line}");
    }
    for (server, doubt) in comparison.servers.iter().flat_map(doubts) {
        let _ = writeln!(text, "WARNING, {server}: {doubt}");
    }
    text
}

/// Reasons to doubt a row, with its server.
pub(super) fn doubts(report: &Report) -> impl Iterator<Item = (&str, String)> {
    let missing = (report.missing > 0).then(|| format!("{} never closed", report.missing));
    report.warnings.iter().cloned().chain(missing).map(|doubt| (report.server.as_str(), doubt))
}

pub(super) fn yes(answers: Option<bool>) -> &'static str {
    if answers == Some(true) { "yes" } else { "no" }
}

pub(super) fn times(figure: f64, base: f64) -> String {
    if base > 0.0 { format!("{:.2} ×", figure / base) } else { "-".to_owned() }
}

pub(super) fn late(late: Option<Late>) -> String {
    late.map_or_else(
        || "-".to_owned(),
        |late| format!("{:.1} / {:.1} / {:.1}", late.p50, late.p999, late.max),
    )
}

/// The median of each number by itself. Errors are added up, and the worst exit code is kept.
fn median(runs: &[Report]) -> Option<Report> {
    let mut report = runs.first()?.clone();
    let mid = |figure: fn(&Report) -> f64| middle(runs.iter().map(figure).collect());
    let worst = |figure: fn(&Report) -> f64| runs.iter().map(figure).fold(0.0, f64::max);
    report.accepts_per_s = mid(|r| r.accepts_per_s);
    report.accept_cpu_us = mid(|r| r.accept_cpu_us);
    report.beat_cpu_us = mid(|r| r.beat_cpu_us);
    report.beat_user_us = mid(|r| r.beat_user_us);
    report.beat_system_us = mid(|r| r.beat_system_us);
    report.wakeups_per_beat = mid(|r| r.wakeups_per_beat);
    report.answers_per_beat = mid(|r| r.answers_per_beat);
    report.busy = mid(|r| r.busy);
    report.user_bytes = mid(|r| r.user_bytes);
    report.kernel_bytes = mid(|r| r.kernel_bytes);
    report.verdict_ms = median_late(runs.iter().filter_map(|r| r.verdict_ms).collect());
    report.seen_ms = median_late(runs.iter().filter_map(|r| r.seen_ms).collect());
    report.early = runs.iter().map(|r| r.early).sum();
    report.wrong = runs.iter().map(|r| r.wrong).sum();
    report.missing = runs.iter().map(|r| r.missing).sum();
    report.generator = Generator {
        late_p99_ms: worst(|r| r.generator.late_p99_ms),
        late_max_ms: worst(|r| r.generator.late_max_ms),
        busy: worst(|r| r.generator.busy),
    };
    report.warnings = runs.iter().flat_map(|r| r.warnings.iter().cloned()).collect();
    report.warnings.sort();
    report.warnings.dedup();
    Some(report)
}

fn median_late(runs: Vec<Late>) -> Option<Late> {
    let mid = |figure: fn(&Late) -> f64| middle(runs.iter().map(figure).collect());
    let first = runs.first()?;
    Some(Late {
        count: first.count,
        min: runs.iter().map(|late| late.min).fold(f64::INFINITY, f64::min),
        p50: mid(|late| late.p50),
        p99: mid(|late| late.p99),
        p999: mid(|late| late.p999),
        max: runs.iter().map(|late| late.max).fold(0.0, f64::max),
    })
}

/// The median; of an even number, the mean of the two in the middle.
pub(crate) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    let at = |index: usize| figures.get(index).copied().unwrap_or(0.0);
    if figures.len() % 2 == 1 {
        at(half)
    } else {
        f64::midpoint(at(half.saturating_sub(1)), at(half))
    }
}

#[cfg(test)]
pub(super) mod tests;
