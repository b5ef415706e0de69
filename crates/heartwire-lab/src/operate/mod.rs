//! What it costs to look after a server with very many sessions: its metrics, its listings, its
//! page and `heartwire top`; whether listings make verdicts late; and what health checks say of a
//! drain.

mod args;
mod http;
mod load;
mod report;
mod run;
mod server;

use std::process::ExitCode;

pub use self::args::Args;

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    run::run(args)
}
