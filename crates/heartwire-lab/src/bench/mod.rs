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
// The clients, the servers and the judgement of other commands.
pub(crate) use self::args::{Format, Protocol, Spread, interval};
pub(crate) use self::compare::middle;
pub(crate) use self::lateness::{Counts, Lateness, Note, histogram, judge, nanos};
pub(crate) use self::load::{Beats, Load, Speech};
pub(crate) use self::progress::Progress;
pub(crate) use self::report::{Exit, Late, float, ms, ratio, whole_nanos};
pub(crate) use self::run::{Plan, wait_for_output};
pub(crate) use self::schedule::Schedule;
pub(crate) use self::server::{Contender, Own, Server, listening_address};

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.list {
        crate::process::need_open_files(args.connections)?;
    }
    let outcome =
        if args.compare || args.pairs.is_some() { compare::run(args) } else { run::run(args) };
    Ok(outcome?.into())
}
