//! Arguments of `net`.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::detector::Detector;
use super::fault::Fault;
use super::{cuts, herd, impair, middlebox, throughput};

const EXAMPLES: &str = "\
Examples:
  heartwire-lab net
      everything but --sections long; docs/faults.md has the results
  heartwire-lab net --only gone-idle,server-frozen --detector everything
      two cells of the matrix
  heartwire-lab net --smoke
      a small part of it, in less than a minute
  heartwire-lab net --runs 3 --sections matrix,far,links,herds,long --write docs
      everything, written to docs/faults.md, faults.json and the charts
  heartwire-lab net --c-client build/posix --write docs
      the matrix with connect and with the C client, side by side, written to docs/faults-c.md
  heartwire-lab net --draw docs
      the charts alone, faults.svg and faults-summary.svg, from docs/faults.json

It needs root, iproute2, nftables, conntrack and procps. Everything happens in network namespaces
that it makes and removes, and that no route leaves. A run first removes the namespaces of earlier
runs that were killed.

Exit codes: 0 all is as planned, 1 something is not or could not be measured, 2 usage.";

/// Arguments of `net`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub(super) part: Option<Part>,

    /// The faults to make in the matrix [default: all].
    #[arg(
        long,
        value_name = "FAULT",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(super) only: Vec<Fault>,

    /// The detectors to use [default: all].
    #[arg(
        long,
        value_name = "NAME",
        value_enum,
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(super) detector: Vec<Detector>,

    /// List all faults and detectors.
    #[arg(long)]
    pub(super) list: bool,

    /// The sections to run [default: c with --c-client; else all but long, or only the matrix with
    /// --only or --detector].
    #[arg(long, value_name = "SECTION", value_enum, value_delimiter = ',')]
    pub(super) sections: Vec<Section>,

    /// Run a small part of everything, as a quick check.
    #[arg(long, conflicts_with_all = ["only", "detector", "sections", "write"])]
    pub(super) smoke: bool,

    /// Number of runs of each cell of the matrix, each with the fault at another time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    pub(super) runs: u32,

    /// How long to observe a fault that the plan says is never detected.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "20s",
        value_parser = humantime::parse_duration
    )]
    pub(super) observe: Duration,

    /// Duration of the herds in the loss section.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "300s",
        value_parser = humantime::parse_duration
    )]
    pub(super) herd_time: Duration,

    /// Number of clients of each herd.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=10_000)
    )]
    pub(super) herd: u32,

    /// Number of experiments at a time.
    #[arg(long, value_name = "N", default_value = "16")]
    pub(super) jobs: NonZeroUsize,

    /// Seed of all random choices [default: a new one, which is printed].
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,

    /// Write faults.md, faults.json and the charts into this directory; of section c faults-c.md
    /// and faults-c.json.
    #[arg(long, value_name = "DIR")]
    pub(super) write: Option<PathBuf>,

    /// Only draw the charts in this directory again, from its faults.json.
    #[arg(long, value_name = "DIR", exclusive = true)]
    pub(super) draw: Option<PathBuf>,

    /// The program to test [default: the `heartwire` beside this program].
    #[arg(long, value_name = "PATH")]
    pub(super) bin: Option<PathBuf>,

    /// The C client to test beside `connect`: examples/posix.c of heartwire-ffi, built.
    #[arg(long, value_name = "PATH")]
    pub(super) c_client: Option<PathBuf>,
}

/// The parts of the lab that are processes of their own, within a namespace.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Part {
    /// Play a link that delays and damages packets.
    #[command(hide = true)]
    Impair(impair::Args),
    /// Play a middlebox that stops forwarding.
    #[command(hide = true)]
    Middlebox(middlebox::Args),
    /// Play many healthy clients.
    #[command(hide = true)]
    Herd(herd::Args),
    /// Play an end of sessions that are cut off.
    #[command(hide = true)]
    Cut(cuts::EndArgs),
    /// Play an end of a connection with bulk data.
    #[command(hide = true)]
    Bulk(throughput::EndArgs),
}

/// Sections of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Section {
    /// Every fault with every detector.
    Matrix,
    /// Some of them over a path on which packets take long.
    Far,
    /// Links that delay, reorder, double and damage packets.
    Links,
    /// Many clients over links that lose packets, and a server that is paused.
    Herds,
    /// Faults that only the kernel detects, after a quarter of an hour.
    Long,
    /// Every fault with every detector, with `connect` and with the client of --c-client.
    C,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
    /// For a page.
    Markdown,
}
