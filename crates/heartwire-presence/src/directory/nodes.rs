//! The nodes that Redis knows.

use core::time::Duration;
use std::collections::HashMap;

use redis::pipe;

use super::{Link, RedisError, key};
use crate::NodeId;

/// A node, as Redis knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id: its name and a number that it drew when it joined.
    pub id: NodeId,
    /// Where its clients connect to, if it says so.
    pub address: Option<Box<str>>,
    /// When it joined: microseconds since 1970.
    pub since: Option<u64>,
    /// How many names Redis has for it.
    pub names: u64,
    /// Whether it is there.
    pub lease: Lease,
}

/// A node's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lease {
    /// The node is there; it renews its lease before that time is over.
    Left(Duration),
    /// The node has not renewed its lease: it is dead, stopped, or cut off from Redis. It can come
    /// back until others begin to reap it.
    Over(Duration),
    /// Other nodes tell its names offline. If the node itself comes back, it does so under another
    /// id.
    Reaping,
}

pub(super) async fn nodes(link: &mut Link) -> Result<Vec<NodeInfo>, RedisError> {
    let mut ask = pipe();
    ask.cmd("TIME");
    ask.cmd("ZRANGE").arg(key::NODES).arg(0).arg(-1).arg("WITHSCORES");
    ask.cmd("ZRANGE").arg(key::REAPING).arg(0).arg(-1);
    type Listed = ((u64, u64), Vec<(String, u64)>, Vec<String>);
    let ((seconds, micros), leased, reaped): Listed = link.ask_all(&ask).await?;
    let now = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
    let leased = leased.into_iter().map(|(id, end)| (id, lease(end, now)));
    let reaped = reaped.into_iter().map(|id| (id, Lease::Reaping));
    let listed: Vec<_> = leased.chain(reaped).collect();
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let mut ask = pipe();
    for (id, _) in &listed {
        ask.cmd("HGETALL").arg(key::node(id)).cmd("SCARD").arg(key::names(id));
    }
    let said: Vec<redis::Value> = link.ask_all(&ask).await?;
    let mut nodes: Vec<_> = listed
        .iter()
        .zip(said.chunks_exact(2))
        .map(|((id, lease), said)| {
            let mut said = said.iter().cloned();
            let fields: HashMap<String, String> = read(said.next());
            NodeInfo {
                id: NodeId::from_stored(id),
                address: fields.get("address").filter(|it| !it.is_empty()).map(|it| (**it).into()),
                since: fields.get("since").and_then(|since| since.parse().ok()),
                names: read(said.next()),
                lease: *lease,
            }
        })
        .collect();
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(nodes)
}

/// A part of an answer. What is of another kind is as if it were not there.
fn read<T: redis::FromRedisValue + Default>(value: Option<redis::Value>) -> T {
    value.and_then(|value| redis::from_redis_value(value).ok()).unwrap_or_default()
}

fn lease(end: u64, now: u64) -> Lease {
    match end.checked_sub(now) {
        Some(left) if left > 0 => Lease::Left(Duration::from_millis(left)),
        _ => Lease::Over(Duration::from_millis(now.saturating_sub(end))),
    }
}
