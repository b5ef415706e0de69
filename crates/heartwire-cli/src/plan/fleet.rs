//! `heartwire plan --fleet`: more sessions than one machine holds.

use core::fmt::{self, Write};
use core::time::Duration;

use clap::Args;
use heartwire_plan::Plan;
use heartwire_plan::fleet::{Fleet, Lost, Node, Redis, Resource};
use heartwire_plan::price::Serving;
use serde::Serialize;

use crate::output::{Millis, grouped};
use crate::values::{bytes, duration, number, typed};

/// The options about a fleet.
#[derive(Debug, Args)]
#[command(next_help_heading = "Fleet")]
pub(super) struct FleetArgs {
    /// Plan the nodes for this many sessions, such as 10M: how many of them, what each does, and
    /// when all clients are back if some are lost.
    #[arg(long, value_name = "SESSIONS", value_parser = count)]
    pub(super) fleet: Option<u64>,

    /// What a node has, where it is not the default: `cpus=8,memory=32GiB,descriptors=1M,
    /// packets=1M,accepts=10k` (packets and accepts: a second).
    #[arg(long, value_name = "WHAT=N,...", value_parser = node, requires = "fleet")]
    node: Option<Node>,

    /// Zones that the nodes are in; one of them may be lost.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = number::<u64>(1..=1000),
        requires = "fleet"
    )]
    zones: u64,

    /// Share of each node's processors, memory and packets that idle sessions leave free, in
    /// percent: for handshakes, data and the application.
    #[arg(
        long,
        value_name = "PERCENT",
        default_value_t = 50,
        value_parser = number::<u64>(1..=99),
        requires = "fleet"
    )]
    free: u64,

    /// How long all nodes are away when all are lost.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1m",
        value_parser = duration,
        requires = "fleet"
    )]
    outage: Duration,

    /// How long a client stays: it comes once and goes once in that time, and Redis is told.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "8h",
        value_parser = stay,
        requires = "fleet"
    )]
    stays: Duration,

    /// Memory of each Redis that shares presence; half of it is left free.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "8GiB",
        value_parser = bytes::<u64>(1 << 29..=u64::MAX),
        requires = "fleet"
    )]
    redis_memory: u64,
}

impl FleetArgs {
    /// The fleet, if one was asked for.
    pub(super) fn fleet(&self, plan: &Plan, serving: Serving) -> Option<Planned> {
        let fleet = Fleet::new(*plan, serving, self.fleet?)
            .node(self.node.unwrap_or_default())
            .zones(self.zones)
            .free_percent(self.free)
            .outage(self.outage);
        let redis = Redis::new(fleet.sessions(), fleet.nodes());
        let redis = redis.memory(self.redis_memory).lasts(self.stays);
        Some(Planned { fleet, node: self.node.unwrap_or_default(), zones: self.zones, redis })
    }
}

/// A number with `k` or `M`: thousands or millions.
fn count(text: &str) -> Result<u64, String> {
    let units = [("k", 1_000), ("M", 1_000_000_u64)];
    let unit = units.iter().find_map(|&(unit, by)| Some((text.strip_suffix(unit)?, by)));
    let (digits, by) = unit.unwrap_or((text, 1));
    let all = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(by));
    // Beyond it no fleet makes sense, and products of it would not fit.
    all.filter(|all| (1..=1_000_000_000_000).contains(all))
        .ok_or_else(|| "write a number from 1 to 1000000M, such as 100k or 10M".to_owned())
}

/// How long a client stays.
fn stay(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < Duration::from_secs(1) { Err("write 1s or more".to_owned()) } else { Ok(time) }
}

fn node(text: &str) -> Result<Node, String> {
    let mut node = Node::default();
    for part in text.split(',') {
        let (what, much) = part.split_once('=').unwrap_or((part, ""));
        let place = match what {
            "cpus" => &mut node.processors,
            "memory" => &mut node.memory,
            "descriptors" => &mut node.descriptors,
            "packets" => &mut node.packets_per_s,
            "accepts" => &mut node.accept_rate,
            _ => {
                return Err(format!(
                    "{what}: a node has cpus, memory, descriptors, packets and accepts"
                ));
            }
        };
        let read = if what == "memory" { bytes::<u64>(1..=u64::MAX)(much) } else { count(much) };
        *place = read.map_err(|error| format!("{what}: {error}"))?;
    }
    Ok(node)
}

/// A fleet, and the Redis behind it.
pub(super) struct Planned {
    fleet: Fleet,
    node: Node,
    zones: u64,
    redis: Redis,
}

/// The same as JSON.
#[derive(Serialize)]
pub(super) struct Shown {
    sessions: u64,
    nodes: u64,
    zones: u64,
    sessions_per_node: u64,
    node: Limits,
    scarce: &'static str,
    rooms: Vec<Room>,
    packets_per_s: u64,
    packets_per_s_per_node: u64,
    bits_per_s_to_server: u64,
    bits_per_s_to_client: u64,
    handshakes_per_s_per_node: u64,
    losses: Vec<Loss>,
    redis: Presence,
}

/// What a node has.
#[derive(Serialize)]
struct Limits {
    processors: u64,
    memory: u64,
    descriptors: u64,
    packets_per_s: u64,
    accept_rate: u64,
}

/// How many sessions a resource of a node is enough for.
#[derive(Serialize)]
struct Room {
    resource: &'static str,
    sessions: u64,
}

/// What becomes of the clients of lost nodes.
#[derive(Serialize)]
struct Loss {
    lost: &'static str,
    clients: u64,
    nodes: u64,
    clients_per_node: u64,
    noticed_ms: Option<Millis>,
    back_ms: Millis,
    offline_ms: Millis,
}

/// What presence costs.
#[derive(Serialize)]
struct Presence {
    servers: u64,
    names_each: u64,
    bytes_each: u64,
    renewals_per_s: u64,
    changes_per_s: u64,
    most_changes_per_s: u64,
    announced_ms: Millis,
}

impl Planned {
    pub(super) fn shown(&self) -> Shown {
        let Self { fleet, node, redis, .. } = self;
        let [to_server, to_client] = fleet.bits_per_s();
        Shown {
            sessions: fleet.sessions(),
            nodes: fleet.nodes(),
            zones: self.zones,
            sessions_per_node: fleet.sessions_per_node(),
            node: Limits {
                processors: node.processors,
                memory: node.memory,
                descriptors: node.descriptors,
                packets_per_s: node.packets_per_s,
                accept_rate: node.accept_rate,
            },
            scarce: fleet.most().0.name(),
            rooms: Resource::ALL
                .map(|resource| Room { resource: resource.name(), sessions: fleet.room(resource) })
                .into(),
            packets_per_s: fleet.packets_per_s(fleet.sessions()),
            packets_per_s_per_node: fleet.packets_per_s(fleet.sessions_per_node()),
            bits_per_s_to_server: to_server,
            bits_per_s_to_client: to_client,
            handshakes_per_s_per_node: fleet.handshakes_per_s(),
            losses: Lost::ALL.map(|lost| self.loss(lost)).into(),
            redis: Presence {
                servers: redis.servers(),
                names_each: redis.names_each(),
                bytes_each: redis.bytes_each(),
                renewals_per_s: redis.renewals_per_s(),
                changes_per_s: redis.changes_per_s(),
                most_changes_per_s: redis.most_changes_per_s(),
                announced_ms: Millis(redis.announced()),
            },
        }
    }

    fn loss(&self, lost: Lost) -> Loss {
        let returning = self.fleet.lost(lost);
        Loss {
            lost: lost.name(),
            clients: returning.clients,
            nodes: returning.nodes,
            clients_per_node: returning.storm.clients,
            noticed_ms: returning.noticed.map(Millis),
            back_ms: Millis(returning.storm.back()),
            offline_ms: Millis(self.redis.offline(returning.clients)),
        }
    }

    /// For people, without a line break at its end.
    pub(super) fn write(&self, out: &mut String) -> fmt::Result {
        let shown = self.shown();
        let Shown { sessions, nodes, zones, sessions_per_node, ref node, ref redis, .. } = shown;
        writeln!(
            out,
            "\n{} sessions: {} nodes in {zones} zones, {} sessions each, so that the others carry \
             all when {} is lost",
            grouped(sessions),
            grouped(nodes),
            grouped(sessions_per_node),
            if zones > 1 { "a zone" } else { "a node" },
        )?;
        writeln!(
            out,
            "  a node: {} processors, {} GB of memory, {} descriptors, {} packets and {} clients \
             accepted a second",
            node.processors,
            node.memory / 1_000_000_000,
            grouped(node.descriptors),
            grouped(node.packets_per_s),
            grouped(node.accept_rate),
        )?;
        let rooms: Vec<String> = shown
            .rooms
            .iter()
            .map(|Room { resource, sessions }| format!("{resource} {}", grouped(*sessions)))
            .collect();
        writeln!(
            out,
            "  is enough for sessions, by its {}: it runs out of {} first",
            rooms.join(", "),
            shown.scarce
        )?;
        writeln!(
            out,
            "  packets: {} a second in all, {} a node; {} Mbit/s to the servers, {} Mbit/s to the \
             clients",
            grouped(shown.packets_per_s),
            grouped(shown.packets_per_s_per_node),
            grouped(shown.bits_per_s_to_server / 1_000_000),
            grouped(shown.bits_per_s_to_client / 1_000_000),
        )?;
        writeln!(
            out,
            "  handshakes: a node can do {} a second in what it has free\n",
            grouped(shown.handshakes_per_s_per_node)
        )?;
        let titles = ["lost", "clients", "go to nodes", "each takes", "noticed", "back", "offline"];
        let mut lines = vec![titles.map(str::to_owned)];
        for loss in &shown.losses {
            let Millis(back) = loss.back_ms;
            lines.push([
                loss.lost.to_owned(),
                grouped(loss.clients),
                grouped(loss.nodes),
                grouped(loss.clients_per_node),
                loss.noticed_ms.map_or_else(|| "never".to_owned(), |Millis(at)| tenths(at)),
                tenths(back),
                tenths(loss.offline_ms.0),
            ]);
        }
        super::table::write_lines(out, &lines)?;
        writeln!(
            out,
            "noticed: by the last client, if machines are gone without a word; at once if \
             processes are killed\nback: the last client, counted from when it has noticed, or \
             from when the nodes are back if all were lost\noffline: the last name that does not \
             come back, with presence\n"
        )?;
        writeln!(
            out,
            "presence: {} Redis with {} names and {} MB each; {} renewals and {} changes a second \
             (at most {}); all names announced {} after one was emptied",
            grouped(redis.servers),
            grouped(redis.names_each),
            grouped(redis.bytes_each / 1_000_000),
            grouped(redis.renewals_per_s),
            grouped(redis.changes_per_s),
            grouped(redis.most_changes_per_s),
            typed(redis.announced_ms.0),
        )
    }
}

/// Seconds, rounded up to tenths.
fn tenths(time: Duration) -> String {
    let tenths = time.as_millis().div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_typed_with_thousands_and_millions() {
        assert_eq!((count("10M"), count("10000000")), (Ok(10_000_000), Ok(10_000_000)));
        assert_eq!(count("250k"), Ok(250_000));
        for text in ["", "M", "0", "-1", "1.5M", "10m", "1000001M"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn clients_stay_for_a_second_or_more() {
        assert_eq!(stay("1s"), Ok(Duration::from_secs(1)));
        assert!(stay("0s").is_err() && stay("999ms").is_err() && stay("x").is_err());
    }

    #[test]
    fn node_has_what_is_given_and_else_the_default() {
        let small = node("cpus=2,memory=4GiB,descriptors=20k").unwrap();
        let Node { packets_per_s, accept_rate, .. } = Node::default();
        let expected = Node {
            processors: 2,
            memory: 4 << 30,
            descriptors: 20_000,
            packets_per_s,
            accept_rate,
        };
        assert_eq!(small, expected);
        for (text, why) in [("cores=2", "cores"), ("cpus", "cpus"), ("cpus=0", "cpus"), ("", "has")]
        {
            let error = node(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
