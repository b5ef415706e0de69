//! The report of many seeds, as text and as JSON.

use core::time::Duration;

use serde_json::{Map, Value, json};

use super::breach::{Failure, side_name};
use super::many::Totals;

/// The report as text: what happened, and how often each trouble occurred.
pub(super) fn text(from: u64, totals: &Totals, took: Duration) -> Vec<String> {
    let mut lines: Vec<String> = totals.failures.iter().map(ToString::to_string).collect();
    let Totals { seeds, lives, plans, round_trips, .. } = totals;
    let ends = lives.ends.iter().map(|(name, count)| (name.to_owned(), count)).collect();
    let mishaps = lives.mishaps.iter().map(|(name, count)| (name.to_owned(), count)).collect();
    let plans = plans
        .iter()
        .map(|((fault, protocol), plans)| {
            (format!("{fault} {protocol}"), plans.found + plans.never)
        })
        .collect();
    lines.extend(columns("went wrong", mishaps));
    lines.extend(columns("ended", ends));
    lines.extend(columns("as planned", plans));
    lines.push(format!(
        "{seeds} seeds from {from} on kept every promise: {:.1} days, {} connections, {} verdicts, \
         {} beats, {round_trips} round trips told, {} things that happened, in {:.1} s ({:.0} \
         seeds a second)",
        lives.time.as_secs_f64() / 86_400.0,
        lives.sums.connections,
        lives.sums.verdicts,
        lives.sums.beats,
        lives.sums.steps,
        took.as_secs_f64(),
        rate(*seeds, took),
    ));
    lines
}

/// Three per line.
fn columns(title: &str, counts: Vec<(String, u64)>) -> Vec<String> {
    let lines = counts.chunks(3).enumerate().map(|(number, row)| {
        let title = if number == 0 { title } else { "" };
        let cells = row.iter().map(|(name, count)| format!("{name:<23}{count:>12}"));
        format!("{title:<12}{}", cells.collect::<Vec<_>>().join("   "))
    });
    lines.collect()
}

/// The same as one object.
pub(super) fn object(from: u64, totals: &Totals, took: Duration) -> Value {
    let Totals { seeds, lives, plans, round_trips, failures } = totals;
    let plans = plans.iter().map(|((fault, protocol), plans)| {
        json!({ "fault": fault, "protocol": protocol, "found": plans.found, "never": plans.never })
    });
    json!({
        "from": from,
        "kept_every_promise": seeds,
        "failures": failures.iter().map(failure).collect::<Vec<_>>(),
        "simulated_s": lives.time.as_secs_f64(),
        "sums": counters(lives.sums.iter()),
        "mishaps": counters(lives.mishaps.iter()),
        "ends": counters(lives.ends.iter()),
        "plans": plans.collect::<Vec<_>>(),
        "round_trips": round_trips,
        "never_happened": totals.never_happened(),
        "took_s": took.as_secs_f64(),
        "seeds_per_s": rate(*seeds, took),
    })
}

/// A promise that was broken, as an object.
pub(super) fn failure(failure: &Failure) -> Value {
    let Failure { seed, at, side, invariant, what } = failure;
    json!({
        "seed": seed,
        "promise": invariant.name(),
        "at": at.to_string(),
        "side": side_name(*side),
        "what": what,
    })
}

fn counters(counts: impl Iterator<Item = (&'static str, u64)>) -> Value {
    Value::Object(
        counts.map(|(name, count)| (name.to_owned(), json!(count))).collect::<Map<_, _>>(),
    )
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "for people to read")]
fn rate(seeds: u64, took: Duration) -> f64 {
    seeds as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE)
}
