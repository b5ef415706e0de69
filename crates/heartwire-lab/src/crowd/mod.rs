//! As many sessions as a machine holds, on as many servers as its descriptors demand.
//!
//! The command ([`run`]) starts pairs of processes: a server, `heartwire serve`, and the clients
//! that connect to it ([`clients`]), which start the server themselves and stop it when their
//! standard input ends. It gives them orders (`pairs`), adds up what they measure (`report`), and
//! refuses before it starts what the machine cannot hold (`room`).

use std::process::ExitCode;

mod answer;
mod args;
mod clients;
mod pairs;
mod report;
mod room;
mod run;
mod sources;

pub use self::args::Args;
pub use self::clients::ClientsArgs;
use self::report::Report;
use self::run::Plan;
use crate::bench::Exit;
use crate::net::stop::Stop;

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(args, args.sessions)?;
    let stop = Stop::listen()?;
    let outcome = run::measure(&plan, &stop);
    if stop.is_asked() {
        return Ok(Stop::exit());
    }
    let report: Report = outcome?;
    report.print(args.format)?;
    Ok(Exit::into(report.exit()))
}

/// Plays the clients of one server.
///
/// # Errors
///
/// When it cannot start the server, or connect to it.
pub fn clients(args: &ClientsArgs) -> anyhow::Result<ExitCode> {
    clients::run(args).map(|()| ExitCode::SUCCESS)
}
