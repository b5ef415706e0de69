//! Arguments of `presence`.

use core::time::Duration;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::clients;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab presence schedules
      200 random schedules of faults, two at a time
  heartwire-lab presence schedules --seed 17
      one of them again
  heartwire-lab presence crowd
      30,000 clients, and each fault once, with the lease that nodes have by default

All need redis-server 6.2 or later.

Exit codes: 0 every promise was kept, 1 one was broken, 2 usage.";

/// Arguments of `presence`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum What {
    /// Play random schedules of faults, and hold presence against the truth.
    Schedules(Schedules),
    /// Play one long schedule with each fault once, and very many clients.
    Crowd(Crowd),
    /// Measure what presence costs, and how fast it is.
    Figures(Figures),
    /// Let a receiver of hooks fail, hang, answer late and refuse while names churn.
    Hooks(Hooks),
    /// Take the network of a node down: one incident, and hooks at a pace.
    Governor(Governor),
    /// Run a receiver of hooks, as the others do.
    #[command(hide = true)]
    Receiver,
    /// Run light clients, as the others do.
    #[command(hide = true)]
    Clients(clients::Args),
}

/// What all of them need.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Common {
    /// The program to test [default: the one built beside this one].
    #[arg(long, value_name = "FILE")]
    pub(super) bin: Option<PathBuf>,
    /// The Redis to test it with.
    #[arg(long, value_name = "FILE", default_value = "redis-server")]
    pub(super) redis_server: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Formats of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Schedules {
    #[command(flatten)]
    pub(super) common: Common,
    /// How many.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(super) seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(super) from: u64,
    /// Only this one.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    pub(super) seed: Option<u64>,
    /// How many at the same time, each with nodes and a Redis of its own.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) jobs: usize,
    /// The lease of a node. Faults last up to twice as long.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "2s",
        value_parser = humantime::parse_duration
    )]
    pub(super) lease: Duration,
    /// How much longer than the bound presence may take, on a machine that does much else.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "0s",
        value_parser = humantime::parse_duration
    )]
    pub(super) slack: Duration,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Hooks {
    #[command(flatten)]
    pub(super) common: Common,
    /// Number of clients, each with a name.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(super) names: u32,
    /// How long names churn.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = humantime::parse_duration
    )]
    pub(super) time: Duration,
    /// How long the receiver fails, hangs and so on at a time.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        value_parser = humantime::parse_duration
    )]
    pub(super) mood: Duration,
    /// The lease of a node.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "2s",
        value_parser = humantime::parse_duration
    )]
    pub(super) lease: Duration,
    /// Decides what happens.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Figures {
    #[command(flatten)]
    pub(super) common: Common,
    /// Only this one.
    #[arg(
        long,
        value_name = "FIGURE",
        value_parser = ["idle", "announced", "killed", "cost"]
    )]
    pub(super) only: Option<String>,
    /// Names that are announced again.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(super) announced: u32,
    /// Names of the node that is killed.
    #[arg(long, value_name = "N", default_value_t = 15_000)]
    pub(super) killed: u32,
    /// Clients of each of the two nodes whose cost is compared.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub(super) beating: u32,
    /// How long the processor time of the two is measured.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        value_parser = humantime::parse_duration
    )]
    pub(super) time: Duration,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Governor {
    #[command(flatten)]
    pub(super) common: Common,
    /// Number of clients, each with a name.
    #[arg(long, value_name = "N", default_value_t = 8_000)]
    pub(super) clients: u32,
    /// How long the network is down.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "20s",
        value_parser = humantime::parse_duration
    )]
    pub(super) down: Duration,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Crowd {
    #[command(flatten)]
    pub(super) common: Common,
    /// Number of clients, each with a name.
    #[arg(long, value_name = "N", default_value_t = 30_000)]
    pub(super) clients: u32,
    /// How long each fault lasts.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "20s",
        value_parser = humantime::parse_duration
    )]
    pub(super) lasts: Duration,
    /// The lease of a node [default: the one that nodes have by default].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(super) lease: Option<Duration>,
    /// Decides what happens.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}
