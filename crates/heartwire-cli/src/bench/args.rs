//! What can be typed after `bench`.

use core::net::SocketAddr;
use core::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::{Format, WireArg, duration};

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire bench
      start a server, hold 10,000 connections that beat every 3 s for 30 s, freeze them all
  heartwire bench --connections 15000 --coalesce 5 --time 60s --format json
      more of them, with up to 5 beats left lying in the kernel; the report as one object
  heartwire bench --connections 5000 --wire v1 --tls
      what TLS adds: run it without --tls as well, and compare
  heartwire bench --server $(pidof my-server) --target 127.0.0.1:29002 --limit 30s --no-freeze
      put the load on a server that runs already, and watch its process
  heartwire bench --compare --connections 15000
      the same load on three baselines and on this server, as a Markdown table with ratios; needs
      `cargo build --release --examples -p heartwire-cli`

The load is open-loop: each beat has its time, and one that is late is sent late, never left out. The
report says how late the generator was, and warns when it was itself the bottleneck. Give --time as
a multiple of --limit: deadlines come once a limit, and a part of a round would count too little or
too much of them. Everything runs on this machine and stays on its loopback interface.

Exit codes: 0 done, 1 something failed or a verdict never came, 2 settings that make no sense,
6 a verdict was early, or was given on a connection that beat.";

#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// How many connections.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,

    /// How often each connection beats.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub(crate) beat: Duration,

    /// How the connections' beats lie in an interval.
    #[arg(long, value_enum, default_value_t = Spread::Even)]
    pub(crate) spread: Spread,

    /// How long beats are measured.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) time: Duration,

    /// The silence that the server calls death.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub(crate) limit: Duration,

    /// How many beats the server leaves in the kernel before it reads; 0 reads each one. See
    /// `heartwire serve --help` for what it costs [default: as `serve`].
    #[arg(long, value_name = "BEATS", conflicts_with_all = ["server", "compare"])]
    pub(crate) coalesce: Option<u16>,

    /// Which version of the wire the clients speak.
    #[arg(long, value_enum, default_value_t = WireArg::V0, conflicts_with_all = ["server", "compare"])]
    pub(crate) wire: WireArg,

    /// Everything over TLS 1.3, with a certificate made for this run. What the server spends while
    /// clients come is then a whole handshake each.
    #[arg(long, conflicts_with_all = ["server", "compare"])]
    pub(crate) tls: bool,

    /// The clients judge the server too, so that it beats as often as they do (wire v1).
    #[arg(long, conflicts_with_all = ["server", "compare"])]
    pub(crate) both: bool,

    /// The server's threads [default: as `serve`; with --compare 1, as the baselines have].
    #[arg(long, value_name = "N", conflicts_with = "server", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) shards: Option<u16>,

    /// The process of a server that runs already, instead of starting one.
    #[arg(long, value_name = "PID", requires = "target", conflicts_with = "compare")]
    pub(crate) server: Option<u32>,

    /// Where that server listens, on this machine.
    #[arg(long, value_name = "ADDR", requires = "server")]
    pub(crate) target: Option<SocketAddr>,

    /// Leave at the end of the beats, without freezing the connections and waiting for verdicts.
    #[arg(long)]
    pub(crate) no_freeze: bool,

    /// Put the load on the baselines and on this server in turn, and print the ratios.
    #[arg(long)]
    pub(crate) compare: bool,

    /// With --compare: how many times around; the table shows medians.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "compare", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) rounds: u16,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// Each connection has a moment of its own.
    Even,
    /// All beat at the same moment, as after a power cut.
    Burst,
}
