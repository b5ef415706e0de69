//! Reading the stream of changes.

use redis::cmd;
use redis::streams::{StreamId as Entry, StreamReadReply};
use serde_json::{Map, Value};

use super::look::Origin;
use super::{BLOCK, Because, Reading};
use crate::Change;
use crate::directory::{Link, RedisError, key};
use crate::store::StreamId;

/// How many changes are read at once.
const BATCH: u32 = 1_000;

/// What was read.
#[derive(Debug)]
pub(super) enum Batch {
    /// What came next, which may be nothing.
    Read {
        readings: Vec<Reading>,
        /// The last of it.
        end: StreamId,
    },
    /// What came next cannot be known.
    Gap(Because),
}

/// Reads what came after an entry, and waits a while for it.
pub(super) async fn read(
    link: &mut Link,
    origin: &mut Origin,
    at: StreamId,
) -> Result<Batch, RedisError> {
    // A server that may be another one is not waited for.
    let wait = !origin.is_doubted();
    let entries = entries_after(link, at, wait).await?;
    // Only now: what is missing from them then is missing now.
    if let Err(because) = origin.look_again(link, at).await? {
        return Ok(Batch::Gap(because));
    }
    let end = entries.last().and_then(|entry| entry.id.parse().ok()).unwrap_or(at);
    Ok(Batch::Read { readings: entries.iter().filter_map(reading).collect(), end })
}

/// Entries after this one, in order.
pub(super) async fn entries_after(
    link: &mut Link,
    at: StreamId,
    wait: bool,
) -> Result<Vec<Entry>, RedisError> {
    let mut read = cmd("XREAD");
    read.arg("COUNT").arg(BATCH);
    if wait {
        read.arg("BLOCK").arg(BLOCK.as_millis().to_string());
    }
    read.arg("STREAMS").arg(key::EVENTS).arg(at.to_string());
    let reply: Option<StreamReadReply> = link.ask(&read).await?;
    Ok(reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids).collect())
}

/// What an entry tells; `None` if a later version wrote it, about something new.
pub(super) fn reading(entry: &Entry) -> Option<Reading> {
    let (kind, number): (String, u64) = (entry.get("k")?, entry.get("n")?);
    let detail: String = entry.get("d")?;
    if let "incident" | "incident_over" = &*kind {
        let is_over = kind == "incident_over";
        return Some(Reading::Incident { number, is_over, detail: detail.into() });
    }
    let mut fields: Map<String, Value> = serde_json::from_str(&detail).ok()?;
    fields.insert("kind".to_owned(), kind.into());
    fields.insert("number".to_owned(), number.into());
    let change: Change = serde_json::from_value(Value::Object(fields)).ok()?;
    Some(Reading::Change(change))
}
