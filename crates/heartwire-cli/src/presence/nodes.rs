//! `heartwire presence nodes`.

use core::time::Duration;

use heartwire_presence::{Lease, NodeInfo};
use serde::Serialize;

use super::args::RedisArgs;
use super::table::Table;
use super::{connect, date, failed, shown};
use crate::exit::Exit;
use crate::output::{Millis, grouped, print_bytes, to_json};
use crate::values::Format;

/// A node, for programs.
#[derive(Debug, Serialize)]
struct Node<'a> {
    node: &'a str,
    name: &'a str,
    state: &'static str,
    /// How much of the lease is left.
    lease_ms: Option<Millis>,
    /// For how long it has been over.
    over_ms: Option<Millis>,
    names: u64,
    since: Option<u64>,
    address: Option<&'a str>,
}

impl<'a> Node<'a> {
    fn new(info: &'a NodeInfo) -> Self {
        let (state, left, over) = match info.lease {
            Lease::Left(left) => ("alive", Some(left), None),
            Lease::Over(over) => ("expired", None, Some(over)),
            Lease::Reaping | _ => ("reaping", None, None),
        };
        Self {
            node: info.id.as_str(),
            name: info.id.name(),
            state,
            lease_ms: left.map(Millis),
            over_ms: over.map(Millis),
            names: info.names,
            since: info.since,
            address: info.address.as_deref(),
        }
    }
}

pub(super) async fn nodes(args: &RedisArgs) -> anyhow::Result<Exit> {
    let nodes = connect(args).await?.nodes().await.map_err(failed)?;
    let mut text = String::new();
    match args.format.format() {
        Format::Json => {
            for node in &nodes {
                text.push_str(&to_json(&Node::new(node)));
                text.push('\n');
            }
        }
        Format::Text if nodes.is_empty() => text.push_str("no nodes\n"),
        Format::Text => {
            let header = ["NODE", "STATE", "LEASE", "NAMES", "SINCE", "ADDRESS"];
            let mut table = Table::new();
            let rows: Vec<_> =
                [header.map(str::to_owned)].into_iter().chain(nodes.iter().map(row)).collect();
            rows.iter().for_each(|row| table.fit(row));
            rows.iter().for_each(|row| table.write(row, &mut text));
        }
    }
    print_bytes(text.as_bytes())?;
    Ok(Exit::Success)
}

fn row(info: &NodeInfo) -> [String; 6] {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let lease = match info.lease {
        Lease::Left(left) => format!("{} left", seconds(left)),
        Lease::Over(over) => format!("over for {}", seconds(over)),
        Lease::Reaping | _ => "-".to_owned(),
    };
    [
        shown(info.id.as_str()),
        Node::new(info).state.to_owned(),
        lease,
        grouped(info.names),
        info.since.map_or_else(|| "-".to_owned(), date),
        info.address.as_deref().map_or_else(|| "-".to_owned(), shown),
    ]
}
