//! `heartwire-lab`: breaks Heartwire on purpose, to see whether it keeps its word.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(target_os = "linux")]
use heartwire_lab::{baseline, bench, flood, swarm};
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
    /// Put a crowd that wants nothing on a real server with honest clients.
    #[cfg(target_os = "linux")]
    Flood(flood::Args),
    /// Break the real programs between network namespaces.
    Net(Box<net::Args>),
    /// Measure what a server costs, and how exact its verdicts are, under very many connections.
    #[cfg(target_os = "linux")]
    Bench(bench::Args),
    /// Hold a server to its promises with very many connections: calm, stopped, and all silent.
    #[cfg(target_os = "linux")]
    Swarm(swarm::Args),
    /// What `bench --compare` compares with.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Baseline(baseline::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Sim(args) => sim::run(&args),
        Command::Storm(args) => storm::run(&args),
        #[cfg(target_os = "linux")]
        Command::Flood(args) => flood::run(&args),
        Command::Net(args) => net::run(&args),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(target_os = "linux")]
        Command::Swarm(args) => swarm::run(&args),
        #[cfg(target_os = "linux")]
        Command::Baseline(args) => baseline::run(&args).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        if output::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        output::say(format_args!("heartwire-lab: {error:#}"));
        ExitCode::FAILURE
    })
}
