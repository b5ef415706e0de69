//! Very many clients that reconnect at once after an outage.
//!
//! [`Storm::run`] plays it on a virtual clock: each client waits as the product's own
//! [`Backoff`](heartwire_core::Backoff) says, and the server does a number of handshakes a second,
//! in turn. A server that does them whether or not the client is still there can be kept down
//! although it is fast enough for all clients: handshakes of clients that gave up while they waited
//! are wasted. Ours rejects clients that have waited too long, and its model does too, unless that
//! is turned off. `--real` does the same to a real server and real clients on loopback.

use std::process::ExitCode;

use serde_json::{Value, json};

mod args;
mod calendar;
mod outcome;
mod policy;
#[cfg(target_os = "linux")]
mod real;
mod report;
mod server;
mod simulate;

pub use self::args::Args;
use self::args::Format;
pub use self::outcome::{Cost, Outcome, Security};
pub use self::policy::Policy;
pub use self::server::ServerModel;
pub use self::simulate::Storm;
use crate::output;

/// What a plan may be of a simulated time: never shorter, and not so long that it says nothing. Few
/// are longer than three times: those in which almost all clients have found a place at once.
pub const PLANNED: core::ops::RangeInclusive<f64> = 1.0..=4.0;

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let seed = args.seed();
    output::say(format_args!("seed {seed}"));
    if let Some(storms) = args.random {
        return random(args, seed, storms);
    }
    if let Some(losses) = args.fleet {
        return fleet(args, seed, losses);
    }
    let outcomes = if args.real { real(args, seed)? } else { simulated(args, seed) };
    match args.format {
        Format::Text => output::print(report::text(&outcomes))?,
        Format::Markdown => output::print(report::markdown(&outcomes))?,
        Format::Json => {
            let storms: Vec<Value> = outcomes.iter().map(report::object).collect();
            output::print(json!({ "seed": seed, "real": args.real, "storms": storms }))?;
        }
    }
    let is_default = |policy| matches!(policy, Policy::Jitter | Policy::Hint);
    let all_back = outcomes.iter().all(|outcome| !is_default(outcome.policy) || outcome.is_over());
    Ok(if all_back { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Each has its own seed, so that one can be repeated.
fn random(args: &Args, seed: u64, storms: u64) -> anyhow::Result<ExitCode> {
    let (mut missed, mut closest) = (0_u64, 0.0_f64);
    for number in 0..storms {
        let storm = Storm::draw(seed.wrapping_add(number), args.clients());
        let outcome = storm.run();
        if let Some((bound, last)) = storm.bound().zip(outcome.back_at(100)) {
            closest = closest.max(last.as_secs_f64() / bound.as_secs_f64());
        } else {
            missed += 1;
            let back = outcome.back.len();
            output::say(format_args!("{back} are back in time: {storm:?}"));
        }
    }
    let percent = 100.0 * closest;
    output::print(format_args!(
        "{storms} storms, {missed} not over in time; the slowest took {percent:.0} % of its time"
    ))?;
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Losses in fleets, against the times of a plan.
fn fleet(args: &Args, seed: u64, losses: u64) -> anyhow::Result<ExitCode> {
    let mut ratios = Vec::new();
    let mut missed = 0_u64;
    for number in 0..losses {
        let storm = Storm::draw_loss(seed.wrapping_add(number), args.clients());
        let outcome = storm.run();
        let ratio = storm.planned_to(&outcome);
        if !ratio.is_some_and(|ratio| PLANNED.contains(&ratio)) {
            missed += 1;
            let (planned, back) = (storm.planned().back(), outcome.back_at(100));
            output::say(format_args!("planned {planned:?}, all back {back:?}: {storm:?}"));
        }
        ratios.extend(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        ratios.get((ratios.len().saturating_sub(1)) * percent / 100).copied().unwrap_or_default()
    };
    output::print(format_args!(
        "{losses} losses, {missed} not as planned; planned time to simulated one: {:.2} at least, \
         {:.2} in the median, {:.2} at p90, {:.2} at most",
        at(0),
        at(50),
        at(90),
        at(100),
    ))?;
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn simulated(args: &Args, seed: u64) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for policy in args.policies() {
        let outcome = args.storm(policy, seed).run();
        let rate = f64::from(outcome.clients) / outcome.took.as_secs_f64().max(1e-9);
        output::say(format_args!(
            "{policy}: simulated in {:.2} s, {rate:.0} clients/s",
            outcome.took.as_secs_f64(),
        ));
        outcomes.push(outcome);
    }
    outcomes
}

#[cfg(target_os = "linux")]
fn real(args: &Args, seed: u64) -> anyhow::Result<Vec<Outcome>> {
    real::run(args, seed)
}

#[cfg(not(target_os = "linux"))]
fn real(_args: &Args, _seed: u64) -> anyhow::Result<Vec<Outcome>> {
    anyhow::bail!("--real needs Linux; without it the storm is simulated")
}

#[cfg(test)]
mod tests;
