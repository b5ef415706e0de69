//! Whether and when one end detects one fault.

use core::time::Duration;

use heartwire_core::Bound;

use crate::Advice;
use crate::mechanism::{Mechanism, Mechanisms};

/// Whether and when one end detects one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a fault is detected, never detected, or none")]
pub enum Outcome {
    /// It is detected.
    Found(Finding),
    /// It is never detected while it lasts; the advice says which setting would.
    Never(Advice),
    /// The connection is not lost: packets pass the middlebox often enough that it does not forget
    /// it.
    KeptOpen {
        /// The longest time without a packet.
        quiet: Duration,
    },
    /// The connection is not lost: this end has neither interval nor timeout, so nothing was due
    /// while it was paused.
    NothingDue,
}

impl Outcome {
    /// When and by what it is detected, if it is.
    #[must_use]
    pub const fn finding(&self) -> Option<Finding> {
        match self {
            Self::Found(finding) => Some(*finding),
            Self::Never(_) | Self::KeptOpen { .. } | Self::NothingDue => None,
        }
    }
}

/// When a fault is detected, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The earliest and the latest time, counted from the fault.
    pub bound: Bound,
    /// The mechanism that promises the latest time.
    pub by: Mechanism,
    others: Mechanisms,
}

impl Finding {
    /// Other mechanisms that can be first within the bound.
    pub fn or_by(&self) -> impl Iterator<Item = Mechanism> + use<> {
        self.others.iter()
    }

    /// Whether this mechanism can be the one that detects it.
    #[must_use]
    pub fn can_be_by(&self, mechanism: Mechanism) -> bool {
        self.by == mechanism || self.others.contains(mechanism)
    }
}

/// A mechanism that can detect a fault, with its times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detector {
    pub(crate) by: Mechanism,
    /// It never detects the fault before this.
    pub(crate) earliest: Duration,
    /// It has detected the fault by this; `None` if something else can prevent that.
    pub(crate) latest: Option<Duration>,
}

impl Detector {
    pub(crate) const fn new(by: Mechanism, earliest: Duration, latest: Duration) -> Self {
        Self { by, earliest, latest: Some(latest) }
    }

    /// The reset that follows this verdict, seen by the other end up to `delay` later.
    pub(crate) fn heard_as_reset(self, delay: Duration) -> Self {
        let latest = self.latest.map(|latest| latest.saturating_add(delay));
        Self { by: Mechanism::Reset, earliest: self.earliest, latest }
    }
}

/// The outcome of several detectors: the first one wins.
pub(crate) fn first_of<const N: usize>(
    detectors: [Option<Detector>; N],
    advice: Advice,
) -> Outcome {
    let detectors = || detectors.iter().flatten();
    let promised = detectors().filter_map(|detector| Some((detector.latest?, detector.by)));
    let Some((latest, by)) = promised.min_by_key(|&(latest, _)| latest) else {
        return Outcome::Never(advice);
    };
    let in_time = || detectors().filter(|detector| detector.earliest <= latest);
    let earliest = in_time().map(|detector| detector.earliest).min().unwrap_or(latest);
    let others = in_time().map(|detector| detector.by).filter(|&other| other != by);
    let others = others.fold(Mechanisms::default(), Mechanisms::with);
    // To milliseconds, outwards: policies and verdicts are no finer.
    let bound = Bound { earliest: millis_down(earliest), latest: millis_up(latest) };
    Outcome::Found(Finding { bound, by, others })
}

fn millis_down(time: Duration) -> Duration {
    Duration::new(time.as_secs(), time.subsec_millis() * 1_000_000)
}

pub(crate) fn millis_up(time: Duration) -> Duration {
    let down = millis_down(time);
    if down < time { down.saturating_add(Duration::from_millis(1)) } else { down }
}
