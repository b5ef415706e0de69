//! Results as a table, as one object, and for a page.

use core::time::Duration;

use serde_json::{Value, json};

use super::outcome::Outcome;

const HEADERS: [&str; 10] = [
    "policy",
    "50 % back",
    "90 % back",
    "100 % back",
    "peak/s",
    "attempts",
    "failed",
    "wasted",
    "rejected",
    "verdict",
];

/// A line for each policy, with headers.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let rows: Vec<_> =
        core::iter::once(HEADERS.map(str::to_owned)).chain(outcomes.iter().map(cells)).collect();
    let mut widths = [0; HEADERS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; HEADERS.len()]| {
        let mut line = String::new();
        for (number, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let is_word = number == 0 || number + 1 == HEADERS.len();
            line += &if is_word { format!("{cell:width$}  ") } else { format!("{cell:>width$}  ") };
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The same for a page.
pub(super) fn markdown(outcomes: &[Outcome]) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines =
        vec![line(&HEADERS.map(str::to_owned)), line(&HEADERS.map(|_| "---".to_owned()))];
    lines.extend(outcomes.iter().map(|outcome| line(&cells(outcome))));
    lines.join("\n")
}

/// The results of one storm. For a real server the wasted handshakes are not known.
pub(super) fn object(outcome: &Outcome) -> Value {
    let back_at = |percent| outcome.back_at(percent).map(|at| at.as_secs_f64());
    json!({
        "policy": outcome.policy.to_string(),
        "clients": outcome.clients,
        "back": outcome.back.len(),
        "back_50_s": back_at(50),
        "back_90_s": back_at(90),
        "back_100_s": back_at(100),
        "peak_per_second": outcome.peak,
        "attempts": outcome.attempts,
        "refused_in_outage": outcome.refused,
        "failed": outcome.failed,
        "wasted_handshakes": outcome.wasted,
        "rejected": outcome.rejected,
        "dropped_syns": outcome.dropped,
        "verdict": verdict(outcome),
        "took_s": outcome.took.as_secs_f64(),
    })
}

fn cells(outcome: &Outcome) -> [String; HEADERS.len()] {
    let back_at = |percent| outcome.back_at(percent).map_or_else(|| "never".to_owned(), seconds);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
    [
        outcome.policy.to_string(),
        back_at(50),
        back_at(90),
        back_at(100),
        grouped(outcome.peak.into()),
        grouped(outcome.attempts),
        grouped(outcome.failed),
        number(outcome.wasted),
        number(outcome.rejected),
        verdict(outcome),
    ]
}

fn verdict(outcome: &Outcome) -> String {
    if outcome.is_over() {
        return "all back".to_owned();
    }
    let back = u64::try_from(outcome.back.len()).unwrap_or(u64::MAX);
    let what = if outcome.is_stuck { "stuck" } else { "not yet" };
    let (back, watched) = (grouped(back), outcome.watch.as_secs());
    format!("{what}: {back} back after {watched} s")
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
