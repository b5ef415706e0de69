//! Who is online, and then every change of it.

mod look;
mod snapshot;
mod stream;

use core::fmt;
use core::pin::Pin;
use core::time::Duration;
use std::collections::VecDeque;

use heartwire_core::Backoff;
use tokio::time;

use crate::directory::{Link, RedisError};
use crate::link::backoff;
use crate::store::{Address, StreamId};
use crate::{Change, Entry};

use look::Origin;
use snapshot::{Snapshot, Step};
use stream::Batch;

/// How long a read of the stream waits for something new. Half the time after which a Redis that
/// was emptied, or another one in its place, is noticed at the latest if nothing changes.
pub(crate) const BLOCK: Duration = Duration::from_secs(2);

/// What a [`Reader`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// All names that are online. It replaces all that was told before.
    #[non_exhaustive]
    Snapshot {
        /// Why all is told, and no changes.
        because: Because,
        /// The names, in no order.
        entries: Vec<Entry>,
    },
    /// A change, after the snapshot and in order: insert what is [online](crate::Kind::Online) or
    /// [moved](crate::Kind::Moved), and take out what is [offline](crate::Kind::Offline).
    ///
    /// Do so whatever the epochs are. A client that connects anew to the same node changes nothing
    /// of presence, so that is not told: the change after it has a higher epoch than the entry.
    Change(Change),
    /// An incident began or is over: many names lost at once, for one cause.
    #[non_exhaustive]
    Incident {
        /// Orders it among the changes ([`Change::number`]).
        number: u64,
        /// Whether it is over.
        is_over: bool,
        /// What the node says of it: [`Incident`](crate::Incident) or
        /// [`IncidentOver`](crate::IncidentOver), as JSON.
        detail: Box<str>,
    },
    /// Redis does not answer. What was told still counts, and changes are told when it is back; the
    /// reader goes on trying.
    Disconnected(RedisError),
    /// Redis answers again. Nothing was missed, unless a [snapshot](Self::Snapshot) follows.
    Connected,
}

/// Why a snapshot is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Because {
    /// It is the first.
    First,
    /// Redis was emptied. Nodes announce their names again within a minute, as a rule in seconds:
    /// until then presence lacks them.
    Emptied,
    /// Redis was started again, or another one took its place, which may lack the last changes.
    AnotherServer,
    /// The reader came so late that changes were dropped before it read them.
    FellBehind,
}

impl Because {
    /// A short name that does not change between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Emptied => "emptied",
            Self::AnotherServer => "another_server",
            Self::FellBehind => "fell_behind",
        }
    }
}

/// A snapshot of presence, followed by every change, without a gap and each once.
///
/// Call [`next`](Self::next) in a loop. The reader keeps no names, except while it takes a
/// snapshot; those that an application needs are the application's to keep. It survives all that
/// happens to Redis, and says what did:
///
/// - Redis away, or a path that swallows packets: [`Reading::Disconnected`] within 5 s, then
///   attempts after 2 s at most, and [`Reading::Connected`].
/// - Redis emptied, restarted or failed over, or the reader further behind than the 1,000,000
///   changes that Redis keeps: a new [`Reading::Snapshot`].
///
/// It reads from a replica as well, which may lag.
///
/// ```no_run
/// # async fn follow() -> Result<(), heartwire_presence::RedisError> {
/// use std::collections::HashMap;
///
/// use heartwire_presence::{Directory, Kind, Reading};
///
/// let mut reader = Directory::connect("redis://10.0.0.5").await?.reader();
/// let mut online = HashMap::new();
/// loop {
///     match reader.next().await {
///         Reading::Snapshot { entries, .. } => {
///             online = entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
///         }
///         Reading::Change(change) if change.kind == Kind::Offline => {
///             online.remove(&change.entry.name);
///         }
///         Reading::Change(change) => {
///             online.insert(change.entry.name.clone(), change.entry);
///         }
///         other => eprintln!("{other:?}"),
///     }
/// }
/// # }
/// ```
pub struct Reader {
    /// The next step, under way. It is kept, so that a dropped call of [`next`](Self::next) does
    /// not leave a half read answer behind.
    step: Pin<Box<dyn Future<Output = Source> + Send>>,
    ready: VecDeque<Reading>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(address: Address) -> Self {
        let source = Source {
            address,
            link: None,
            backoff: backoff(),
            rest: Duration::ZERO,
            is_away: false,
            stage: Stage::Begin(Because::First),
            ready: VecDeque::new(),
        };
        Self { step: Box::pin(source.go()), ready: VecDeque::new() }
    }

    /// The next reading. Waits as long as nothing changes.
    ///
    /// Cancel safe: a call that is dropped loses nothing.
    pub async fn next(&mut self) -> Reading {
        loop {
            if let Some(reading) = self.ready.pop_front() {
                return reading;
            }
            let mut source = self.step.as_mut().await;
            self.ready = core::mem::take(&mut source.ready);
            self.step = Box::pin(source.go());
        }
    }
}

/// Where readings come from.
#[derive(Debug)]
struct Source {
    address: Address,
    link: Option<Link>,
    backoff: Backoff,
    /// Before the next attempt to connect.
    rest: Duration,
    /// It was told that Redis is away.
    is_away: bool,
    stage: Stage,
    ready: VecDeque<Reading>,
}

#[derive(Debug)]
enum Stage {
    /// A snapshot is to be taken.
    Begin(Because),
    /// It is being taken.
    Snapshot(Box<Snapshot>),
    /// It was told, and what came after it up to here.
    Follow(Origin, StreamId),
}

impl Source {
    async fn go(mut self) -> Self {
        if let Err(error) = self.step().await {
            self.fail(error);
        }
        self
    }

    async fn step(&mut self) -> Result<(), RedisError> {
        if !self.rest.is_zero() {
            time::sleep(core::mem::take(&mut self.rest)).await;
        }
        if self.link.is_none() {
            self.link = Some(Link::open(&self.address).await?);
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        match &mut self.stage {
            Stage::Begin(because) => {
                let snapshot = Snapshot::begin(link, *because).await?;
                self.stage = Stage::Snapshot(Box::new(snapshot));
            }
            Stage::Snapshot(snapshot) => match snapshot.step(link).await? {
                Step::More => {}
                Step::Again => self.stage = Stage::Begin(snapshot.because()),
                Step::Done { origin, at, because, entries } => {
                    self.stage = Stage::Follow(origin, at);
                    self.succeed();
                    self.ready.push_back(Reading::Snapshot { because, entries });
                }
            },
            Stage::Follow(origin, at) => match stream::read(link, origin, *at).await? {
                Batch::Read { readings, end } => {
                    *at = end;
                    self.succeed();
                    self.ready.extend(readings);
                }
                Batch::Gap(because) => self.stage = Stage::Begin(because),
            },
        }
        Ok(())
    }

    /// All that was to be read was read.
    fn succeed(&mut self) {
        self.backoff = backoff();
        if self.is_away {
            self.is_away = false;
            self.ready.push_back(Reading::Connected);
        }
    }

    fn fail(&mut self, error: RedisError) {
        self.link = None;
        self.rest = self.backoff.next_wait();
        match &mut self.stage {
            // A place in Redis' table is that of one server.
            Stage::Snapshot(snapshot) => self.stage = Stage::Begin(snapshot.because()),
            Stage::Begin(_) => {}
            Stage::Follow(origin, _) => origin.doubt(),
        }
        if !self.is_away {
            self.is_away = true;
            self.ready.push_back(Reading::Disconnected(error));
        }
    }
}

#[cfg(test)]
mod tests;
