//! Arguments of `storm`.

use core::hash::{BuildHasher, Hasher};
use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::path::PathBuf;

use clap::ValueEnum;

use super::policy::Policy;
use super::server::ServerModel;
use super::simulate::Storm;

const EXAMPLES: &str = "\
Examples:
  heartwire-lab storm
      100,000 clients and a server that does 10,000 handshakes a second
  heartwire-lab storm --capacity 2000 --in-flight off --stale-after off
      a slow server that serves all clients, however late: it stays down
  heartwire-lab storm --random 1000
      many storms, each compared with the time that is promised for it
  heartwire-lab storm --fleet 500 --clients 1000000
      many losses of nodes in fleets, each compared with what `heartwire plan --fleet` computes
  heartwire-lab storm --clients 1000000 --policy jitter --format json
      one policy, as one object
  heartwire-lab storm --real --clients 2000 --outage 5s
      the real server, killed and started again on loopback, and real clients
  heartwire-lab storm --real --tls --clients 8000 --policy jitter
      what session tickets save a server that was restarted

Times count from the moment the server is back. `stuck`: some clients are not connected, and none
reconnected in the second half of the observed time.

Exit codes: 0 the default policies (jitter, hint) brought all clients back, or did not run; 1 they
did not, or with --random or --fleet a storm was not over in its time; 2 usage.";

/// Arguments of `storm`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Number of clients that lose their server at once [default: 100000, with --real 1000].
    #[arg(long, value_name = "N")]
    clients: Option<NonZeroU32>,

    /// Back-off of the clients [default: all].
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    policy: Vec<Policy>,

    /// Handshakes that the server does per second.
    #[arg(long, value_name = "N", default_value = "10000", conflicts_with = "real")]
    capacity: NonZeroU32,

    /// Connections that wait to be accepted; the SYNs of further ones are dropped. It never fills
    /// with --in-flight off.
    #[arg(long, value_name = "N", default_value_t = 4096, conflicts_with = "real")]
    backlog: u32,

    /// Maximum handshakes at a time, or `off`: accept all connections at once. Default as in
    /// `serve`, where a shard accepts as many in a turn.
    #[arg(
        long,
        value_name = "N",
        default_value = "128",
        value_parser = rate,
        conflicts_with = "real"
    )]
    in_flight: RateOrOff,

    /// Reject clients that have left or have waited this long, or `off`. Default as in `serve`.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "2500ms",
        value_parser = time_or_off,
        conflicts_with = "real"
    )]
    stale_after: TimeOrOff,

    /// Time to reject a client, or to close it because of --accept-rate.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60us",
        value_parser = short_time,
        conflicts_with = "real"
    )]
    reject: Duration,

    /// Most arrivals a second, or `off`; twice as many may come at once. Default as in `serve`.
    #[arg(
        long,
        value_name = "N",
        default_value = "10000",
        value_parser = rate,
        conflicts_with = "real"
    )]
    accept_rate: RateOrOff,

    /// Duration of the outage.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub(super) outage: Duration,

    /// The window in which a draining server asks its clients to reconnect: its --drain.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        value_parser = time,
        conflicts_with = "real"
    )]
    hint: Duration,

    /// Round-trip time; at least 1 ms.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "20ms",
        value_parser = time,
        conflicts_with = "real"
    )]
    round_trip: Duration,

    /// How long a client waits for a connection, and then for a WELCOME on it.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(super) timeout: Duration,

    /// Observe for this long after the server is back [default: five times what it takes to serve
    /// all clients, at least 5 min; with --real 2 min].
    #[arg(long, value_name = "TIME", value_parser = time)]
    watch: Option<Duration>,

    /// Seed of the clients' delays [default: a new one, which is printed].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Run this many random storms with up to --clients each, and print those that are not over in
    /// the promised time.
    #[arg(long, value_name = "N", conflicts_with_all = ["real", "policy", "watch"])]
    pub(super) random: Option<u64>,

    /// Run this many random losses of nodes in fleets, with up to --clients clients each, and print
    /// those after which clients are back later than a plan computes, or more than four times
    /// sooner.
    #[arg(long, value_name = "N", conflicts_with_all = ["real", "policy", "watch", "random"])]
    pub(super) fleet: Option<u64>,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,

    /// Kill and restart a real `heartwire serve` on loopback, with real clients.
    #[arg(long)]
    pub(super) real: bool,

    /// Storm three times, and compare the server's CPU per returning client: without TLS, over TLS
    /// with a full handshake each, and with session tickets, whose keys outlast the restart.
    #[arg(long, requires = "real")]
    pub(super) tls: bool,

    /// The server's program [default: the `heartwire` beside this program].
    #[arg(long, value_name = "PATH", requires = "real")]
    pub(super) bin: Option<PathBuf>,
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

impl Args {
    pub(super) fn policies(&self) -> Vec<Policy> {
        if !self.policy.is_empty() {
            return self.policy.clone();
        }
        let all = Policy::value_variants().iter().copied();
        all.filter(|&policy| !self.real || policy.is_of_real_clients()).collect()
    }

    pub(super) fn seed(&self) -> u64 {
        // The keys of a hasher are drawn from the system's randomness, and differ for each one.
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish())
    }

    pub(super) fn clients(&self) -> NonZeroU32 {
        let default = if self.real { 1_000 } else { 100_000 };
        self.clients.or(NonZeroU32::new(default)).unwrap_or(NonZeroU32::MIN)
    }

    pub(super) fn real_watch(&self) -> Duration {
        self.watch.unwrap_or(Duration::from_secs(120))
    }

    /// What was asked for, with that policy.
    pub(super) fn storm(&self, policy: Policy, seed: u64) -> Storm {
        let clients = self.clients();
        let server = ServerModel {
            capacity: self.capacity,
            backlog: self.backlog,
            in_flight: self.in_flight.0,
            accept_rate: self.accept_rate.0,
            stale_after: self.stale_after.0,
            reject: self.reject,
        };
        let enough = server.work(clients.get()).saturating_mul(5).max(Duration::from_secs(300));
        Storm {
            clients,
            policy,
            server,
            servers: NonZeroU32::MIN,
            outage: self.outage,
            round_trip: self.round_trip,
            connect_timeout: self.timeout,
            handshake_timeout: self.timeout,
            hint: self.hint,
            watch: self.watch.unwrap_or(enough),
            seed,
            progress: true,
        }
    }
}

/// A rate, or none.
#[derive(Clone, Copy, Debug)]
struct RateOrOff(Option<NonZeroU32>);

fn rate(text: &str) -> Result<RateOrOff, String> {
    if text == "off" {
        return Ok(RateOrOff(None));
    }
    let most = text.parse().map_err(|_| "a number from 1, or `off`".to_owned())?;
    Ok(RateOrOff(Some(most)))
}

/// A time, or none.
#[derive(Clone, Copy, Debug)]
struct TimeOrOff(Option<Duration>);

fn time_or_off(text: &str) -> Result<TimeOrOff, String> {
    if text == "off" { Ok(TimeOrOff(None)) } else { time(text).map(|time| TimeOrOff(Some(time))) }
}

fn short_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time <= Duration::from_secs(1) { Ok(time) } else { Err("from 0s to 1s".to_owned()) }
}

/// Each millisecond has its place in the calendar, so there must not be too many.
fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(3600));
    if (least..=most).contains(&time) { Ok(time) } else { Err("from 1ms to 1h".to_owned()) }
}
