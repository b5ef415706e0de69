//! The real programs between network namespaces, and every fault that one machine can make.
//!
//! [`run`] makes three namespaces for each cell of a matrix, a client, a router and a server, runs
//! `heartwire serve` and `heartwire connect` in them, makes a fault, and compares what both ends
//! say of it with what [`heartwire_plan`] says they will. [`cuts`] does it again and again to the
//! library's sessions that can be resumed, and [`throughput`] measures what these cost. [`tunnel`]
//! breaks the connections of other programs over `heartwire tunnel`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod both;
#[cfg(target_os = "linux")]
mod cell;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod command;
#[cfg(target_os = "linux")]
pub mod cuts;
#[cfg(target_os = "linux")]
mod detector;
#[cfg(target_os = "linux")]
mod expect;
#[cfg(target_os = "linux")]
mod experiment;
#[cfg(target_os = "linux")]
mod fault;
#[cfg(target_os = "linux")]
mod herd;
#[cfg(target_os = "linux")]
mod herds;
#[cfg(target_os = "linux")]
mod impair;
#[cfg(target_os = "linux")]
mod inject;
#[cfg(target_os = "linux")]
mod judge;
#[cfg(target_os = "linux")]
mod links;
#[cfg(target_os = "linux")]
mod middlebox;
#[cfg(target_os = "linux")]
pub(crate) mod missing;
#[cfg(target_os = "linux")]
pub(crate) mod namespace;
#[cfg(target_os = "linux")]
mod pool;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
pub(crate) mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
pub(crate) mod size;
#[cfg(target_os = "linux")]
pub(crate) mod stop;
#[cfg(target_os = "linux")]
pub mod throughput;
#[cfg(target_os = "linux")]
pub(crate) mod topology;
#[cfg(target_os = "linux")]
pub mod tunnel;

#[cfg(target_os = "linux")]
pub use self::args::Args;
#[cfg(target_os = "linux")]
pub(crate) use self::command::find;
#[cfg(target_os = "linux")]
pub use self::run::run;

/// Arguments of `net` on systems without network namespaces: any.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    ignored: Vec<String>,
}

/// Prints what is missing, and runs only the simulator.
///
/// # Errors
///
/// Those of the [simulator](crate::sim::run).
#[cfg(not(target_os = "linux"))]
pub fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    run_simulator_alone(&["Linux, which has network namespaces".to_owned()])
}

/// Prints what is missing for the network lab, and runs the simulator with its defaults.
fn run_simulator_alone(missing: &[String]) -> anyhow::Result<ExitCode> {
    #[derive(Parser)]
    struct Simulator {
        #[command(flatten)]
        args: crate::sim::Args,
    }
    crate::output::say("heartwire-lab: the network lab cannot run here; it needs:");
    for what in missing {
        crate::output::say(format_args!("  {what}"));
    }
    crate::output::say("heartwire-lab: running the simulator alone");
    let simulator = Simulator::try_parse_from(["sim"]).context("the simulator needs arguments")?;
    crate::sim::run(&simulator.args)
}
