//! Results as a table, as one object, and for a page.

use core::time::Duration;

use serde_json::{Value, json};

use super::outcome::{Outcome, Security};

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
    let rows = rows.iter().map(line);
    rows.chain(costs(outcomes)).collect::<Vec<_>>().join("\n")
}

/// A line for each storm whose cost was measured, over TLS beside those without it and with full
/// handshakes.
fn costs(outcomes: &[Outcome]) -> impl Iterator<Item = String> {
    outcomes.iter().filter_map(move |outcome| {
        let (cost, each) = (outcome.cost?, outcome.cpu_per_client()?);
        let cpu = |security| {
            let has_it = |other: &&Outcome| {
                other.policy == outcome.policy
                    && other.cost.is_some_and(|cost| cost.security == security)
            };
            outcomes.iter().find(has_it).and_then(Outcome::cpu_per_client)
        };
        let mut line = format!(
            "{}, {}: {:.1} us of the server's CPU per returning client",
            outcome.policy,
            security(cost.security),
            micros(each)
        );
        if cost.security != Security::Plain {
            let (handshakes, tickets) = (grouped(cost.handshakes), grouped(cost.with_ticket));
            line += &format!("; {handshakes} handshakes, {tickets} with a ticket");
        }
        if let (Security::Tickets, Some(full)) = (cost.security, cpu(Security::Full)) {
            line += &format!("; {:.2} of a full one", micros(each) / micros(full));
            if let Some(plain) = cpu(Security::Plain) {
                let of_tls = |time| micros(time) - micros(plain);
                line += &format!(", TLS alone {:.2}", of_tls(each) / of_tls(full));
            }
        }
        Some(line)
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

const fn security(security: Security) -> &'static str {
    match security {
        Security::Plain => "without TLS",
        Security::Full => "full handshakes",
        Security::Tickets => "session tickets",
    }
}

/// The same for a page.
pub(super) fn markdown(outcomes: &[Outcome]) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines =
        vec![line(&HEADERS.map(str::to_owned)), line(&HEADERS.map(|_| "---".to_owned()))];
    lines.extend(outcomes.iter().map(|outcome| line(&cells(outcome))));
    let mut costs = costs(outcomes).peekable();
    if costs.peek().is_some() {
        lines.push(String::new());
    }
    lines.extend(costs.map(|cost| format!("- {cost}")));
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
        "security": outcome.cost.map(|cost| security(cost.security)),
        "cpu_us_per_client": outcome.cpu_per_client().map(micros),
        "tls_handshakes": outcome.cost.map(|cost| cost.handshakes),
        "tls_tickets": outcome.cost.map(|cost| cost.with_ticket),
    })
}

fn cells(outcome: &Outcome) -> [String; HEADERS.len()] {
    let back_at = |percent| outcome.back_at(percent).map_or_else(|| "never".to_owned(), seconds);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), grouped);
    let mut name = outcome.policy.to_string();
    if let Some(cost) = outcome.cost {
        name = format!("{name}, {}", security(cost.security));
    }
    [
        name,
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
