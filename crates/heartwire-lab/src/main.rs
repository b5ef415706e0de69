//! `heartwire-lab`: breaks Heartwire on purpose, to see whether it keeps its word.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(target_os = "linux")]
use heartwire_lab::{
    baseline, bench, crowd, flood, operate, presence, shards, swarm, tied, tunnel,
};
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
    /// Let very many clients reconnect at once after an outage.
    Storm(storm::Args),
    /// Flood a real server with silent connections and wrong tokens.
    #[cfg(target_os = "linux")]
    Flood(flood::Args),
    /// Break the real programs between network namespaces.
    Net(Box<net::Args>),
    /// Cut sessions off again and again while both ends send: they must lose nothing.
    #[cfg(target_os = "linux")]
    Cuts(net::cuts::Args),
    /// Measure how much one connection carries with sessions that can be resumed, and without.
    #[cfg(target_os = "linux")]
    Throughput(net::throughput::Args),
    /// Break the connections of ssh, psql, Redis and MQTT, over `heartwire tunnel` and without it.
    #[cfg(target_os = "linux")]
    Tunnel(net::tunnel::Args),
    /// Benchmark a server: cost per connection and accuracy of its verdicts.
    #[cfg(target_os = "linux")]
    Bench(bench::Args),
    /// Count what a server's threads share, and measure how much more several of them carry.
    #[cfg(target_os = "linux")]
    Shards(shards::Args),
    /// Hold as many sessions as the machine can, on as many servers as descriptors demand.
    #[cfg(target_os = "linux")]
    Crowd(crowd::Args),
    /// Play the clients of one server of `crowd`.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    CrowdClients(crowd::ClientsArgs),
    /// Check a server's promises with very many connections: healthy, paused, and all silent.
    #[cfg(target_os = "linux")]
    Swarm(swarm::Args),
    /// Measure what `heartwire tunnel` costs, beside socat.
    #[cfg(target_os = "linux")]
    TunnelBench(tunnel::Args),
    /// Measure what it costs to look after a server: metrics, listings, the page, `heartwire top`.
    #[cfg(target_os = "linux")]
    Operate(operate::Args),
    /// Break nodes and the Redis that they share: presence must equal the truth.
    #[cfg(target_os = "linux")]
    Presence(presence::Args),
    /// Run a baseline of `bench --compare`.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Baseline(baseline::Args),
    /// Run a program that ends when its parent does.
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    Tied(tied::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Sim(args) => sim::run(&args),
        Command::Storm(args) => storm::run(&args),
        #[cfg(target_os = "linux")]
        Command::Flood(args) => flood::run(&args),
        Command::Net(args) => net::run(&args),
        #[cfg(target_os = "linux")]
        Command::Cuts(args) => net::cuts::run(&args),
        #[cfg(target_os = "linux")]
        Command::Throughput(args) => net::throughput::run(&args),
        #[cfg(target_os = "linux")]
        Command::Tunnel(args) => net::tunnel::run(&args),
        #[cfg(target_os = "linux")]
        Command::Bench(args) => bench::run(&args),
        #[cfg(target_os = "linux")]
        Command::Shards(args) => shards::run(&args),
        #[cfg(target_os = "linux")]
        Command::Crowd(args) => crowd::run(&args),
        #[cfg(target_os = "linux")]
        Command::CrowdClients(args) => crowd::clients(&args),
        #[cfg(target_os = "linux")]
        Command::Swarm(args) => swarm::run(&args),
        #[cfg(target_os = "linux")]
        Command::TunnelBench(args) => tunnel::run(&args),
        #[cfg(target_os = "linux")]
        Command::Operate(args) => operate::run(&args),
        #[cfg(target_os = "linux")]
        Command::Presence(args) => presence::run(&args),
        #[cfg(target_os = "linux")]
        Command::Baseline(args) => baseline::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(target_os = "linux")]
        Command::Tied(args) => tied::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        if output::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        output::say(format_args!("heartwire-lab: {error:#}"));
        ExitCode::FAILURE
    })
}
