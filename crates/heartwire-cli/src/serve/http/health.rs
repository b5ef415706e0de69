//! Whether the server is alive, and whether it takes new clients.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use heartwire::server::Handle;
use heartwire::server::limits::Refusal;
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

    /// What the server has so little left of that it would refuse new clients.
    pub(super) fn set_short(&self, short: Vec<&'static str>) {
        self.lock().short = short;
    }

    pub(super) fn hanging(&self) -> Vec<usize> {
        self.lock().hanging.clone()
    }

    /// Why new clients had better go elsewhere; empty if the server is ready. `server` once it
    /// listens.
    pub(super) fn reasons(&self, server: Option<&Handle>) -> Vec<String> {
        let state = self.lock();
        let mut reasons = Vec::new();
        match state.phase {
            Phase::Starting => reasons.push("starting".to_owned()),
            Phase::Running => {}
            Phase::Draining { .. } => reasons.push("draining".to_owned()),
        }
        if let Some(server) = server {
            reasons.extend(refusing(server).map(|cause| format!("refusing_{}", cause.name())));
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
    pub(super) fn ready(&self, server: Option<&Handle>) -> Response {
        #[derive(Serialize)]
        struct Ready {
            ready: bool,
            reasons: Vec<String>,
        }
        let reasons = self.reasons(server);
        let ready = reasons.is_empty();
        json(status(ready), &Ready { ready, reasons })
    }
}

/// For which of its limits a server refuses every client now. Its events do not say: it notices
/// that there is room again when the next client comes, and none comes to one that is not ready.
fn refusing(server: &Handle) -> impl Iterator<Item = Refusal> {
    let held = server.held();
    let is_full = held.sessions.used >= held.sessions.max;
    let descriptors = held.descriptors.map(|level| level.used >= level.max);
    let is_out = descriptors.unwrap_or_else(no_descriptor_is_left);
    let full = is_full.then_some(Refusal::SessionLimit);
    full.into_iter().chain(is_out.then_some(Refusal::Descriptors))
}

#[cfg(unix)]
fn no_descriptor_is_left() -> bool {
    use rustix::io::Errno;
    let failed = std::fs::File::open("/dev/null").err();
    let number = failed.and_then(|error| Errno::from_io_error(&error));
    matches!(number, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
fn no_descriptor_is_left() -> bool {
    false
}

const fn status(is_well: bool) -> StatusCode {
    if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_from_its_start_to_its_drain() {
        let health = Health::default();
        assert_eq!(health.reasons(None), ["starting"]);
        health.started();
        assert!(health.reasons(None).is_empty());
        let window = Duration::from_secs(7);
        assert_eq!(health.drain(window), window);
        assert_eq!(health.drain(Duration::ZERO), window, "the first counts");
        assert_eq!(health.reasons(None), ["draining"]);
        assert_eq!(health.live().status(), StatusCode::OK);
    }

    #[test]
    fn a_hanging_shard_is_neither_live_nor_ready() {
        let health = Health::default();
        health.started();
        health.set_hanging(vec![1]);
        assert_eq!(health.live().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(health.reasons(None), ["hanging"]);
        health.set_short(vec!["backlog"]);
        assert_eq!(health.reasons(None), ["short_of_backlog", "hanging"]);
        health.set_short(Vec::new());
        health.set_hanging(Vec::new());
        assert_eq!(health.live().status(), StatusCode::OK);
        assert_eq!(health.ready(None).status(), StatusCode::OK);
    }
}
