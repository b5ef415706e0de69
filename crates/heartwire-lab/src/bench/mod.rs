//! What a server costs, measured from outside.
//!
//! One thread plays all clients (`load`), `/proc` says what that cost the server
//! (`crate::process`), and its verdicts are checked against the clients' record of their last beats
//! (`lateness`).

use std::process::ExitCode;

mod args;
mod compare;
mod contenders;
mod lateness;
mod ledger;
mod load;
mod peer;
mod pin;
mod progress;
mod report;
mod run;
mod schedule;
mod server;
pub(crate) mod tls;

pub use self::args::Args;
// The clients of other commands.
pub(crate) use self::args::Spread;
pub(crate) use self::load::{Load, Speech};
pub(crate) use self::report::ratio;
pub(crate) use self::schedule::Schedule;

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    crate::process::need_open_files(args.connections)?;
    let outcome =
        if args.compare || args.pairs.is_some() { compare::run(args) } else { run::run(args) };
    Ok(outcome?.into())
}
