//! Arguments of `operate`.

use core::time::Duration;
use std::path::PathBuf;

use clap::ValueEnum;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab operate
      15,000 sessions with heartbeats every second, looked at in all the ways that there are
  heartwire-lab operate --clients 1000 --time 3s --format json
      a smaller one, as one object

The server is `heartwire serve --http` with a timeout of 5 s. Beside the sessions, clients connect
that fall silent at once: their verdicts show how late the server is.

Exit codes: 0 every bar was kept, 1 one was missed, 2 usage.";

/// Arguments of `operate`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of sessions that send heartbeats.
    #[arg(long = "clients", value_name = "N", default_value_t = 15_000)]
    pub(super) sessions: u32,

    /// Interval of each.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = humantime::parse_duration
    )]
    pub(super) interval: Duration,

    /// Clients a second that connect and fall silent.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(1..=500)
    )]
    pub(super) silent: u32,

    /// Duration of each of the measurements.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "20s",
        value_parser = humantime::parse_duration
    )]
    pub(super) time: Duration,

    /// The program to measure [default: the one built beside this one].
    #[arg(long, value_name = "FILE")]
    pub(super) bin: Option<PathBuf>,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Formats of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Markdown,
    Json,
}
