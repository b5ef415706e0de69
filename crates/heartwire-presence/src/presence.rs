//! A running node.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

use heartwire::server::{EpochClock, Handle};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time;

use crate::clock::Clock;
use crate::hooks::{Hook, Hooks};
use crate::link::Link;
use crate::node::Node;
use crate::outgoing::Outgoing;
use crate::shared::{Shared, Sink};
use crate::store::{Store, StoreError};
use crate::{Config, NodeId, Observer, PresenceEvent, StartError, Status, commands, pump};

/// How long a start waits for Redis: to check how it is set up, to set the clock that epochs come
/// from, and to take a lease.
const START_WITHIN: Duration = Duration::from_secs(2);

/// Presence of one server: tells other servers and programs which of its names are online, and ends
/// sessions here that have a newer one elsewhere. [The crate](crate) has an example.
///
/// Heartbeats and data cost nothing of it. Dropping it without [`close`](Self::close) looks to
/// other nodes as if this one had been killed.
pub struct Presence {
    shared: Arc<Shared>,
    parts: Parts,
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Presence {
    /// Starts a node on the present runtime of tokio, before its server. Waits for Redis for 2 s;
    /// then it goes on without it, and Redis is checked when it answers.
    ///
    /// `on_event` is called by tasks of the runtime, and should not block.
    ///
    /// # Errors
    ///
    /// [`StartError`]: Redis answers and will not do, or the hook cannot work.
    pub async fn start(
        config: Config,
        on_event: impl Fn(PresenceEvent) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let Config { node: name, address, redis, hook, lease, settings } = config;
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|_| StartError::NoRandomness)?;
        let seed = u64::from_ne_bytes(seed);
        let on_event = Arc::new(on_event);
        let start = |hook: Hook| {
            let on_event = Arc::clone(&on_event);
            let tell = move |event| on_event(PresenceEvent::Hook(event));
            match &redis {
                None => Hooks::in_memory(&hook, NodeId::new(&name, fastrand::u32(..)), tell),
                Some(redis) => Hooks::on_stream(&hook, redis.clone(), &name, lease, tell),
            }
        };
        let hooks = hook.map(start).transpose()?;
        let clock = Clock::new();
        let now = clock.now();
        let outgoing = Outgoing::new(settings, &name, now);
        let node = redis.as_ref().map(|_| Node::new(now, name, address, seed).lease(lease));
        let sink = Sink::new(node, hooks);
        let tell = Box::new(move |event| on_event(event));
        let shared = Shared::new(clock, outgoing, sink, tell);
        let mut parts = vec![Part::new("pump", pump::run(Arc::clone(&shared)))];
        if let Some(redis) = redis {
            let until = time::Instant::now() + START_WITHIN;
            let first = time::timeout_at(until, Store::connect(&redis)).await;
            let first = first.unwrap_or_else(|_| Err(late()));
            if let Err(error) = &first
                && !matches!(error, StoreError::Silent(_))
            {
                return Err(StartError::redis(&redis, error));
            }
            let is_there = first.is_ok();
            let link = Link::new(Arc::clone(&shared), redis.clone(), lease);
            parts.push(Part::new("link", link.run(first)));
            parts.push(Part::new("commands", commands::run(Arc::clone(&shared), redis)));
            let this = Self { parts: Parts::start(&shared, parts), shared };
            if is_there {
                let mut joined = this.shared.joined.subscribe();
                // Later otherwise.
                let _ = time::timeout_at(until, joined.wait_for(Option::is_some)).await;
            }
            return Ok(this);
        }
        Ok(Self { parts: Parts::start(&shared, parts), shared })
    }

    /// The clock of its server: with Redis it follows that of Redis, so that epochs of all nodes
    /// compare. For [`ServerConfig::epoch_clock`](heartwire::server::ServerConfig::epoch_clock).
    #[must_use]
    pub fn epoch_clock(&self) -> EpochClock {
        self.shared.clock.epochs().clone()
    }

    /// What hands the server's events to this node.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer::new(Arc::clone(&self.shared))
    }

    /// Connects the server, once it runs: without it no session is ended that has a newer one
    /// elsewhere. Only the first call counts.
    pub fn attach(&self, server: Handle) {
        // A second server would have other sessions.
        let _ = self.shared.server.set(server);
        self.shared.node_changed.notify_one();
    }

    /// How presence is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Ends presence, after the server: what is held back is told as it is, and the node leaves the
    /// others. Waits for that, and for the hook, for `within` at most. What Redis was not told by
    /// then it is told by other nodes, when the lease is over.
    pub async fn close(self, within: Duration) {
        let until = time::Instant::now() + within;
        self.shared.change(|gate, now| gate.outgoing.close(now));
        let mut events = Vec::new();
        self.shared.pump(Some(&mut events));
        events.into_iter().for_each(|event| self.shared.tell(event));
        if self.shared.node(|node, _| node.close()).is_some() {
            self.shared.node_changed.notify_one();
            if time::timeout_at(until, self.shared.has_left.notified()).await.is_err() {
                tracing::warn!("Redis was not told everything: other nodes will tell the rest");
            }
        }
        let hooks = self.shared.sink().hooks.take();
        if let Some(hooks) = hooks {
            hooks.close(until.saturating_duration_since(time::Instant::now())).await;
        }
        drop(self.parts);
    }
}

/// Redis has not answered in time.
fn late() -> StoreError {
    let error = std::io::Error::from(std::io::ErrorKind::TimedOut);
    redis::RedisError::from(error).into()
}

/// A part that runs for as long as the node.
struct Part {
    name: &'static str,
    run: core::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Part {
    fn new(name: &'static str, run: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { name, run: Box::pin(run) }
    }
}

/// The parts that run. Dropping it ends them.
#[derive(Debug)]
struct Parts {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Parts {
    fn start(shared: &Arc<Shared>, parts: Vec<Part>) -> Self {
        let mut running = JoinSet::new();
        let names: HashMap<_, _> =
            parts.into_iter().map(|part| (running.spawn(part.run).id(), part.name)).collect();
        let own = Arc::clone(shared);
        let task = tokio::spawn(async move {
            while let Some(ended) = running.join_next_with_id().await {
                let (id, error) = match ended {
                    Ok((id, ())) => (id, None),
                    Err(error) => (error.id(), Some(error.to_string())),
                };
                let name = names.get(&id).copied().unwrap_or_default();
                // The link ends when the node has left.
                if let Some(error) = error {
                    own.fail(name, &error);
                }
            }
        });
        Self { shared: Arc::clone(shared), task }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.task.abort();
        // Observers may live on.
        drop(self.shared.sink().hooks.take());
    }
}
