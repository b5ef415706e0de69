//! Tells what presence and hooks report, in events and in the log.

use std::sync::{Mutex, MutexGuard, PoisonError};

use heartwire_presence::{HookEvent, PresenceEvent};

use super::lines::{HookState, PresenceState};
use crate::output::{Millis, Sink, inform, warn};
use crate::serve::feed::Feed;
use crate::serve::http::Observer;
use crate::serve::lines::Line;

/// Tells it. What happens before the first line waits for it.
#[derive(Debug)]
pub(in crate::serve) struct Telling {
    output: Sink<Feed>,
    http: Option<Observer>,
    waiting: Mutex<Option<Vec<PresenceEvent>>>,
}

/// How an event is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// An operator should look.
    Warn,
    Inform,
    /// The library has logged it.
    No,
}

impl Telling {
    pub(in crate::serve) const fn new(output: Sink<Feed>, http: Option<Observer>) -> Self {
        Self { output, http, waiting: Mutex::new(Some(Vec::new())) }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<PresenceEvent>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first line is there.
    pub(super) fn begin(&self) {
        let mut waiting = self.waiting();
        waiting.take().into_iter().flatten().for_each(|event| self.say(&event));
    }

    pub(super) fn tell(&self, event: PresenceEvent) {
        match &mut *self.waiting() {
            Some(waiting) => waiting.push(event),
            None => self.say(&event),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are all of presence")]
    fn say(&self, event: &PresenceEvent) {
        match event {
            PresenceEvent::Incident(incident) => {
                self.say_line("incident", Log::No, || Line::Incident(incident.into()));
            }
            PresenceEvent::IncidentOver(over) => {
                self.say_line("incident_over", Log::No, || Line::IncidentOver(over.into()));
            }
            PresenceEvent::Hook(event) => {
                let state = HookState::from(event);
                let log = if state.state == "works" { Log::Inform } else { Log::Warn };
                self.say_line("hook", log, || Line::Hook(state.clone()));
            }
            other => {
                let (state, log) = presence(other);
                self.say_line("presence", log, || Line::Presence(state.clone()));
            }
        }
    }

    fn say_line(&self, kind: &'static str, log: Log, line: impl Fn() -> Line) {
        // Without the column that events have.
        let text = line().to_string();
        let text = text.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
        match log {
            Log::Warn => warn(format_args!("{kind}: {text}")),
            Log::Inform => inform(format_args!("{kind}: {text}")),
            Log::No => {}
        }
        if let Some(http) = &self.http {
            http.pass_on(kind, line());
        }
        self.output.put(|feed| feed.push_own(line()));
    }
}

/// The line of an event, and how it is logged.
fn presence(event: &PresenceEvent) -> (PresenceState, Log) {
    let state =
        |state| PresenceState { state, node: None, names: None, detail: None, lasted_ms: None };
    match event {
        PresenceEvent::Joined { node, namesake } => {
            let other = namesake.as_ref();
            let detail = other.map(|other| format!("{other} has the same name, or had it before"));
            let node = Some(node.to_string());
            (PresenceState { node, detail, ..state("joined") }, Log::Inform)
        }
        PresenceEvent::Lost { error } => {
            (PresenceState { detail: Some(error.to_string()), ..state("lost") }, Log::No)
        }
        PresenceEvent::Back { lost_for } => {
            (PresenceState { lasted_ms: Some(Millis(*lost_for)), ..state("back") }, Log::No)
        }
        PresenceEvent::Fenced { node } => {
            (PresenceState { node: Some(node.to_string()), ..state("fenced") }, Log::Warn)
        }
        PresenceEvent::Emptied => (state("emptied"), Log::Warn),
        PresenceEvent::Differed { names } => {
            (PresenceState { names: Some(*names), ..state("differed") }, Log::Inform)
        }
        PresenceEvent::NodeLost { node } => {
            (PresenceState { node: Some(node.to_string()), ..state("node_lost") }, Log::Warn)
        }
        PresenceEvent::Failed { part, error } => {
            let detail = Some(format!("{part}: {error}"));
            (PresenceState { detail, ..state("failed") }, Log::No)
        }
        // Told as lines of their own; and the library may learn new events.
        other @ (PresenceEvent::Incident(_)
        | PresenceEvent::IncidentOver(_)
        | PresenceEvent::Hook(_)
        | _) => {
            (PresenceState { detail: Some(format!("{other:?}")), ..state("other") }, Log::Inform)
        }
    }
}

impl From<&HookEvent> for HookState {
    fn from(event: &HookEvent) -> Self {
        let state = |state| Self { state, detail: None, count: None, lasted_ms: None };
        match event {
            HookEvent::Failing { error } => {
                Self { detail: Some(error.to_string()), ..state("failing") }
            }
            HookEvent::Works { failed_for } => {
                Self { lasted_ms: Some(Millis(*failed_for)), ..state("works") }
            }
            HookEvent::DeadLetters { count, error } => {
                let detail = Some(error.to_string());
                Self { detail, count: Some(*count), ..state("dead_letters") }
            }
            HookEvent::Trimmed { .. } => {
                let detail = "Redis kept fewer changes than waited".to_owned();
                Self { detail: Some(detail), ..state("trimmed") }
            }
            other => Self { detail: Some(format!("{other:?}")), ..state("other") },
        }
    }
}
