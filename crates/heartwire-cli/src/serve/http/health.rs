//! Whether the server is alive, and whether it takes new clients.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use heartwire::server::limits::Refusal;
use heartwire::server::{Event, Handle};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::reply::json;

/// Between questions whether all shards turn, and how long each has to answer.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A shard that has left so many questions unanswered hangs. They are counted, and not the time, in
/// which this process may have been paused.
const MAX_MISSED: u32 = 5;

/// What `/livez` and `/readyz` tell.
#[derive(Debug, Default)]
pub(super) struct Health {
    is_hanging: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Why each shard refuses clients, if it does.
    refusing: BTreeMap<usize, &'static str>,
    /// What the server runs out of.
    short: Vec<&'static str>,
    hanging: Vec<usize>,
}

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Starting,
    Running,
    Draining {
        window: Duration,
    },
}

impl Health {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server listens.
    pub(super) fn started(&self) {
        self.lock().phase = Phase::Running;
    }

    /// To be called before a drain begins. Returns its window: that of an earlier one if there is.
    pub(super) fn drain(&self, window: Duration) -> Duration {
        let mut state = self.lock();
        if let Phase::Draining { window } = state.phase {
            return window;
        }
        state.phase = Phase::Draining { window };
        window
    }

    /// What an event of a shard says about its readiness.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others say nothing about it")]
    pub(super) fn observe<D>(&self, shard: usize, event: &Event<D>) {
        match event {
            // One address that has too many sessions is no reason for others to go elsewhere.
            Event::Refusing { cause: Refusal::AddressSessions } => {}
            Event::Refusing { cause } => drop(self.lock().refusing.insert(shard, cause.name())),
            Event::Accepting { .. } => drop(self.lock().refusing.remove(&shard)),
            _ => {}
        }
    }

    /// Asks the shards whether they turn, for as long as the program runs.
    pub(super) async fn watch(&self, server: &Handle) {
        let mut missed = BTreeMap::new();
        let mut question = interval(ASK_EVERY);
        question.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            question.tick().await;
            let late = server.turned(ASK_EVERY).await;
            missed = late.into_iter().map(|at| (at, missed.get(&at).unwrap_or(&0) + 1)).collect();
            let hanging = missed.iter().filter(|&(_, &count)| count >= MAX_MISSED);
            self.set_hanging(hanging.map(|(&shard, _)| shard).collect());
        }
    }

    fn set_hanging(&self, shards: Vec<usize>) {
        self.is_hanging.store(!shards.is_empty(), Relaxed);
        self.lock().hanging = shards;
    }

    pub(super) fn hanging(&self) -> Vec<usize> {
        self.lock().hanging.clone()
    }

    /// Why new clients had better go elsewhere; empty if the server is ready.
    pub(super) fn reasons(&self) -> Vec<String> {
        let state = self.lock();
        let mut reasons = Vec::new();
        match state.phase {
            Phase::Starting => reasons.push("starting".to_owned()),
            Phase::Running => {}
            Phase::Draining { .. } => reasons.push("draining".to_owned()),
        }
        for cause in state.refusing.values() {
            let reason = format!("refusing_{cause}");
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        reasons.extend(state.short.iter().map(|resource| format!("short_of_{resource}")));
        if !state.hanging.is_empty() {
            reasons.push("hanging".to_owned());
        }
        reasons
    }

    /// `/livez`.
    pub(super) fn live(&self) -> Response {
        #[derive(Serialize)]
        struct Live {
            live: bool,
            hanging_shards: Vec<usize>,
        }
        let live = !self.is_hanging.load(Relaxed);
        let hanging_shards = if live { Vec::new() } else { self.hanging() };
        json(status(live), &Live { live, hanging_shards })
    }

    /// `/readyz`.
    pub(super) fn ready(&self) -> Response {
        #[derive(Serialize)]
        struct Ready {
            ready: bool,
            reasons: Vec<String>,
        }
        let reasons = self.reasons();
        let ready = reasons.is_empty();
        json(status(ready), &Ready { ready, reasons })
    }
}

const fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_from_its_start_to_its_drain_while_it_refuses_nothing() {
        let health = Health::default();
        let refuse = |shard, cause| health.observe::<&[u8]>(shard, &Event::Refusing { cause });
        let accept = |shard| health.observe::<&[u8]>(shard, &Event::Accepting { refused: 1 });
        assert_eq!(health.reasons(), ["starting"]);
        health.started();
        refuse(0, Refusal::AddressSessions);
        assert!(health.reasons().is_empty());
        accept(0);
        refuse(0, Refusal::SessionLimit);
        refuse(1, Refusal::SessionLimit);
        accept(0);
        assert_eq!(health.reasons(), ["refusing_max_sessions"]);
        accept(1);
        assert!(health.reasons().is_empty());
        let window = Duration::from_secs(7);
        assert_eq!(health.drain(window), window);
        assert_eq!(health.drain(Duration::ZERO), window, "the first counts");
        assert_eq!(health.reasons(), ["draining"]);
        assert_eq!(health.live().status(), StatusCode::OK);
    }

    #[test]
    fn a_hanging_shard_is_neither_live_nor_ready() {
        let health = Health::default();
        health.started();
        health.set_hanging(vec![1]);
        assert_eq!(health.live().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(health.reasons(), ["hanging"]);
        health.set_hanging(Vec::new());
        assert_eq!(health.live().status(), StatusCode::OK);
        assert_eq!(health.ready().status(), StatusCode::OK);
    }
}
