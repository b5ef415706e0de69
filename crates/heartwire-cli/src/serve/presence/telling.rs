//! Tells what presence and hooks report, in events and in the log.

use heartwire_presence::{HookEvent, PresenceEvent};

use super::lines::{HookState, PresenceState};
use crate::output::{Millis, Sink, inform, warn};
use crate::serve::feed::Feed;
use crate::serve::http::Observer;
use crate::serve::lines::Line;

/// Where it is told.
#[derive(Debug)]
pub(in crate::serve) struct Telling {
    pub(in crate::serve) output: Sink<Feed>,
    pub(in crate::serve) http: Option<Observer>,
}

impl Telling {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are all of presence")]
    pub(super) fn tell(&self, event: &PresenceEvent) {
        match event {
            PresenceEvent::Incident(incident) => {
                self.say("incident", true, || Line::Incident(incident.into()));
            }
            PresenceEvent::IncidentOver(over) => {
                self.say("incident_over", false, || Line::IncidentOver(over.into()));
            }
            PresenceEvent::Hook(event) => {
                let state = HookState::from(event);
                self.say("hook", state.state != "works", || Line::Hook(state.clone()));
            }
            other => {
                let (state, is_bad) = presence(other);
                self.say("presence", is_bad, || Line::Presence(state.clone()));
            }
        }
    }

    fn say(&self, kind: &'static str, is_bad: bool, line: impl Fn() -> Line) {
        // Without the column that events have.
        let text = line().to_string();
        let text = text.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
        let what = kind.replace('_', " ");
        if is_bad {
            warn(format_args!("{what}: {text}"));
        } else {
            inform(format_args!("{what}: {text}"));
        }
        if let Some(http) = &self.http {
            http.pass_on(kind, line());
        }
        self.output.put(|feed| feed.push_own(line()));
    }
}

/// The line of an event, and whether an operator should look.
fn presence(event: &PresenceEvent) -> (PresenceState, bool) {
    let state =
        |state| PresenceState { state, node: None, names: None, detail: None, lasted_ms: None };
    match event {
        PresenceEvent::Joined { node, namesake } => {
            let other = namesake.as_ref();
            let detail = other.map(|other| format!("{other} has the same name, or had it before"));
            let node = Some(node.to_string());
            (PresenceState { node, detail, ..state("joined") }, namesake.is_some())
        }
        PresenceEvent::Lost { error } => {
            (PresenceState { detail: Some(error.to_string()), ..state("lost") }, true)
        }
        PresenceEvent::Back { lost_for } => {
            (PresenceState { lasted_ms: Some(Millis(*lost_for)), ..state("back") }, false)
        }
        PresenceEvent::Fenced { node } => {
            (PresenceState { node: Some(node.to_string()), ..state("fenced") }, true)
        }
        PresenceEvent::Emptied => (state("emptied"), true),
        PresenceEvent::Differed { names } => {
            (PresenceState { names: Some(*names), ..state("differed") }, false)
        }
        PresenceEvent::NodeLost { node } => {
            (PresenceState { node: Some(node.to_string()), ..state("node_lost") }, true)
        }
        PresenceEvent::Failed { part, error } => {
            let detail = Some(format!("{part}: {error}"));
            (PresenceState { detail, ..state("failed") }, true)
        }
        // Told as lines of their own; and the library may learn new events.
        other @ (PresenceEvent::Incident(_)
        | PresenceEvent::IncidentOver(_)
        | PresenceEvent::Hook(_)
        | _) => (PresenceState { detail: Some(format!("{other:?}")), ..state("other") }, false),
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
