//! What the parts of a running node share.
//!
//! ```text
//! shards ─► observer ─► gate ─► (pump) ─► sink: node ─► (link) ─► Redis
//!                                         or hooks in memory
//! ```
//!
//! Threads of shards lock the gate only, for an entry in a few maps. Whatever looks at many names,
//! or waits, is on the side of the sink. Of the two locks the sink's comes first.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use heartwire::server::Handle;
use heartwire_core::Instant;
use tokio::sync::{Notify, watch};

use crate::NodeId;
use crate::clock::Clock;
use crate::hooks::Hooks;
use crate::node::Node;
use crate::outgoing::{News, Out, Outgoing};
use crate::session::Passed;
use crate::status::{PresenceEvent, Status};

/// So many changes wait in the gate at most, if the runtime does not come to move them: then the
/// threads of shards do it.
const MAX_WAITING: usize = 10_000;

/// What all parts of a node know.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    gate: Mutex<Gate>,
    sink: Mutex<Sink>,
    /// The gate has changed.
    pub(crate) gate_changed: Notify,
    /// The node has something to say.
    pub(crate) node_changed: Notify,
    /// The node has left Redis.
    pub(crate) has_left: Notify,
    /// The node's id, while it has a lease and Redis answers.
    pub(crate) joined: watch::Sender<Option<NodeId>>,
    /// Redis was started again, or another one took its place: its streams may lack what was read.
    pub(crate) is_other_redis: AtomicBool,
    pub(crate) server: OnceLock<Handle>,
    failed: AtomicBool,
    on_event: Box<dyn Fn(PresenceEvent) + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What is decided when a session comes or goes.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) outgoing: Outgoing,
    /// What has passed, and when, which may be some time before it goes to the sink, in order.
    passed: VecDeque<(Instant, Passed)>,
}

impl Gate {
    pub(crate) fn handle(&mut self, now: Instant, shard: usize, news: News) {
        let passed = self.outgoing.handle(now, shard, news);
        self.passed.extend(passed.map(|passed| (now, passed)));
    }
}

/// Where it goes.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    /// With Redis.
    pub(crate) node: Option<Node>,
    /// Without it, or `None` if there is no hook.
    pub(crate) hooks: Option<Hooks>,
    /// The incident that is not over.
    incident: Option<Box<str>>,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        outgoing: Outgoing,
        sink: Sink,
        on_event: Box<dyn Fn(PresenceEvent) + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            gate: Mutex::new(Gate { outgoing, passed: VecDeque::new() }),
            sink: Mutex::new(sink),
            gate_changed: Notify::new(),
            node_changed: Notify::new(),
            has_left: Notify::new(),
            joined: watch::Sender::new(None),
            is_other_redis: AtomicBool::new(false),
            server: OnceLock::new(),
            failed: AtomicBool::new(false),
            on_event,
        })
    }

    /// Tells the application.
    pub(crate) fn tell(&self, event: PresenceEvent) {
        (self.on_event)(event);
    }

    /// A part has ended that should not.
    pub(crate) fn fail(&self, part: &'static str, error: &str) {
        self.failed.store(true, Relaxed);
        tracing::error!(part, error, "a part of presence has failed: start this server again");
        self.tell(PresenceEvent::Failed { part, error: error.into() });
    }

    /// Changes what waits in the gate.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Gate, Instant) -> T) -> T {
        let mut gate = lock(&self.gate);
        let now = self.clock.now();
        let result = change(&mut gate, now);
        let is_full = gate.passed.len() >= MAX_WAITING;
        drop(gate);
        if is_full {
            self.pump(None);
        }
        self.gate_changed.notify_one();
        result
    }

    /// Moves what is to be told now from the gate to the sink. Adds events to be told. Returns when
    /// there is more, if nothing happens before.
    pub(crate) fn pump(&self, events: Option<&mut Vec<PresenceEvent>>) -> Option<Instant> {
        let mut sink = lock(&self.sink);
        let (passed, out, deadline) = {
            let mut gate = lock(&self.gate);
            let (now, wall) = (self.clock.now(), self.clock.wall());
            let passed = core::mem::take(&mut gate.passed);
            let mut out = Vec::new();
            // A shard that moves what is full leaves the rest to the task.
            if events.is_some() {
                out.extend(core::iter::from_fn(|| gate.outgoing.poll(now, wall)));
            }
            (passed, out, gate.outgoing.deadline())
        };
        let now = self.clock.now();
        let is_news = !passed.is_empty() || !out.is_empty();
        for (at, passed) in passed {
            sink.pass(at, passed);
        }
        let mut told = Vec::new();
        for out in out {
            told.extend(sink.take(now, out));
        }
        drop(sink);
        if let Some(events) = events {
            events.append(&mut told);
        }
        if is_news {
            self.node_changed.notify_one();
        }
        deadline
    }

    /// The side of what is told.
    pub(crate) fn sink(&self) -> MutexGuard<'_, Sink> {
        lock(&self.sink)
    }

    /// Does something with the node; `None` without Redis.
    pub(crate) fn node<T>(&self, with: impl FnOnce(&mut Node, Instant) -> T) -> Option<T> {
        let mut sink = lock(&self.sink);
        let now = self.clock.now();
        sink.node.as_mut().map(|node| with(node, now))
    }

    pub(crate) fn status(&self) -> Status {
        let sink = lock(&self.sink);
        let gate = lock(&self.gate);
        let (counts, names) = (gate.outgoing.counts(), gate.outgoing.names());
        drop(gate);
        let now = self.clock.now();
        let figures = sink.node.as_ref().map(|node| node.figures(now));
        let joined = sink.node.as_ref().zip(figures).filter(|(_, figures)| figures.is_joined);
        Status {
            connected: figures.map(|figures| figures.is_connected),
            node: joined.map(|(node, _)| node.id().clone()),
            names,
            waiting: figures.map_or(0, |figures| figures.waiting),
            lag: figures.map_or_else(Default::default, |figures| figures.lag),
            fenced: figures.map_or(0, |figures| figures.fenced),
            held: counts.held,
            held_by_incident: counts.held_by_incident,
            incident: sink.incident.clone(),
            incidents: counts.incidents,
            offline: counts.offline,
            cancelled: counts.cancelled,
            hooks: sink.hooks.as_ref().map(Hooks::status),
            failed: self.failed.load(Relaxed),
        }
    }
}

impl Sink {
    pub(crate) fn new(node: Option<Node>, hooks: Option<Hooks>) -> Self {
        Self { node, hooks, incident: None }
    }

    fn pass(&mut self, now: Instant, passed: Passed) {
        if let Some(node) = &mut self.node {
            node.passed(now, passed);
        } else if let Some(hooks) = &self.hooks {
            hooks.tell(&passed);
        }
    }

    fn take(&mut self, now: Instant, out: Out) -> Option<PresenceEvent> {
        let (kind, detail, event) = match out {
            Out::Passed(passed) => {
                self.pass(now, passed);
                return None;
            }
            Out::Incident(incident) => {
                self.incident = Some(incident.incident.clone());
                tracing::warn!("incident {}", incident.text);
                let detail = serde_json::to_string(&incident);
                ("incident", detail, PresenceEvent::Incident(incident))
            }
            Out::IncidentOver(over) => {
                self.incident = None;
                tracing::warn!("{over}");
                let detail = serde_json::to_string(&over);
                ("incident_over", detail, PresenceEvent::IncidentOver(over))
            }
        };
        // Numbers and texts only: there is nothing that JSON could not have.
        let detail = detail.unwrap_or_default();
        if let Some(node) = &mut self.node {
            node.tell(kind, detail.into());
        } else if let Some(hooks) = &self.hooks {
            hooks.tell_incident(kind, &detail);
        }
        Some(event)
    }
}

/// Ignores poisoning: a panic is [told](Shared::fail), and what is left may still be right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
