//! How long what leaves a node may be held back.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use heartwire_core::internal::Typed;

use super::governor::SETTLE;

/// How long what leaves a node may be held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The end of a session is told this much later, if its name is not online by then.
    pub(crate) offline_after: Duration,
    /// How long the ends of many sessions that are lost at once are held. `None`: never.
    pub(crate) hold: Option<Duration>,
    /// How many of them are told per second after that.
    pub(crate) pace: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            offline_after: Duration::ZERO,
            hold: Some(Duration::from_secs(60)),
            pace: NonZeroU32::MIN.saturating_add(199),
        }
    }
}

impl Settings {
    /// How long the end of a lost client's session is held in any case.
    pub(super) fn wait(&self) -> Duration {
        let settle = self.hold.map_or(Duration::ZERO, |_| SETTLE);
        self.offline_after.max(settle)
    }

    /// The longest time that an offline event is held back, on a node with so many names.
    #[must_use]
    pub(crate) fn bound(&self, names: u32) -> OfflineBound {
        let Self { offline_after, hold, pace } = *self;
        let lost = self.wait();
        let turns = (Duration::from_secs(1) / pace.get()).saturating_mul(names);
        let incident = hold.map(|hold| lost.saturating_add(hold).saturating_add(turns));
        OfflineBound { offline_after, lost, incident, names }
    }
}

/// The longest time that an offline event is held back on its node, counted from the end of the
/// session. An event is dropped if its name is online again meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OfflineBound {
    /// Where the client left, or one of the ends wanted its session to end. It is 2 s at least
    /// where the client is online right after: a newer session took over, or this one had reached
    /// its greatest age.
    pub offline_after: Duration,
    /// Where the client was lost.
    pub lost: Duration,
    /// Where it was lost with many others, in an incident. `None`: these are not held together.
    pub incident: Option<Duration>,
    /// Names that are lost in that incident at most.
    pub names: u32,
}

impl fmt::Display for OfflineBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offline_after, lost, incident, names } = *self;
        write!(
            f,
            "offline events wait {}, those of lost clients {}",
            Typed(offline_after),
            Typed(lost)
        )?;
        let Some(incident) = incident else { return Ok(()) };
        write!(f, ", and in an incident with {names} names {:.1} s at most", incident.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_has_every_wait_in_it() {
        let after_90 = Settings { offline_after: Duration::from_secs(90), ..Settings::default() };
        let never = Settings { hold: None, ..Settings::default() };
        for (settings, text) in [
            (
                Settings::default(),
                "offline events wait 0s, those of lost clients 2s, and in an incident with 15000 \
                 names 137.0 s at most",
            ),
            (
                after_90,
                "offline events wait 90s, those of lost clients 90s, and in an incident with 15000 \
                 names 225.0 s at most",
            ),
            (never, "offline events wait 0s, those of lost clients 0s"),
        ] {
            assert_eq!(settings.bound(15_000).to_string(), text);
        }
    }
}
