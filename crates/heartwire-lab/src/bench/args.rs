//! Arguments of `bench`.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::ValueEnum;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab bench
      start a server, send heartbeats every 3 s on 10,000 connections for 30 s, freeze them all
  heartwire-lab bench --connections 15000 --coalesce 5 --time 60s --format json
      more of them, with up to 5 beats left in the kernel; the report as JSON
  heartwire-lab bench --connections 5000 --protocol v1 --tls
      what TLS adds: run it without --tls as well, and compare
  heartwire-lab bench --server $(pidof my-server) --target 127.0.0.1:29002 --timeout 30s --no-freeze
      put the load on a running server, and measure its process
  heartwire-lab bench --compare --connections 15000
      the same load on baselines, on this server in several modes, and on other servers that are
      installed, as a Markdown table with ratios
  heartwire-lab bench --compare --only v0,v1,mosquitto --pin
      some of them, the server on one processor and the load on another
  heartwire-lab bench --compare --pin --connections 15000 --interval 250ms --time 15s --write
      docs/ledger.json, docs/ledger.md and the README's table, made anew in a quarter of an hour
  heartwire-lab bench --pairs 5 --connections 15000 --time 15s --no-freeze
      what it costs that sessions can be resumed, while they are idle

The load is open-loop: a beat that is late is sent late, never left out. The report says how late
the generator was, and warns if it was the bottleneck. Give --time as a multiple of --timeout:
deadlines come once per timeout, and part of a round would count too few or too many of them.
Everything runs on this machine and stays on its loopback interface.

Exit codes: 0 done, 1 an error or a missing verdict, 2 usage, 3 an early verdict, or one on a
connection that still sent heartbeats.";

/// Arguments of `bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of connections.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(super) connections: u32,

    /// Interval of each connection's beats.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = interval)]
    pub(super) interval: Duration,

    /// How the connections' beats are distributed over an interval.
    #[arg(long, value_enum, default_value_t = Spread::Even)]
    pub(super) spread: Spread,

    /// Duration of the measurement.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = interval)]
    pub(super) time: Duration,

    /// Timeout of the server.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = interval)]
    pub(super) timeout: Duration,

    /// How many beats the server leaves in the kernel before it reads; 0 reads each one. See
    /// `heartwire serve --help` for what it costs [default: as `serve`].
    #[arg(long, value_name = "BEATS", conflicts_with_all = ["server", "compare"])]
    pub(super) coalesce: Option<u16>,

    /// Protocol version of the clients.
    #[arg(
        long,
        value_enum,
        default_value_t = Protocol::V0,
        conflicts_with_all = ["server", "compare"]
    )]
    pub(super) protocol: Protocol,

    /// Use TLS 1.3, with a certificate made for this run. The cost of accepting a client then
    /// includes a full handshake.
    #[arg(long, conflicts_with_all = ["server", "compare"])]
    pub(super) tls: bool,

    /// Clients have a timeout too, so that the server sends beats as often as they do (protocol
    /// v1).
    #[arg(long, conflicts_with_all = ["server", "compare"])]
    pub(super) both: bool,

    /// The server answers each beat (protocol v0).
    #[arg(long, conflicts_with_all = ["server", "compare", "pairs", "both", "resume"])]
    pub(super) echo: bool,

    /// Sessions that can be resumed (protocol v1).
    #[arg(long, conflicts_with_all = ["server", "compare", "pairs"])]
    pub(super) resume: bool,

    /// The server's threads [default: as `serve`; with --compare 1, as the baselines have].
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "server",
        value_parser = clap::value_parser!(u16).range(1..=256)
    )]
    pub(super) threads: Option<u16>,

    /// Process id of a running server, instead of starting one.
    #[arg(long, value_name = "PID", requires = "target", conflicts_with = "compare")]
    pub(super) server: Option<u32>,

    /// Address of that server, on this machine.
    #[arg(long, value_name = "ADDR", requires = "server", value_parser = loopback)]
    pub(super) target: Option<SocketAddr>,

    /// The program to measure [default: the one built beside this one].
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub(super) bin: Option<PathBuf>,

    /// Stop after the beats, without freezing the connections and waiting for verdicts.
    #[arg(long)]
    pub(super) no_freeze: bool,

    /// Measure baselines, this server in several modes, and other servers in turn, and print the
    /// ratios to a bare loop.
    #[arg(long)]
    pub(super) compare: bool,

    /// With --compare: these servers only, and the bare loops that they are compared with.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "compare")]
    pub(super) only: Vec<String>,

    /// With --compare: print the names of all servers, and which are not installed.
    #[arg(long, requires = "compare")]
    pub(super) list: bool,

    /// With --compare: write docs/ledger.json, docs/ledger.md and the table in README.md, in this
    /// folder.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ".",
        requires = "compare",
        conflicts_with = "only"
    )]
    pub(super) write: Option<PathBuf>,

    /// Keep the server on one processor and the load on another.
    #[arg(long, conflicts_with = "server")]
    pub(super) pin: bool,

    /// With --compare: number of rounds; the table shows medians.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        requires = "compare",
        value_parser = clap::value_parser!(u16).range(1..=100)
    )]
    pub(super) rounds: u16,

    /// Measure sessions that cannot be resumed and sessions that can, in turn, this many times, and
    /// print the ratios of the medians (protocol v1).
    #[arg(
        long,
        value_name = "N",
        conflicts_with_all = ["server", "compare"],
        value_parser = clap::value_parser!(u16).range(1..=100)
    )]
    pub(super) pairs: Option<u16>,

    /// How to print the report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spread {
    /// Evenly spread over the interval.
    Even,
    /// All at the same moment, as after a power cut.
    Burst,
}

/// Protocol version of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    V0,
    V1,
}

/// Formats of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// Parses a time of at least a millisecond.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(1) {
        return Err("that is too short; write 1ms or more".to_owned());
    }
    Ok(interval)
}

/// The load never leaves this machine.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let target: SocketAddr = text.parse().map_err(|error| format!("{error}"))?;
    if !target.ip().is_loopback() {
        return Err("the load never leaves this machine; write a loopback address".to_owned());
    }
    Ok(target)
}
