//! `tunnel-bench`: what `heartwire tunnel` costs, beside two socats in a row and beside no relay.

mod crowd;
mod load;
mod relay;
mod report;
mod service;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use self::crowd::{Crowd, measure as measure_crowd};
use self::load::{Bulk, Trip, Way, bulk, trips};
use self::relay::{Identity, Relay, has_socat};
use self::service::Service;
use crate::local::program;
use crate::net::size::size;
use crate::output::{print, say};

const EXAMPLES: &str = "\
Examples:
  heartwire-lab tunnel-bench
  heartwire-lab tunnel-bench --part bulk,trips --rounds 9 --format json
  heartwire-lab tunnel-bench --part crowd --connections 1000,5000

All of it is on loopback: this program is both the client and the service. Between them there is
nothing; or two socats (TCP to TCP, and again; with TLS between the two), with their usual buffer
and with -b 65536; or the two ends of `heartwire tunnel`. In each round each of them has a turn, and
the round's ratio to the better socat counts.

Exit codes: 0 the tunnel meets its bars: in the medians 0.9 of socat's throughput, p99 of a round
trip at most 200 us above socat's, at most 20 KB for each end of an idle connection; 1 it does not,
or could not be measured; 2 usage.";

/// Arguments of `tunnel-bench`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to measure [default: all].
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    part: Vec<Part>,

    /// With TLS between the two ends, without, or both in turn.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = Tls::Both)]
    tls: Tls,

    /// Number of rounds.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    rounds: u16,

    /// How much is sent each way.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    bytes: u64,

    /// How many round trips each turn measures, after a tenth as many that do not count.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u32).range(10..)
    )]
    trips: u32,

    /// How many connections are idle at once.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1000,5000")]
    connections: Vec<u32>,

    /// The program `heartwire` [default: the one beside this one].
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,

    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Bytes a second, and processor time.
    Bulk,
    /// Round trips of messages of 1 byte and of 1 KiB.
    Trips,
    /// Memory of many idle connections, which then carry bytes that are checked.
    Crowd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    With,
    Without,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// The lengths of messages whose round trips are measured.
const MESSAGES: [usize; 2] = [1, 1024];

/// Everything that was measured of one relay.
#[derive(Debug)]
struct Record {
    relay: Relay,
    /// A figure for each round.
    bulk: Vec<(Way, Vec<Bulk>)>,
    trips: Vec<(usize, Vec<Trip>)>,
}

/// The same with TLS, or without.
#[derive(Debug)]
struct Table {
    tls: bool,
    /// Direct, the socats, and last the tunnel.
    records: Vec<Record>,
    crowds: Vec<Crowd>,
}

/// Runs it.
///
/// # Errors
///
/// When it cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let bin = program(args.bin.as_deref())?;
    let has_socat = has_socat();
    if !has_socat {
        say("heartwire-lab: there is no socat here (a package of Debian): measuring without it");
    }
    let identity = Identity::new()?;
    let both: &[bool] = match args.tls {
        Tls::With => &[true],
        Tls::Without => &[false],
        Tls::Both => &[false, true],
    };
    let mut tables = Vec::new();
    for &tls in both {
        let mut relays = vec![Relay::Direct];
        if has_socat {
            relays.extend([None, Some(65_536)].map(|block| Relay::Socat { block, tls }));
        }
        relays.push(Relay::Tunnel { bin: bin.clone(), tls });
        tables.push(measure(args, &identity, tls, relays)?);
    }
    match args.format {
        Format::Text => print(report::text(&tables).trim_end())?,
        Format::Json => print(report::object(args, &tables))?,
    }
    let is_fine = tables.iter().all(Table::meets_bars);
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(
    args: &Args,
    identity: &Identity,
    tls: bool,
    relays: Vec<Relay>,
) -> anyhow::Result<Table> {
    let measures = |part| args.part.is_empty() || args.part.contains(&part);
    let begin = |relay| Record {
        relay,
        bulk: Way::ALL.map(|way| (way, Vec::new())).into(),
        trips: MESSAGES.map(|len| (len, Vec::new())).into(),
    };
    let mut records: Vec<Record> = relays.into_iter().map(begin).collect();
    let which = if tls { "TLS" } else { "no TLS" };
    if measures(Part::Bulk) || measures(Part::Trips) {
        let service = Service::start()?;
        for round in 1..=args.rounds {
            say(format_args!("{which}, round {round} of {}", args.rounds));
            // Each is the first one in turn.
            records.rotate_left(1);
            for record in &mut records {
                let relay = &record.relay;
                for (way, figures) in record.bulk.iter_mut().filter(|_| measures(Part::Bulk)) {
                    figures.push(bulk(&relay.start(identity, service.address)?, *way, args.bytes)?);
                }
                for (len, figures) in record.trips.iter_mut().filter(|_| measures(Part::Trips)) {
                    let running = relay.start(identity, service.address)?;
                    figures.push(trips(&running, *len, args.trips)?);
                }
            }
        }
        let turned = usize::from(args.rounds) % records.len();
        records.rotate_right(turned);
    }
    let mut crowds = Vec::new();
    if measures(Part::Crowd) {
        for &connections in &args.connections {
            say(format_args!("{which}, {connections} connections"));
            if let Some(tunnel) = records.last() {
                crowds.push(measure_crowd(&tunnel.relay, identity, connections)?);
            }
        }
    }
    Ok(Table { tls, records, crowds })
}
