//! The connection to Redis: makes the calls that the node wants, one at a time.

use core::mem::{self, Discriminant};
use core::sync::atomic::Ordering::Relaxed;
use core::time::Duration;
use std::sync::Arc;

use heartwire::BackoffPolicy;
use heartwire::server::CommandError;
use heartwire_core::{Backoff, Instant};
use tokio::time;

use crate::node::{End, Ended, Next, Node};
use crate::shared::Shared;
use crate::status::PresenceEvent;
use crate::store::{Address, Call, Setup, Store, StoreError};

/// Waits between attempts to connect: up to this at first, then up to twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest. After an outage of Redis all nodes come back within it.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// When to try again to end a session whose shard was too busy.
const END_AGAIN: Duration = Duration::from_millis(50);

/// Waits between attempts to connect to Redis.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(BackoffPolicy::default().first(FIRST_WAIT).cap(MAX_WAIT), fastrand::u64(..))
}

/// The connection of a node to Redis.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    address: Address,
    lease: Duration,
    backoff: Backoff,
    /// Since when Redis does not answer, and what was told of that.
    lost: Option<(Instant, Discriminant<StoreError>)>,
    /// Since when the connection is there.
    connected_at: Instant,
    /// Redis has refused a call, or did not make sense, while it answered others.
    is_refused: bool,
    /// Sessions that are to end.
    ends: Vec<End>,
}

impl Link {
    pub(crate) fn new(shared: Arc<Shared>, address: Address, lease: Duration) -> Self {
        let connected_at = shared.clock.now();
        Self {
            shared,
            address,
            lease,
            backoff: backoff(),
            lost: None,
            connected_at,
            is_refused: false,
            ends: Vec::new(),
        }
    }

    /// Keeps the connection until the node has left. `first` is the result of a first attempt.
    pub(crate) async fn run(mut self, first: Result<(Store, Setup), StoreError>) {
        let mut connected = first;
        loop {
            let error = match connected {
                Ok((store, setup)) => match self.serve(&store.lease(self.lease), &setup).await {
                    Ok(()) => return self.shared.has_left.notify_one(),
                    Err(error) => {
                        self.is_refused |= !matches!(error, StoreError::Silent(_));
                        error
                    }
                },
                Err(error) => error,
            };
            self.lose(&error);
            time::sleep(self.backoff.next_wait()).await;
            self.end_sessions();
            connected = Store::connect(&self.address).await;
        }
    }

    /// Makes calls until one fails, or the node has left.
    async fn serve(&mut self, store: &Store, setup: &Setup) -> Result<(), StoreError> {
        let Setup { version, identity, persistence } = setup;
        tracing::info!(%version, %persistence, "connected to Redis at {}", self.address);
        self.connected_at = self.shared.clock.now();
        let server = format!("{identity:?}");
        if self.shared.node(|node, now| node.connected(now, &server)) == Some(true) {
            self.shared.is_other_redis.store(true, Relaxed);
        }
        loop {
            let Some(next) = self.shared.node(|node, now| node.poll(now)) else { return Ok(()) };
            let Next { call, end, events, wait_until, is_closed } = next;
            self.ends.extend(end);
            self.end_sessions();
            for event in events {
                self.tell(event);
            }
            if is_closed {
                return Ok(());
            }
            let Some(call) = call else {
                self.wait(wait_until).await;
                continue;
            };
            let asked_at = self.shared.clock.now();
            let tells_time = matches!(call, Call::Join { .. } | Call::Renew { .. });
            let answer = store.call(&call).await;
            let (answer, error) = match answer {
                Ok(answer) => (Ok(answer), None),
                Err(error) => (Err(()), Some(error)),
            };
            let time = self.shared.node(|node, now| {
                node.answered(now, call, answer);
                node.store_time(now).map(|time| (time, now))
            });
            if let Some(error) = error {
                return Err(error);
            }
            if tells_time && let Some((time, at)) = time.flatten() {
                self.shared.clock.follow(time, at, at.saturating_since(asked_at) / 2);
            }
            self.hear();
        }
    }

    async fn wait(&self, until: Option<Instant>) {
        let until = until.map_or(Duration::MAX, |at| self.shared.clock.until(at));
        let is_busy = !self.ends.is_empty() && self.shared.server.get().is_some();
        let most = if is_busy { END_AGAIN } else { Duration::MAX };
        tokio::select! {
            () = self.shared.node_changed.notified() => {}
            () = time::sleep(until.min(most)) => {}
        }
    }

    /// Redis has answered.
    fn hear(&mut self) {
        // The call that it refused may be the next one.
        let connected_for = self.shared.clock.now().saturating_since(self.connected_at);
        if !self.is_refused || connected_for >= MAX_WAIT {
            self.be_back();
        }
        let joined_id = |node: &mut Node, now| {
            let is_joined = node.figures(now).is_joined;
            is_joined.then(|| node.id().clone())
        };
        let node = self.shared.node(joined_id).flatten();
        self.shared.joined.send_if_modified(|joined| {
            let is_new = *joined != node;
            *joined = node;
            is_new
        });
    }

    /// Redis answers what it is asked.
    fn be_back(&mut self) {
        self.is_refused = false;
        self.backoff = backoff();
        if let Some((since, _)) = self.lost.take() {
            let lost_for = self.shared.clock.now().saturating_since(since);
            tracing::info!(?lost_for, "Redis answers again");
            self.shared.tell(PresenceEvent::Back { lost_for });
        }
    }

    /// Redis does not answer, or will not do.
    fn lose(&mut self, error: &StoreError) {
        let _ = self.shared.joined.send_replace(None);
        let kind = mem::discriminant(error);
        let now = self.shared.clock.now();
        let since = self.lost.map_or(now, |(since, _)| since);
        let is_told = self.lost.is_some_and(|(_, told)| told == kind);
        self.lost = Some((since, kind));
        if is_told {
            return tracing::debug!(%error, "no Redis at {}", self.address);
        }
        tracing::warn!(%error, "no presence on Redis at {}: sessions go on", self.address);
        self.shared.tell(PresenceEvent::Lost { error: error.to_string().into() });
    }

    fn tell(&self, event: PresenceEvent) {
        if let PresenceEvent::Joined { node, namesake: Some(namesake) } = &event {
            tracing::warn!(
                %node, %namesake,
                "another node has this name: it was killed lately, or two run with one name"
            );
        }
        self.shared.tell(event);
    }

    /// Ends sessions; those whose shard is too busy later.
    fn end_sessions(&mut self) {
        let Some(server) = self.shared.server.get() else { return };
        self.ends.retain(|end| {
            let result = match end.why {
                Ended::TakenOver { same_client } => server.take_over(end.session, same_client),
                Ended::Kicked => server.kick(end.session),
            };
            result == Err(CommandError::Busy)
        });
    }
}
