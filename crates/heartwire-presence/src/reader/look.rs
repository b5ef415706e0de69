//! Whether Redis is still the one that a snapshot was taken from, with all that it had.

use core::time::Duration;

use redis::streams::StreamRangeReply;
use redis::{InfoDict, Pipeline, pipe};
use tokio::time::Instant;

use super::Because;
use crate::directory::{Link, RedisError, key};
use crate::store::StreamId;

/// How often the server is looked at. Its data is looked at with each read.
const EVERY: Duration = Duration::from_secs(2);

/// What Redis keeps of the stream, more or less. A stream that is as long may have lost its
/// beginning.
const KEPT: u64 = 1_000_000;

/// Where a snapshot is from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    generation: Option<String>,
    server: Server,
    /// When to look at the server again; now, if there is none.
    look_at: Option<Instant>,
}

/// Which server, and which history of writes. A server that was started again has another run id;
/// one that was made a master, or follows another one, another replication id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    run: Option<String>,
    replication: Option<String>,
}

impl Server {
    fn of(server: &InfoDict, replication: &InfoDict) -> Self {
        Self { run: server.get("run_id"), replication: replication.get("master_replid") }
    }
}

/// The ends of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// The oldest entry that is kept.
    first: Option<StreamId>,
    /// The newest entry.
    pub(super) last: StreamId,
    len: u64,
}

impl Ends {
    fn read(first: &StreamRangeReply, last: &StreamRangeReply, len: u64) -> Self {
        let id =
            |reply: &StreamRangeReply| reply.ids.first().and_then(|entry| entry.id.parse().ok());
        Self { first: id(first), last: id(last).unwrap_or_default(), len }
    }

    /// Whether all is there that came after this entry.
    fn reach(&self, at: StreamId) -> bool {
        if at == StreamId::default() {
            // There was none, so that it cannot be looked for.
            return self.len < KEPT;
        }
        self.first.is_none_or(|first| first <= at) && self.last >= at
    }
}

type Data = (Option<String>, StreamRangeReply, StreamRangeReply, u64);

fn look_at_data() -> Pipeline {
    let mut look = pipe();
    look.atomic();
    look.cmd("GET").arg(key::GENERATION);
    look.cmd("XRANGE").arg(key::EVENTS).arg("-").arg("+").arg("COUNT").arg(1);
    look.cmd("XREVRANGE").arg(key::EVENTS).arg("+").arg("-").arg("COUNT").arg(1);
    look.cmd("XLEN").arg(key::EVENTS);
    look
}

impl Origin {
    /// Looks at Redis for the first time.
    pub(super) async fn look(link: &mut Link) -> Result<(Self, Ends), RedisError> {
        let mut look = look_at_data();
        look.cmd("INFO").arg("server").cmd("INFO").arg("replication");
        type All = (Option<String>, StreamRangeReply, StreamRangeReply, u64, InfoDict, InfoDict);
        let (generation, first, last, len, server, replication): All = link.ask_all(&look).await?;
        let server = Server::of(&server, &replication);
        let look_at = Instant::now().checked_add(EVERY);
        Ok((Self { generation, server, look_at }, Ends::read(&first, &last, len)))
    }

    /// Looks again: at the server too if that is due. What was read before, after the entry `at`,
    /// is without a gap if this finds none.
    pub(super) async fn look_again(
        &mut self,
        link: &mut Link,
        at: StreamId,
    ) -> Result<Result<Ends, Because>, RedisError> {
        let (generation, ends, server) = if self.is_doubted() {
            let (now, ends) = Self::look(link).await?;
            self.look_at = now.look_at;
            (now.generation, ends, Some(now.server))
        } else {
            let (generation, first, last, len): Data = link.ask_all(&look_at_data()).await?;
            (generation, Ends::read(&first, &last, len), None)
        };
        if server.is_some_and(|server| server != self.server) {
            return Ok(Err(Because::AnotherServer));
        }
        if generation != self.generation {
            return Ok(Err(Because::Emptied));
        }
        Ok(if ends.reach(at) { Ok(ends) } else { Err(Because::FellBehind) })
    }

    /// Whether the server is to be looked at, so that what is read may be another's.
    pub(super) fn is_doubted(&self) -> bool {
        self.look_at.is_none_or(|at| at <= Instant::now())
    }

    /// The connection was lost: the next one may be to another server.
    pub(super) const fn doubt(&mut self) {
        self.look_at = None;
    }
}
