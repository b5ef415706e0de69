//! What one end finds out about one fault.

use core::time::Duration;

use super::advice::Advice;
use super::mechanism::{Mechanism, Mechanisms};
use crate::policy::Bound;

/// What one end finds out about one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a fault is found, never found, or none")]
pub enum Outcome {
    /// It is found.
    Found(Finding),
    /// It is never found while it lasts, with what to set to find it.
    Never(Advice),
    /// There is nothing to find: with these settings the connection is not lost.
    NotLost(NotLost),
}

impl Outcome {
    /// When and how it is found, if it is.
    #[must_use]
    pub const fn finding(&self) -> Option<Finding> {
        match self {
            Self::Found(finding) => Some(*finding),
            Self::Never(_) | Self::NotLost(_) => None,
        }
    }

    /// Whether it is never found.
    #[must_use]
    pub const fn is_never(&self) -> bool {
        matches!(self, Self::Never(_))
    }
}

/// When a fault is found, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The earliest and the latest time, counted from the fault.
    pub bound: Bound,
    /// The mechanism that promises the latest time.
    pub by: Mechanism,
    /// Mechanisms that can be first within the bound.
    pub or_by: Mechanisms,
}

impl Finding {
    /// Whether a mechanism can be the one that finds it.
    #[must_use]
    pub fn can_be_by(&self, mechanism: Mechanism) -> bool {
        self.by == mechanism || self.or_by.contains(mechanism)
    }
}

/// Why a connection is not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotLost {
    /// Something passes the middlebox at least this often, so that it forgets nothing.
    KeptOpen {
        /// The longest time in which nothing passes it.
        quiet: Duration,
    },
    /// This end has neither a beat nor a timeout, so nothing was due while it stood still.
    NothingDue,
}

/// Something that can find a fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Detector {
    pub(super) by: Mechanism,
    /// It never finds it before this.
    pub(super) earliest: Duration,
    /// It has found it by this; `None` if something else can prevent that.
    pub(super) latest: Option<Duration>,
}

impl Detector {
    pub(super) const fn new(by: Mechanism, earliest: Duration, latest: Duration) -> Self {
        Self { by, earliest, latest: Some(latest) }
    }

    /// A reset that reaches the other end, which the path to it delays by `delay` at most.
    pub(super) fn heard_as_reset(self, delay: Duration) -> Self {
        let latest = self.latest.map(|latest| latest.saturating_add(delay));
        Self { by: Mechanism::Reset, earliest: self.earliest, latest }
    }
}

/// What comes of several detectors: the first to speak wins.
pub(super) fn first_of<const N: usize>(
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
    let or_by = others.fold(Mechanisms::default(), Mechanisms::with);
    // To milliseconds, outwards: policies and verdicts are no finer.
    let bound = Bound { earliest: millis_down(earliest), latest: millis_up(latest) };
    Outcome::Found(Finding { bound, by, or_by })
}

fn millis_down(time: Duration) -> Duration {
    Duration::new(time.as_secs(), time.subsec_millis() * 1_000_000)
}

fn millis_up(time: Duration) -> Duration {
    let down = millis_down(time);
    if down < time { down.saturating_add(Duration::from_millis(1)) } else { down }
}
