//! What Redis knows, for applications and operators.

mod error;
mod link;
mod names;
mod nodes;
mod record;

use redis::cmd;

use crate::store::{Address, Answer, Call, Store};
use crate::{Entry, NodeId, Reader};

pub use error::RedisError;
pub(crate) use link::Link;
pub use names::Names;
pub(crate) use names::Portion;
pub use nodes::{Lease, NodeInfo};

/// The keys, as nodes write them.
pub(crate) mod key {
    pub(crate) const NODES: &str = "{hw}:nodes";
    pub(crate) const REAPING: &str = "{hw}:reaping";
    pub(crate) const PRESENCE: &str = "{hw}:p";
    pub(crate) const EVENTS: &str = "{hw}:ev";
    pub(crate) const GENERATION: &str = "{hw}:gen";

    /// What a node says of itself.
    pub(crate) fn node(id: &str) -> String {
        format!("{{hw}}:node:{id}")
    }

    /// The names that a node holds.
    pub(crate) fn names(id: &str) -> String {
        format!("{{hw}}:n:{id}")
    }
}

/// Who is online on all nodes, as Redis knows it: look-ups, lists, and commands of operators.
///
/// It is no node: it takes no lease, and changes nothing but what [`kick`](Self::kick) asks for.
/// A call fails when Redis leaves one request without an answer for 5 s, or cannot be connected to
/// within 2 s; the next one connects anew. A name's entry can be
/// older than the truth by as much as its node's contact with Redis is: see the bounds in
/// `docs/presence.md`.
#[derive(Debug)]
pub struct Directory {
    address: Address,
    link: Option<Link>,
}

impl Directory {
    /// Connects to a Redis: `redis://USER:PASSWORD@HOST:PORT/DATABASE`, `rediss://` for TLS, or
    /// `redis+unix:///PATH?db=DATABASE&user=USER&pass=PASSWORD`.
    ///
    /// # Errors
    ///
    /// That is no such URL, or Redis does not answer there.
    pub async fn connect(url: &str) -> Result<Self, RedisError> {
        let mut directory = Self { address: url.parse()?, link: None };
        directory.link().await?.ask::<()>(&cmd("PING")).await?;
        Ok(directory)
    }

    /// The entry of a name; `None` if it is offline.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn get(&mut self, name: &str) -> Result<Option<Entry>, RedisError> {
        let mut get = cmd("HGET");
        get.arg(key::PRESENCE).arg(name);
        let record: Option<Vec<u8>> = self.link().await?.ask(&get).await?;
        Ok(record.and_then(|record| record::entry(name.as_bytes(), &record)))
    }

    /// How many names are online.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn count(&mut self) -> Result<u64, RedisError> {
        let mut count = cmd("HLEN");
        count.arg(key::PRESENCE);
        self.link().await?.ask(&count).await
    }

    /// All names that are online, in portions and in no order, so that a long list delays nothing
    /// else in Redis. Names that come or go meanwhile are in it or not; a [`Reader`] knows them.
    pub fn list(&mut self) -> Names<'_> {
        Names::new(self)
    }

    /// The nodes that Redis knows, by name: those with a lease, and those whose lease is over.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn nodes(&mut self) -> Result<Vec<NodeInfo>, RedisError> {
        nodes::nodes(self.link().await?).await
    }

    /// Has the node of a name end its session, and answers which node that is; `None` if the name
    /// is not online, or was on a node that is dead.
    ///
    /// The node does so when it reads the command, at once as a rule: the name's offline event
    /// tells that it has. A session that is newer than this call is not meant.
    ///
    /// # Errors
    ///
    /// Redis did not answer, or must not be written to: a replica.
    pub async fn kick(&self, name: &str) -> Result<Option<NodeId>, RedisError> {
        let failed = |error| RedisError::new(&self.address, &error);
        let (store, _) = Store::connect(&self.address).await.map_err(failed)?;
        let answer = store.call(&Call::Kick { name: name.into() }).await.map_err(failed)?;
        if let Answer::Kicked(node) = answer { Ok(node) } else { Ok(None) }
    }

    /// A reader of its own connection to the same Redis.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.address.clone())
    }

    /// A connection that works, as far as is known.
    async fn link(&mut self) -> Result<&mut Link, RedisError> {
        let link = match self.link.take() {
            Some(link) if !link.is_broken() => link,
            _ => Link::open(&self.address).await?,
        };
        Ok(self.link.insert(link))
    }
}

#[cfg(test)]
mod tests;
