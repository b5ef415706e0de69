//! Presence and hooks at this moment, as `/v1/stats` has it.

use heartwire_presence::{HookStatus, Status};
use serde::Serialize;

use crate::output::Millis;

#[derive(Debug, Serialize)]
pub(in crate::serve) struct Now {
    /// Its id, while the others know it.
    node: Option<String>,
    /// Whether Redis answers; `None` without it.
    connected: Option<bool>,
    waiting: usize,
    lag_ms: Millis,
    fenced: u64,
    held: usize,
    incident: Option<Box<str>>,
    hooks: Option<Hooks>,
}

#[derive(Debug, Serialize)]
struct Hooks {
    waiting: usize,
    lag_ms: Option<Millis>,
    delivered: u64,
    retries: u64,
    dead: u64,
}

impl From<Status> for Now {
    fn from(status: Status) -> Self {
        let Status { node, connected, waiting, lag, fenced, held, incident, hooks, .. } = status;
        Self {
            node: node.map(|node| node.to_string()),
            connected,
            waiting,
            lag_ms: Millis(lag),
            fenced,
            held,
            incident,
            hooks: hooks.map(Hooks::from),
        }
    }
}

impl From<HookStatus> for Hooks {
    fn from(status: HookStatus) -> Self {
        let HookStatus { queued, oldest, delivered, retries, dead, .. } = status;
        Self { waiting: queued, lag_ms: oldest.map(Millis), delivered, retries, dead }
    }
}
