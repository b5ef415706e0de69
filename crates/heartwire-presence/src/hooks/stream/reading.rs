//! Reads the stream of changes.

use core::convert::Infallible;
use core::future::pending;
use core::time::Duration;

use redis::streams::{StreamRangeReply, StreamReadReply};
use tokio::sync::mpsc::Sender;

use super::super::item::{Item, LaneId, Place};
use super::lease::Clock;
use crate::store::{Address, PATIENCE, StoreError, StreamId, connect};

const KEY: &str = "{hw}:ev";

/// How many entries are read at a time.
const MAX_PORTION: usize = 500;

/// How long Redis waits for an entry before it says that there is none.
const WAIT: Duration = Duration::from_secs(2);

/// Entries that follow each other.
pub(super) struct Portion {
    pub(super) entries: Vec<Raw>,
    /// Entries after this place, and before the first of these, may have been removed.
    pub(super) trimmed_after: Option<Place>,
}

/// An entry as it was read.
pub(super) struct Raw {
    pub(super) place: Place,
    number: Option<u64>,
    kind: String,
    detail: String,
}

impl Raw {
    /// What is delivered of it; or what is given up, if it is not what nodes write.
    pub(super) fn item(self, clock: Clock) -> Result<Item, Item> {
        let Self { place, number, kind, detail } = self;
        let since = clock.instant(place);
        let item = number.and_then(|n| Item::of_entry(place, since, n, &kind, &detail));
        item.ok_or_else(|| Item { place, lane: LaneId::INCIDENTS, since, json: detail.into() })
    }
}

/// Reads what comes after a place, until that fails. The next portion is read while one waits.
pub(super) async fn read(address: &Address, after: Place, to: Sender<Portion>) -> StoreError {
    match read_on(address, after, to).await {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

async fn read_on(
    address: &Address,
    mut after: Place,
    to: Sender<Portion>,
) -> Result<Infallible, StoreError> {
    let mut connection = connect(address, WAIT + PATIENCE).await?;
    loop {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(MAX_PORTION).arg("BLOCK").arg(WAIT.as_millis().to_string());
        command.arg("STREAMS").arg(KEY).arg(StreamId::from(after).to_string());
        let reply: Option<StreamReadReply> = command.query_async(&mut connection).await?;
        let found = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        let entries = found.map(|entry| raw(&entry)).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = entries.last().map(|entry| entry.place) else { continue };

        // The entry after which it was read is still there, unless newer ones needed the room.
        let mut command = redis::cmd("XRANGE");
        command.arg(KEY).arg("-").arg("+").arg("COUNT").arg(1);
        let first: StreamRangeReply = command.query_async(&mut connection).await?;
        let first = first.ids.first().map(|entry| place(&entry.id)).transpose()?;
        let is_trimmed = after != Place::default() && first.is_none_or(|first| first > after);
        let portion = Portion { entries, trimmed_after: is_trimmed.then_some(after) };
        after = last;
        if to.send(portion).await.is_err() {
            pending::<()>().await;
        }
    }
}

fn raw(entry: &redis::streams::StreamId) -> Result<Raw, StoreError> {
    Ok(Raw {
        place: place(&entry.id)?,
        number: entry.get("n"),
        kind: entry.get("k").unwrap_or_default(),
        detail: entry.get("d").unwrap_or_default(),
    })
}

fn place(id: &str) -> Result<Place, StoreError> {
    let id: StreamId = id.parse().map_err(|_| StoreError::Garbage(format!("the id {id:?}")))?;
    Ok(id.into())
}
