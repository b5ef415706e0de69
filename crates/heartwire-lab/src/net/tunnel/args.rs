//! Arguments of `tunnel`.

use core::time::Duration;
use std::path::PathBuf;

use clap::ValueEnum;

use super::app::App;
use super::carrier::Carrier;
use super::fault::Fault;
use crate::net::size::size;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab tunnel --write docs/tunnel-outages.md
      everything, about 9 minutes
  heartwire-lab tunnel --apps redis-monitor,redis-pubsub --carriers plain,tunnel
      --faults link-down --down 5s
  heartwire-lab tunnel --apps ssh --faults new-address --logs /tmp/logs

It needs root, what `cuts` needs, and from Debian openssh-server, openssh-client, postgresql,
redis-server, mosquitto, mosquitto-clients, autossh and socat, as far as they are used. Everything
happens in network namespaces that it makes and removes, and that no route leaves; the servers have
files of their own in a temporary folder.

Exit codes: 0 every application survived every fault over the tunnel; 1 one did not, or something
could not be tried; 2 usage.";

/// Arguments of `tunnel`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The applications [default: all].
    #[arg(long, value_name = "APP", value_enum, value_delimiter = ',')]
    apps: Vec<App>,

    /// What carries them [default: all].
    #[arg(long, value_name = "CARRIER", value_enum, value_delimiter = ',')]
    carriers: Vec<Carrier>,

    /// The faults [default: all].
    #[arg(long, value_name = "FAULT", value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,

    /// How long the link is down, or the router frozen.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = humantime::parse_duration
    )]
    pub(super) down: Duration,

    /// How long after the fault an application may take to get everything.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "90s",
        value_parser = humantime::parse_duration
    )]
    pub(super) wait: Duration,

    /// How long the tunnel keeps a connection.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "2m",
        value_parser = humantime::parse_duration
    )]
    pub(super) grace: Duration,

    /// How much scp copies; pg_dump dumps half as much.
    #[arg(long, value_name = "SIZE", default_value = "100MiB", value_parser = size)]
    pub(super) bytes: u64,

    /// Keep what the programs say on standard error in this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) logs: Option<PathBuf>,

    /// Write the page to this file.
    #[arg(long, value_name = "FILE")]
    pub(super) write: Option<PathBuf>,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    pub(super) format: Format,

    /// The program to test [default: the `heartwire` beside this program].
    #[arg(long, value_name = "PATH")]
    pub(super) bin: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a page.
    Markdown,
    /// One object.
    Json,
}

impl Args {
    pub(super) fn apps(&self) -> Vec<App> {
        or_all(&self.apps)
    }

    pub(super) fn carriers(&self) -> Vec<Carrier> {
        or_all(&self.carriers)
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        or_all(&self.faults)
    }
}

fn or_all<T: ValueEnum>(some: &[T]) -> Vec<T> {
    if some.is_empty() { T::value_variants().to_vec() } else { some.to_vec() }
}
