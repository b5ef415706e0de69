//! Arguments of `cuts`.

use core::time::Duration;

use clap::ValueEnum;

use super::kind::Kind;
use crate::net::size::size;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab cuts
      1 GiB each way over TLS through 1,000 cuts, a quarter of an hour
  heartwire-lab cuts --bytes 20MiB --cuts 20 --seed 1 --format json
      a short one, as one object
  heartwire-lab cuts --bytes 20MiB --cuts 20 --no-resume
      the same with sessions that end with their connections: it fails
  heartwire-lab cuts --clients 15000 --bytes 60MiB --cuts 2 --only server-socket,link-down
      --interval 3s --timeout 9s --handshake 5s
      very many sessions, cut off at once and back at once

It needs root, iproute2, nftables, conntrack and procps. Everything happens in network namespaces
that it makes and removes, and that no route leaves.

Exit codes: 0 every session survived every cut, and all data arrived once and in order; 1 something
did not, or could not be tried; 2 usage.";

/// Arguments of `cuts`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How much is sent each way, in all sessions together, with a unit: 64KiB, 1GiB.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub(super) bytes: u64,

    /// Number of cuts.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(super) cuts: u32,

    /// Number of clients with a session each, all cut off at once.
    #[arg(
        long = "clients",
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=20_000)
    )]
    pub(super) sessions: u32,

    /// The kinds of cut, in turn [default: all].
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',')]
    pub(super) only: Vec<Kind>,

    /// Each cut comes at a random moment of this time after more may be sent.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "100ms",
        value_parser = humantime::parse_duration
    )]
    pub(super) within: Duration,

    /// How much the path carries each way, as `tc` writes it, so that a cut finds data on its way.
    #[arg(long, value_name = "RATE", default_value = "100mbit")]
    pub(super) rate: String,

    /// Interval of both ends.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "150ms",
        value_parser = humantime::parse_duration
    )]
    pub(super) interval: Duration,

    /// Timeout of both ends.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "500ms",
        value_parser = humantime::parse_duration
    )]
    pub(super) timeout: Duration,

    /// The client's timeout to connect, and then for the handshake.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = humantime::parse_duration
    )]
    pub(super) handshake: Duration,

    /// The sessions' window.
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = window)]
    pub(super) window: u32,

    /// How long a session may be without a connection.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "2m",
        value_parser = humantime::parse_duration
    )]
    pub(super) grace: Duration,

    /// Sessions end with their connections, and their clients begin new ones.
    #[arg(long)]
    pub(super) no_resume: bool,

    /// No TLS.
    #[arg(long)]
    pub(super) plain: bool,

    /// Seed of all random choices [default: a new one, which is printed].
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

impl Args {
    pub(super) fn kinds(&self) -> Vec<Kind> {
        if self.only.is_empty() { Kind::value_variants().to_vec() } else { self.only.clone() }
    }
}

/// A window in which half has room for the longest frame.
fn window(text: &str) -> Result<u32, String> {
    let window = size(text)?;
    u32::try_from(window)
        .ok()
        .filter(|window| (1 << 18..=1 << 30).contains(window))
        .ok_or_else(|| "256KiB to 1GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_room_for_two_of_the_longest_frames() {
        assert_eq!(window("1MiB"), Ok(1 << 20));
        assert!(window("255KiB").is_err() && window("2GiB").is_err());
    }
}
