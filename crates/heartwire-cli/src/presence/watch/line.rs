//! What `watch` prints.

use core::fmt;
use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use heartwire_presence::{Change, Entry, Kind, Reading};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::date;

/// A line. `docs/events.md` describes them.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line {
    Snapshot { because: &'static str, names: u64 },
    Entry(Entry),
    Online(Told),
    Moved(Told),
    Offline(Told),
    Incident(Incident),
    IncidentOver(Incident),
    Disconnected { detail: String },
    Connected {},
}

/// A change.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    number: u64,
    #[serde(flatten)]
    entry: Entry,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<Box<str>>,
}

/// An incident, as its node tells it.
#[derive(Debug, Serialize)]
pub(super) struct Incident {
    number: u64,
    says: Map<String, Value>,
}

impl Line {
    /// `None` of what a later version of the library tells.
    pub(super) fn of(reading: Reading) -> Option<Self> {
        match reading {
            Reading::Change(change) => Self::of_change(change),
            Reading::Incident { number, is_over, detail, .. } => {
                // What is no object says nothing.
                let says = serde_json::from_str(&detail).unwrap_or_default();
                let incident = Incident { number, says };
                Some(if is_over { Self::IncidentOver(incident) } else { Self::Incident(incident) })
            }
            Reading::Disconnected(error) => Some(Self::Disconnected { detail: error.to_string() }),
            Reading::Connected => Some(Self::Connected {}),
            Reading::Snapshot { .. } | _ => None,
        }
    }

    fn of_change(change: Change) -> Option<Self> {
        let Change { number, kind, entry, from, reason, incident, .. } = change;
        let told = Told { number, entry, from: from.map(|it| it.to_string()), reason, incident };
        match kind {
            Kind::Online => Some(Self::Online(told)),
            Kind::Moved => Some(Self::Moved(told)),
            Kind::Offline => Some(Self::Offline(told)),
            _ => None,
        }
    }

    /// When it happened. The number of a change is its time, or a little more.
    pub(super) fn time(&self) -> SystemTime {
        let micros = match self {
            Self::Online(told) | Self::Moved(told) | Self::Offline(told) => told.number,
            Self::Incident(incident) | Self::IncidentOver(incident) => incident.number,
            Self::Snapshot { .. }
            | Self::Entry(_)
            | Self::Disconnected { .. }
            | Self::Connected {} => return SystemTime::now(),
        };
        let time = UNIX_EPOCH.checked_add(Duration::from_micros(micros));
        // Of another program, which wrote what is no time.
        time.filter(|_| micros <= super::super::LAST_DATE).unwrap_or_else(SystemTime::now)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot { because, names } => {
                let why = match *because {
                    "first" => "",
                    "emptied" => ": Redis was emptied",
                    "another_server" => ": Redis was started again, or is another one",
                    _ => ": changes were dropped before they were read",
                };
                write!(f, "snapshot of {names} names that are online{why}")
            }
            Self::Entry(entry) => {
                write!(
                    f,
                    "entry {:?} is on {} since {}",
                    entry.name,
                    entry.node,
                    date(entry.since)
                )?;
                write!(f, " (session {} of {})", entry.session, entry.peer)
            }
            Self::Online(Told { entry, .. }) => {
                write!(f, "online {:?} on {}", entry.name, entry.node)?;
                write!(f, " (session {} of {})", entry.session, entry.peer)
            }
            Self::Moved(Told { entry, from, .. }) => {
                write!(f, "moved {:?} to {}", entry.name, entry.node)?;
                if let Some(from) = from {
                    write!(f, " from {from}")?;
                }
                write!(f, " (session {} of {})", entry.session, entry.peer)
            }
            Self::Offline(Told { entry, reason, incident, .. }) => {
                write!(f, "offline {:?} on {}", entry.name, entry.node)?;
                if let Some(reason) = reason {
                    write!(f, ": {reason}")?;
                }
                incident.as_ref().map_or(Ok(()), |id| write!(f, ", part of incident {id}"))
            }
            Self::Incident(Incident { says, .. }) => {
                write!(f, "incident {}", text_of(says))
            }
            Self::IncidentOver(Incident { says, .. }) => {
                write!(f, "incident_over {}", text_of(says))
            }
            Self::Disconnected { detail } => write!(f, "disconnected from {detail}"),
            Self::Connected {} => f.write_str("connected again"),
        }
    }
}

/// The node's own words, or all that it says.
fn text_of(says: &Map<String, Value>) -> String {
    match says.get("text").and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => Value::Object(says.clone()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::expect_lines_documented;

    fn entry() -> Entry {
        serde_json::from_str(
            r#"{"name":"a","epoch":7,"node":"eu-1.00000001","session":"0-1-1","since":5,
                "peer":"192.0.2.7:9","instance":9}"#,
        )
        .unwrap()
    }

    fn told() -> Told {
        let (from, reason) = (Some("eu-2.00000002".to_owned()), Some("dead".into()));
        Told { number: 9, entry: entry(), from, reason, incident: Some("a1".into()) }
    }

    fn incident() -> Incident {
        Incident { number: 9, says: Map::new() }
    }

    #[test]
    fn keys_of_every_line_are_the_documented_ones_in_their_order() {
        expect_lines_documented("`presence watch`", |before| match before {
            None => Some(Line::Snapshot { because: "first", names: 1 }),
            Some(Line::Snapshot { .. }) => Some(Line::Entry(entry())),
            Some(Line::Entry(_)) => Some(Line::Online(told())),
            Some(Line::Online(_)) => Some(Line::Moved(told())),
            Some(Line::Moved(_)) => Some(Line::Offline(told())),
            Some(Line::Offline(_)) => Some(Line::Incident(incident())),
            Some(Line::Incident(_)) => Some(Line::IncidentOver(incident())),
            Some(Line::IncidentOver(_)) => Some(Line::Disconnected { detail: String::new() }),
            Some(Line::Disconnected { .. }) => Some(Line::Connected {}),
            Some(Line::Connected {}) => None,
        });
    }
}
