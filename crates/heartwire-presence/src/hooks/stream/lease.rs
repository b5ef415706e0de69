//! The lease of the one node that delivers, and the place up to which it has.

use core::time::Duration;
use std::sync::LazyLock;

use heartwire_core::Instant;
use redis::aio::MultiplexedConnection;
use redis::{Script, ScriptInvocation};

use super::super::item::Place;
use super::super::lanes::Dead;
use crate::store::{Address, PATIENCE, StoreError, StreamId, connect};

const KEY: &str = "{hw}:hooks";

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));
static KEEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keep.lua")));

/// What the clock of Redis said at some instant, or before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Milliseconds since 1970.
    ms: u64,
    at: Instant,
}

impl Clock {
    /// When an entry was made, as this node counts time.
    pub(super) fn instant(self, place: Place) -> Instant {
        let ago = Duration::from_millis(self.ms.saturating_sub(place.0));
        let since = Duration::from_millis(place.0.saturating_sub(self.ms));
        self.at.saturating_sub(ago).saturating_add(since)
    }
}

/// A connection to Redis, and who asks on it.
pub(super) struct Lease {
    connection: MultiplexedConnection,
    holder: Box<str>,
    ms: u64,
}

impl Lease {
    pub(super) async fn connect(
        address: &Address,
        holder: &str,
        length: Duration,
    ) -> Result<Self, StoreError> {
        let connection = connect(address, PATIENCE).await?;
        let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Ok(Self { connection, holder: holder.into(), ms })
    }

    /// Takes it, unless another holder has it, and returns from where to deliver.
    pub(super) async fn take(
        &mut self,
        known: Option<Place>,
        now: Instant,
    ) -> Result<Option<(Place, Clock)>, StoreError> {
        let known = known.map_or_else(String::new, |place| StreamId::from(place).to_string());
        let mut call = TAKE.key(KEY);
        call.arg(&*self.holder).arg(self.ms).arg(known);
        let answer: Vec<String> = call.invoke_async(&mut self.connection).await?;
        let [word, at, ms] = &answer[..] else { return Ok(None) };
        let bad = || StoreError::Garbage(format!("{word} {at} {ms} in {KEY}"));
        let at: StreamId = at.parse().map_err(|_| bad())?;
        let ms = ms.parse().map_err(|_| bad())?;
        Ok(Some((at.into(), Clock { ms, at: now })))
    }

    /// Renews it; `None` if another holder has it, and then nothing was told.
    pub(super) async fn keep(
        &mut self,
        at: Place,
        dead: &[Dead],
        now: Instant,
    ) -> Result<Option<Clock>, StoreError> {
        let ms = self.ms;
        let answer = self.tell(ms, at, dead).await?;
        let [_, ms] = &answer[..] else { return Ok(None) };
        let ms = ms.parse().map_err(|_| StoreError::Garbage(format!("the time {ms:?}")))?;
        Ok(Some(Clock { ms, at: now }))
    }

    /// Ends it, so that another holder can take it at once.
    pub(super) async fn give_back(&mut self, at: Place, dead: &[Dead]) -> Result<(), StoreError> {
        self.tell(0, at, dead).await.map(drop)
    }

    async fn tell(&mut self, ms: u64, at: Place, dead: &[Dead]) -> Result<Vec<String>, StoreError> {
        let mut call: ScriptInvocation<'_> = KEEP.key(KEY);
        call.arg(&*self.holder).arg(ms).arg(StreamId::from(at).to_string());
        for dead in dead {
            call.arg(&*dead.item.json).arg(&*dead.error);
        }
        Ok(call.invoke_async(&mut self.connection).await?)
    }
}
