//! The options of `tunnel`.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use heartwire::Policy;
use heartwire::server::{self, Network};

use super::local::Place;
use super::open::service_name;
use super::service::Service;
use crate::exit::Usage;
use crate::options::FormatArgs;
use crate::settings::ConfigArgs;
use crate::values::{address, bytes, duration, number, target};

/// The port that `tunnel serve` listens on by default: the one after that of `serve`, so that both
/// can run on a machine.
const PORT: u16 = 29_003;

pub(crate) const EXAMPLES: &str = "\
Examples:
  heartwire tunnel serve --service echo=127.0.0.1:7
  heartwire tunnel connect 127.0.0.1 echo --listen 127.0.0.1:7007
      both on one machine: no TLS and no tokens needed

  heartwire tunnel serve --listen 0.0.0.0:29003 --tls-cert c.pem --tls-key k.pem \\
    --tokens t.tokens --service ssh=127.0.0.1:22 --service db=/run/postgresql/.s.PGSQL.5432
  heartwire tunnel connect gate.example db --name ann --token-file ann.token --listen 5432
  ssh -o ProxyCommand='heartwire tunnel connect gate.example ssh --stdio' host

Exit codes: 0 stopped or done, others as the help of each end says.";

const SERVE_EXAMPLES: &str = "\
Examples:
  heartwire tunnel serve --service ssh=127.0.0.1:22
      for clients on this machine
  heartwire tunnel serve --listen 0.0.0.0:29003 --tls-cert c.pem --tls-key k.pem \\
    --tokens t.tokens --service ssh=127.0.0.1:22 --service db=10.0.0.5:5432,grace=30s
      for others; a line of t.tokens is NAME TOKEN, or NAME TOKEN ssh,db for these services only

SIGTERM or Ctrl-C refuses new connections, waits for those there are, up to --drain, and resets the
rest. A second signal exits at once. SIGHUP reads --config, the tokens and the certificates again.

Exit codes: 0 stopped, 2 settings that contradict each other, 3 cannot listen, 1 other failures.";

const CONNECT_EXAMPLES: &str = "\
Examples:
  heartwire tunnel connect gate.example db --listen 127.0.0.1:5432
      psql -h 127.0.0.1 then reaches the service `db` of gate.example
  ssh -o ProxyCommand='heartwire tunnel connect gate.example ssh --stdio' host
      one connection, between standard input and standard output

SIGTERM or Ctrl-C refuses new connections, waits for those there are, up to --drain, and resets the
rest. A second signal exits at once. With --stdio SIGHUP does the same; otherwise it does nothing.

Exit codes: 0 stopped, or with --stdio both directions have ended; 2 settings that contradict each
other, 3 cannot listen, 4 with --stdio: the service was not reached; 8 with --stdio: the connection
was reset, or was lost for longer than it is kept; 1 other failures.";

#[derive(Debug, Subcommand)]
pub(crate) enum TunnelCommand {
    /// Run the far end: services that can be reached, by name.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Run the near end: carry the connections of local programs to a service of a far end.
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
}

/// How long an outage may last, and how much is kept meanwhile.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Outages")]
pub(crate) struct OutageArgs {
    /// How long a connection survives an outage; the smaller value of both ends counts.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    pub(crate) grace: Duration,

    /// How much is kept in each direction of a connection, and can be under way in it, 64KiB to
    /// 1GiB; the smaller value of both ends counts.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "2MiB",
        value_parser = bytes::<u32>(64 * 1024..=1 << 30)
    )]
    pub(crate) window: u32,

    /// Send a heartbeat this often. A connection that has been silent for one and a half times as
    /// long is suspected to be lost, and a spare one is made.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub(crate) interval: Duration,

    /// Declare a connection between the two ends lost after this much silence.
    #[arg(long, value_name = "TIME", default_value = "9s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// When told to stop, wait this long for connections to end.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) drain: Duration,
}

impl OutageArgs {
    pub(super) fn policy(&self) -> Result<Policy, Usage> {
        let policy = Policy::builder().interval(self.interval).timeout(self.timeout);
        let policy = policy.peer_interval(self.interval).build();
        policy.map_err(|error| Usage(error.to_string()))
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ServeArgs {
    /// A service: its name, and its address (HOST:PORT, a path of a Unix socket, or - for this
    /// program's standard input and output, once). Can be repeated, also with semicolons.
    ///
    /// Options follow after commas: grace=30s ends a connection of this service when it has been
    /// without one between the ends for so long; proxy=v2 tells the service the client's address
    /// (PROXY protocol).
    #[arg(long, value_name = "NAME=ADDR", value_delimiter = ';', required = true)]
    pub(crate) service: Vec<Service>,

    /// Address to listen on; can be repeated [default: 127.0.0.1:29003].
    #[arg(short, long, value_name = "ADDR", value_delimiter = ',', value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,

    /// Balancers in front of this end; each connection from them must begin with a header of the
    /// PROXY protocol (v1 or v2), which tells the client's address.
    #[arg(long, value_name = "ADDR[/BITS]", value_delimiter = ',')]
    pub(crate) proxy_from: Vec<Network>,

    /// Accept only clients with a token from this file.
    ///
    /// A line is NAME TOKEN, or NAME TOKEN SERVICE,SERVICE for a client that may use these services
    /// only ("NAME" in quotation marks if it has spaces); # begins a comment.
    #[arg(long, value_name = "FILE", help_heading = "Identity")]
    pub(crate) tokens: Option<PathBuf>,

    /// Accept every client that reaches an address outside of this machine.
    #[arg(long, help_heading = "Identity", conflicts_with = "tokens")]
    pub(crate) allow_anyone: bool,

    #[command(flatten)]
    pub(crate) tls: crate::serve::ServeTlsArgs,

    /// Listen outside of this machine without TLS: everything can be read on the path, tokens
    /// included, and connections can be taken over.
    #[arg(long, conflicts_with = "tls_cert", help_heading = "TLS")]
    pub(crate) no_tls: bool,

    #[command(flatten)]
    pub(crate) outages: OutageArgs,

    /// Maximum bytes kept for all connections together that are in an outage; above it those end
    /// that have been in one longest.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "256MiB",
        value_parser = bytes::<usize>(0..=u64::MAX),
        help_heading = "Outages"
    )]
    pub(crate) max_replay: usize,

    /// Maximum connections at one time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = number::<usize>(1..=u64::MAX),
        help_heading = "Limits"
    )]
    pub(crate) max_connections: usize,

    #[command(flatten)]
    pub(crate) format: FormatArgs,

    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

impl ServeArgs {
    /// Where to listen.
    pub(super) fn listen(&self) -> Vec<SocketAddr> {
        if self.listen.is_empty() {
            return vec![SocketAddr::from(([127, 0, 0, 1], PORT))];
        }
        self.listen.clone()
    }

    pub(super) fn resume(&self) -> server::Resume {
        let OutageArgs { grace, window, .. } = self.outages;
        let grace = self.service.iter().filter_map(|service| service.grace).fold(grace, Ord::max);
        let resume = server::Resume::new().grace(grace).window(window);
        resume.max_replay(self.max_replay).in_the_clear(self.no_tls)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// The far end, such as gate.example or gate.example:29003.
    #[arg(value_name = "FAR", value_parser = target)]
    pub(crate) target: String,

    /// The service to reach there.
    #[arg(value_name = "SERVICE", value_parser = service_name)]
    pub(crate) service: String,

    /// Where local programs connect: a port, an address with a port, or the path of a Unix socket.
    #[arg(short, long, value_name = "ADDR", required_unless_present = "stdio")]
    pub(crate) listen: Option<Place>,

    /// Carry one connection, between standard input and standard output.
    #[arg(long, conflicts_with = "listen")]
    pub(crate) stdio: bool,

    /// Listen outside of this machine: every program that reaches the address can use the service.
    #[arg(long, requires = "listen", conflicts_with = "stdio")]
    pub(crate) listen_anywhere: bool,

    /// The name that the token is for.
    #[arg(long, value_name = "NAME", requires = "token_file", help_heading = "Identity")]
    pub(crate) name: Option<String>,

    /// File with the token of this end, and nothing else.
    #[arg(long, value_name = "FILE", requires = "name", help_heading = "Identity")]
    pub(crate) token_file: Option<PathBuf>,

    /// Use TLS, also to a far end on this machine; to all others it is used anyway.
    #[arg(long, help_heading = "TLS")]
    pub(crate) tls: bool,

    /// CA certificates to trust (PEM) [default: system roots].
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Name that the far end's certificate must have [default: the host].
    #[arg(long, value_name = "NAME", help_heading = "TLS")]
    pub(crate) tls_server_name: Option<String>,

    /// Client certificate for far ends that require one (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of that certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Use no TLS: everything can be read on the path, the token included, and connections can be
    /// taken over.
    #[arg(
        long,
        conflicts_with_all = ["tls", "tls_ca", "tls_server_name", "tls_cert"],
        help_heading = "TLS"
    )]
    pub(crate) no_tls: bool,

    #[command(flatten)]
    pub(crate) outages: OutageArgs,

    /// Maximum connections at one time; more are reset.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = number::<usize>(1..=u64::MAX),
        help_heading = "Limits"
    )]
    pub(crate) max_connections: usize,

    #[command(flatten)]
    pub(crate) format: FormatArgs,

    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

impl ConnectArgs {
    /// The far end, with a port.
    pub(super) fn target(&self) -> String {
        let target = &self.target;
        if target.contains(':') && !target.ends_with(']') {
            return target.clone();
        }
        format!("{target}:{PORT}")
    }
}
