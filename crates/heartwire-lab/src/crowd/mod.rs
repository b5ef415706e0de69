//! As many sessions as a machine holds, on as many servers as its descriptors demand.
//!
//! The command ([`run`]) starts pairs of processes: a server, `heartwire serve`, and the clients
//! that connect to it ([`clients`]), which start the server themselves and stop it when their
//! standard input ends. It gives them orders (`pairs`), adds up what they measure (`report`), and
//! refuses before it starts what the machine cannot hold (`room`). `--grow` does it for several
//! sizes (`grow`).

use std::process::ExitCode;

mod answer;
mod args;
mod clients;
mod grow;
mod pairs;
mod report;
mod room;
mod run;
mod sources;

pub use self::args::Args;
pub use self::clients::ClientsArgs;
use self::run::Plan;
use crate::bench::Exit;
use crate::net::stop::Stop;

/// Runs it.
///
/// # Errors
///
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let stop = Stop::listen()?;
    let outcome = if args.grow { grow::run(args, &stop) } else { one(args, &stop) };
    if stop.is_asked() {
        return Ok(Stop::exit());
    }
    Ok(outcome?.into())
}

fn one(args: &Args, stop: &Stop) -> anyhow::Result<Exit> {
    let report = run::measure(&Plan::new(args, args.sessions)?, stop)?;
    report.print(args.format)?;
    Ok(report.exit())
}

/// Plays the clients of one server.
///
/// # Errors
///
/// When it cannot start the server, or connect to it.
pub fn clients(args: &ClientsArgs) -> anyhow::Result<ExitCode> {
    clients::run(args).map(|()| ExitCode::SUCCESS)
}
