//! What the line that a server starts with says of presence and hooks.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use heartwire_presence::{Config, NodeName};
use serde::Serialize;

use super::PresenceArgs;
use crate::output::Millis;
use crate::values::typed;

/// Where presence is shared, who is told, and the bounds of both. All is `null` without.
#[derive(Clone, Debug, Default, Serialize)]
pub(in crate::serve) struct Shown {
    node: Option<String>,
    presence: Option<String>,
    /// Until all names of this node are offline, if it dies: for one with few names.
    node_lost_ms: Option<Millis>,
    hook: Option<String>,
    hook_give_up_ms: Option<Millis>,
    offline_after_ms: Option<Millis>,
    lost_after_ms: Option<Millis>,
    /// In an incident: until the first of its offlines.
    incident_after_ms: Option<Millis>,
    hold_pace: Option<NonZeroU32>,
}

impl Shown {
    pub(super) fn new(args: &PresenceArgs, node: &NodeName, config: &Config) -> Self {
        let bound = config.offline_bound(0);
        let node_lost = config.node_lost_bound(0);
        let command = args.hook_command.as_ref().map(|path| path.display().to_string());
        Self {
            node: Some(node.to_string()),
            presence: args.presence.as_ref().map(ToString::to_string),
            node_lost_ms: args.presence.is_some().then_some(Millis(node_lost)),
            hook: args.hook.as_ref().map(ToString::to_string).or(command),
            hook_give_up_ms: args.has_hook().then(|| Millis(args.give_up())),
            offline_after_ms: Some(Millis(bound.offline_after)),
            lost_after_ms: Some(Millis(bound.lost)),
            incident_after_ms: bound.incident.map(Millis),
            hold_pace: bound.incident.map(|_| args.pace()),
        }
    }
}

/// Lines of text, each with its end.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(node) = &self.node else { return Ok(()) };
        if let Some((redis, Millis(within))) = self.presence.as_ref().zip(self.node_lost_ms) {
            let within = typed(within);
            writeln!(
                f,
                "  presence: node {node} in {redis}; if it dies, its names are offline within \
                 {within}, and 1s more for each 2000 of them"
            )?;
        }
        if let Some((hook, Millis(give_up))) = self.hook.as_ref().zip(self.hook_give_up_ms) {
            let redis = if self.presence.is_some() { "" } else { "; kept in memory only" };
            let give_up = typed(give_up);
            writeln!(f, "  hooks: to {hook}, each tried again for up to {give_up}{redis}")?;
        }
        let after = |time: Option<Millis>| typed(time.map_or(Duration::ZERO, |time| time.0));
        let (left, lost) = (after(self.offline_after_ms), after(self.lost_after_ms));
        write!(f, "  offlines: told {left} after a client left, and {lost} after it was lost")?;
        if let Some((Millis(held), pace)) = self.incident_after_ms.zip(self.hold_pace) {
            let held = typed(held);
            write!(f, "; in an incident from {held} on at the latest, {pace} a second")?;
        }
        writeln!(f)
    }
}
