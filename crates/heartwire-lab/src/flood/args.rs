//! Arguments of `flood`.

use core::time::Duration;
use std::path::PathBuf;

use clap::ValueEnum;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab flood
      10,000 silent connections and 1,000 handshakes a second for 30 s, in plain text, then over TLS
  heartwire-lab flood --only tls --silent 2000 --handshakes 200 --time 10s --format json
      a smaller one, over TLS alone, as one object

The server is `heartwire serve` with its defaults and a file of tokens. Both ends send heartbeats
every second, with a timeout of 3 s. Silent connections come from 127.0.1.0 to 127.0.1.199; one that
is closed reconnects after 10 s. Over TLS every second one begins a handshake and stops there.

Exit codes: 0 no false verdict, no client with a token was locked out, and memory stayed within its
bound; 1 otherwise; 2 usage.";

/// Arguments of `flood`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of silent connections.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) silent: u32,

    /// Handshakes a second, each with a wrong token.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(super) handshakes: u32,

    /// Number of honest clients, connected before the flood.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) clients: u32,

    /// Duration.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        value_parser = humantime::parse_duration
    )]
    pub(super) time: Duration,

    /// One of the two [default: both, one after the other].
    #[arg(long, value_enum)]
    pub(super) only: Option<Transport>,

    /// The program to flood [default: the one built beside this one].
    #[arg(long, value_name = "FILE")]
    pub(super) bin: Option<PathBuf>,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Plain text or TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Transport {
    Plain,
    Tls,
}

impl Transport {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "TLS",
        }
    }
}

/// Formats of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Markdown,
    Json,
}
