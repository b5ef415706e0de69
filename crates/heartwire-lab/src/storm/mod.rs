//! Very many clients that come back at once after an outage.
//!
//! [`Storm::run`] plays it on a virtual clock: each client waits as the product's own
//! [`Backoff`](heartwire_core::Backoff) tells it, and the server does so many handshakes a second, in
//! turn, whether or not the client is still there. That is how a storm can keep a server down that is
//! fast enough for everybody: whoever gives up while waiting in the queue is served for nothing.
//! `--real` does the same to a real server and real clients on loopback.

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
pub use self::outcome::Outcome;
pub use self::policy::Policy;
pub use self::server::ServerModel;
pub use self::simulate::Storm;
use crate::output;

/// Runs it.
///
/// # Errors
///
/// When something failed that the command needs.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let seed = args.seed();
    output::say(format_args!("seed {seed}"));
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
