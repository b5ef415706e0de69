//! What presence and hooks tell of themselves, as lines. `docs/events.md` describes their fields.

use core::fmt;
use core::time::Duration;

use heartwire_presence::{self as presence, NetworkLoss};
use serde::Serialize;

use crate::output::{Millis, counted};
use crate::values::typed;

/// This server's place among those that share presence has changed.
#[derive(Clone, Debug, Serialize)]
pub(in crate::serve) struct PresenceState {
    pub(super) state: &'static str,
    pub(super) node: Option<String>,
    pub(super) names: Option<u64>,
    pub(super) detail: Option<String>,
    pub(super) lasted_ms: Option<Millis>,
}

/// Whether hooks arrive has changed.
#[derive(Clone, Debug, Serialize)]
pub(in crate::serve) struct HookState {
    pub(super) state: &'static str,
    pub(super) detail: Option<String>,
    pub(super) count: Option<u64>,
    pub(super) lasted_ms: Option<Millis>,
}

/// Many clients are lost at once, and this server may be the cause.
#[derive(Clone, Debug, Serialize)]
pub(in crate::serve) struct Incident {
    pub(super) incident: String,
    pub(super) cause: &'static str,
    pub(super) began: String,
    pub(super) lost: u32,
    pub(super) of: u32,
    pub(super) networks: Vec<NetworkLoss>,
    pub(super) shards: Vec<u32>,
    pub(super) held_until: Option<String>,
    pub(super) released_by: String,
    pub(super) detail: String,
}

/// The end of an incident.
#[derive(Clone, Debug, Serialize)]
pub(in crate::serve) struct IncidentOver {
    pub(super) incident: String,
    pub(super) lasted_ms: Millis,
    pub(super) lost: u32,
    pub(super) returned: u32,
    pub(super) gone: u32,
}

impl From<&presence::Incident> for Incident {
    fn from(of: &presence::Incident) -> Self {
        Self {
            incident: of.incident.to_string(),
            cause: of.cause.name(),
            began: wall(of.began),
            lost: of.lost,
            of: of.of,
            networks: of.networks.clone(),
            shards: of.shards.clone(),
            held_until: (of.held_until > of.began).then(|| wall(of.held_until)),
            released_by: wall(of.released_by),
            detail: of.text.to_string(),
        }
    }
}

impl From<&presence::IncidentOver> for IncidentOver {
    fn from(of: &presence::IncidentOver) -> Self {
        Self {
            incident: of.incident.to_string(),
            lasted_ms: Millis(Duration::from_millis(of.lasted_ms)),
            lost: of.lost,
            returned: of.returned,
            gone: of.gone,
        }
    }
}

/// A time since 1970 in microseconds, as events have it.
pub(super) fn wall(micros: u64) -> String {
    let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    humantime::format_rfc3339_micros(time).to_string()
}

impl fmt::Display for PresenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state.replace('_', " "))?;
        self.node.as_ref().map_or(Ok(()), |node| write!(f, " {node}"))?;
        self.names.map_or(Ok(()), |names| write!(f, ", {}", counted(names, "name")))?;
        tell_rest(f, self.detail.as_deref(), self.lasted_ms)
    }
}

impl fmt::Display for HookState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            Some(count) => write!(f, "{} given up", counted(count, "change"))?,
            None => f.write_str(self.state)?,
        }
        tell_rest(f, self.detail.as_deref(), self.lasted_ms)
    }
}

fn tell_rest(
    f: &mut fmt::Formatter<'_>,
    detail: Option<&str>,
    lasted: Option<Millis>,
) -> fmt::Result {
    detail.map_or(Ok(()), |detail| write!(f, ": {detail}"))?;
    lasted.map_or(Ok(()), |lasted| write!(f, ", after {:.1} s", lasted.0.as_secs_f64()))
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl fmt::Display for IncidentOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incident, lasted_ms, lost, returned, gone } = self;
        let lasted = typed(lasted_ms.0);
        write!(f, "{incident} after {lasted}: of {lost} names {returned} are back, {gone} gone")
    }
}

#[cfg(test)]
impl PresenceState {
    pub(in crate::serve) fn example() -> Self {
        let lasted_ms = Some(Millis(Duration::from_millis(1500)));
        Self { state: "back", node: None, names: None, detail: None, lasted_ms }
    }
}

#[cfg(test)]
impl HookState {
    pub(in crate::serve) fn example() -> Self {
        let detail = Some("status 500".to_owned());
        Self { state: "dead_letters", detail, count: Some(3), lasted_ms: None }
    }
}

#[cfg(test)]
impl Incident {
    pub(in crate::serve) fn example() -> Self {
        Self {
            incident: "eu-1-7".to_owned(),
            cause: "interface_down",
            began: wall(0),
            lost: 8000,
            of: 8100,
            networks: Vec::new(),
            shards: vec![3900, 4100],
            held_until: Some(wall(60_000_000)),
            released_by: wall(100_000_000),
            detail: "eu-1-7: 8000 of 8100 clients were lost: interface eth0 went down".to_owned(),
        }
    }
}

#[cfg(test)]
impl IncidentOver {
    pub(in crate::serve) fn example() -> Self {
        let lasted_ms = Millis(Duration::from_secs(20));
        Self { incident: "eu-1-7".to_owned(), lasted_ms, lost: 8000, returned: 7999, gone: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_what_happened_and_what_waits() {
        let back = PresenceState::example();
        assert_eq!(back.to_string(), "back, after 1.5 s");
        let (node, detail) = (Some("eu-1.5f0c2a91".to_owned()), Some("its names go".to_owned()));
        let lost = PresenceState { state: "node_lost", node, detail, lasted_ms: None, ..back };
        assert_eq!(lost.to_string(), "node lost eu-1.5f0c2a91: its names go");
        let dead = HookState::example();
        assert_eq!(dead.to_string(), "3 changes given up: status 500");
        let failing = HookState { state: "failing", count: None, ..dead };
        assert_eq!(failing.to_string(), "failing: status 500");
        assert_eq!(Incident::example().to_string(), Incident::example().detail);
        let over = IncidentOver::example().to_string();
        assert_eq!(over, "eu-1-7 after 20s: of 8000 names 7999 are back, 1 gone");
    }
}
