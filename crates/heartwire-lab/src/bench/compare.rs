//! `bench --compare`: the same load on the baselines and on ours, in turn, as one table.

use core::fmt::Write as _;
use std::time::SystemTime;

use serde_json::json;

use super::args::{Args, Format, Protocol, Spread};
use super::progress::Progress;
use super::report::{Exit, Generator, Late, Report};
use super::run::{Plan, measure};
use super::server::{Contender, Own};
use crate::baseline::Baseline;
use crate::local::program;
use crate::output;
use crate::process::machine;

/// The first one that answers, and the first one that does not, are the references.
fn contenders(shards: u16) -> [Contender; 13] {
    let own = |coalesce, protocol, both| Own {
        shards: Some(shards),
        coalesce,
        protocol,
        both,
        echo: false,
        tls: false,
        resume: false,
    };
    let plain = |coalesce, protocol, both| Contender::Own(own(coalesce, protocol, both));
    let echo = Contender::Own(Own { echo: true, ..own(None, Protocol::V0, false) });
    let tls = |protocol| Contender::Own(Own { tls: true, ..own(None, protocol, false) });
    [
        Contender::Baseline(Baseline::Epoll),
        Contender::Baseline(Baseline::Answer),
        Contender::Baseline(Baseline::Tokio),
        Contender::Baseline(Baseline::Sweep),
        plain(Some(0), Protocol::V0, false),
        plain(None, Protocol::V0, false),
        plain(Some(5), Protocol::V0, false),
        plain(Some(16), Protocol::V0, false),
        echo,
        tls(Protocol::V0),
        plain(None, Protocol::V1, false),
        plain(None, Protocol::V1, true),
        tls(Protocol::V1),
    ]
}

/// A session that cannot be resumed, and one that can. The first one is the reference.
fn pair(args: &Args, shards: u16) -> [Contender; 2] {
    let own = |resume| Own {
        shards: Some(shards),
        coalesce: args.coalesce,
        protocol: Protocol::V1,
        both: args.both,
        echo: false,
        tls: args.tls,
        resume,
    };
    [false, true].map(|resume| Contender::Own(own(resume)))
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    // Find our program before the baselines are measured.
    let program = program(args.bin.as_deref())?;
    let plan = Plan { bin: Some(program), ..Plan::new(args) };
    let shards = args.threads.unwrap_or(1);
    let (contenders, rounds) = match args.pairs {
        Some(pairs) => (pair(args, shards).to_vec(), pairs),
        None => (contenders(shards).to_vec(), args.rounds),
    };
    let mut runs: Vec<Vec<Report>> = contenders.iter().map(|_| Vec::new()).collect();
    // Round by round, so that a machine that is slow for a while is slow for every server.
    for round in 1..=rounds {
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            let prefix = format!("round {round} of {rounds}, {}: ", contender.name());
            let measured = measure(&plan, contender, Progress::new(prefix))?;
            runs.push(Report::new(&plan, contender, &measured));
        }
    }
    let reports: Vec<Report> = runs.iter().filter_map(|runs| median(runs)).collect();
    match args.format {
        Format::Json => output::print(json!({
            "machine": machine(),
            "time": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            "rounds": rounds,
            "shards": shards,
            "servers": reports,
        }))?,
        Format::Text => {
            let load = describe(&plan, shards, rounds);
            output::print(render(&reports, &load).trim_end())?;
        }
    }
    // Faults of a baseline do not fail the run.
    let own = reports.iter().filter(|report| report.own).map(Report::exit);
    Ok(own.max().unwrap_or(Exit::Fine))
}

/// The table's footer: how it was measured.
fn describe(plan: &Plan, shards: u16, rounds: u16) -> String {
    let spread = match plan.spread {
        Spread::Even => "spread evenly",
        Spread::Burst => "all at once",
    };
    let rounds = if rounds == 1 { String::new() } else { format!(", medians of {rounds} rounds") };
    let threads = if shards == 1 { "one thread".to_owned() } else { format!("{shards} shards") };
    format!(
        "{} connections, a beat of 8 bytes (40 on protocol v1, 56 where a session can be resumed) \
         every {:?} each, {spread}, for {:?}, timeout {:?}{rounds}. A ratio is to the bare loop \
         that does the same: the one that answers, where a server answers or sends beats itself. \
         Baselines have one thread for all connections; heartwire has {threads} (`--threads \
         {shards}`), and prints its verdicts as JSON besides. {}, {}.",
        plan.connections,
        plan.interval,
        plan.time,
        plan.timeout,
        machine(),
        humantime::format_rfc3339_seconds(SystemTime::now()),
    )
}

/// The table. Ratios are against the first row that does the same: that answers, or does not.
fn render(reports: &[Report], foot: &str) -> String {
    let mut text = String::from(
        "| server | answers | CPU per beat (user + system) | ratio | wake-ups per beat | memory \
         per connection | in the kernel | accepts per s | ratio | CPU per accept | verdict, ms \
         after the timeout: p50 / p99.9 / max | closed, as the clients saw it | early | false |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for report in reports {
        let Some(base) = reports.iter().find(|base| base.answers == report.answers) else {
            continue;
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} µs ({:.2} + {:.2}) | {} | {:.3} | {:.0} B | {:.0} B | {:.0} \
             | {} | {:.2} µs | {} | {} | {} | {} |",
            report.server,
            if report.answers == Some(true) { "yes" } else { "no" },
            report.beat_cpu_us,
            report.beat_user_us,
            report.beat_system_us,
            times(report.beat_cpu_us, base.beat_cpu_us),
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
    let _ = writeln!(text, "\n{foot}");
    for report in reports {
        for warning in &report.warnings {
            let _ = writeln!(text, "WARNING, {}: {warning}", report.server);
        }
        if report.missing > 0 {
            let _ = writeln!(text, "WARNING, {}: {} never closed", report.server, report.missing);
        }
    }
    text
}

fn times(figure: f64, base: f64) -> String {
    if base > 0.0 { format!("{:.2} ×", figure / base) } else { "-".to_owned() }
}

fn late(late: Option<Late>) -> String {
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
fn middle(mut figures: Vec<f64>) -> f64 {
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
mod tests;
