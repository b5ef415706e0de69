//! `heartwire-lab`: breaks Heartwire on purpose, to see whether it keeps its word.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use heartwire_lab::{net, output, sim, storm};

/// Breaks Heartwire on purpose, to see whether it keeps its word.
#[derive(Debug, Parser)]
#[command(name = "heartwire-lab", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run both ends of connections over simulated links on a virtual clock.
    Sim(sim::Args),
    /// Let very many clients come back at once after an outage.
    Storm(storm::Args),
    /// Break the real programs between network namespaces.
    Net(Box<net::Args>),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Sim(args) => sim::run(&args),
        Command::Storm(args) => storm::run(&args),
        Command::Net(args) => net::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        if output::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        output::say(format_args!("heartwire-lab: {error:#}"));
        ExitCode::FAILURE
    })
}
