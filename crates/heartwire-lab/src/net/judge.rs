//! Compares what was measured with the plan.

use core::time::Duration;

use heartwire_core::Side;
use heartwire_plan::Mechanism;

use super::expect::{Expected, Promise};
use super::inject::Moment;
use super::program::Told;

/// What an end saw.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// Nothing, for that long after the fault.
    Nothing { during: Duration },
    /// The end of the connection, or its own pause.
    Something(Sight),
}

/// What an end saw, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    /// How long after the fault, at least and at most: making a fault takes time. `None` if it was
    /// before.
    pub(super) after: Option<[Duration; 2]>,
    pub(super) how: How,
    /// In the program's own words.
    pub(super) detail: String,
    /// The bound of the silence that its verdict states, in milliseconds, if there was one.
    pub(super) own_bound: Option<[f64; 2]>,
}

impl Sight {
    /// The middle of what the time can have been.
    pub(super) fn time(&self) -> Duration {
        self.after.map_or(Duration::ZERO, |[least, most]| least.saturating_add(most) / 2)
    }

    /// How far apart the two can be.
    pub(super) fn resolution(&self) -> Duration {
        self.after.map_or(Duration::ZERO, |[least, most]| most.saturating_sub(least))
    }
}

/// How an end detected a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    EndOfStream,
    Reset,
    Silence,
    /// The client's network changed, and nothing that it sent since was acknowledged.
    NetworkChanged,
    /// The kernel gave up; it does not say which of its timers it was.
    Kernel,
    Paused,
    /// The peer reported that it heard nothing. This is not in the plan: it takes longer than the
    /// peer's own verdict, whose reset takes the same path.
    Unheard,
    /// None of these.
    Otherwise,
}

impl How {
    /// `cause` is that of the verdict, if there was one.
    fn of(told: &Told, cause: &str) -> Self {
        if told.event == "paused" {
            return Self::Paused;
        }
        match (told.text("reason"), cause) {
            ("closed_by_peer" | "truncated" | "bye", _) => Self::EndOfStream,
            ("reset", _) => Self::Reset,
            ("network_changed", _) => Self::NetworkChanged,
            ("dead", "silence") => Self::Silence,
            ("dead", "kernel") => Self::Kernel,
            ("dead", "unheard") => Self::Unheard,
            _ => Self::Otherwise,
        }
    }

    const fn can_be(self, mechanism: Mechanism) -> bool {
        match self {
            Self::EndOfStream => matches!(mechanism, Mechanism::EndOfStream),
            Self::Reset => matches!(mechanism, Mechanism::Reset),
            Self::Silence => matches!(mechanism, Mechanism::Silence),
            Self::Kernel => matches!(
                mechanism,
                Mechanism::Keepalive | Mechanism::UserTimeout | Mechanism::Retransmissions
            ),
            Self::NetworkChanged => matches!(mechanism, Mechanism::Retransmissions),
            Self::Paused => matches!(mechanism, Mechanism::PauseWatch),
            Self::Unheard | Self::Otherwise => false,
        }
    }

    /// Human-readable, a word or two.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EndOfStream => "end of stream",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::NetworkChanged => "network change",
            Self::Kernel => "kernel",
            Self::Paused => "pause watch",
            Self::Unheard => "unheard",
            Self::Otherwise => "otherwise",
        }
    }
}

/// The result of comparing a measurement with the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// This end is the one that broke.
    NotAsked,
    /// Detected within the bound.
    Inside,
    /// Not detected, and the plan says never; or not lost, and the plan says so.
    AsPlanned,
    /// Not detected while it was observed, and the bound ends later.
    NotYet,
    /// Detected before the bound begins.
    Early,
    /// Detected after the bound ends.
    Late,
    /// Not detected, though the bound has ended.
    Missed,
    /// Detected or lost, where the plan says never.
    Unplanned,
    /// Detected within the bound, by a mechanism that the plan does not name.
    OtherMechanism,
    /// Reported more than once.
    Repeated,
}

impl Judgement {
    pub(super) const ALL: [Self; 10] = [
        Self::NotAsked,
        Self::Inside,
        Self::AsPlanned,
        Self::NotYet,
        Self::Early,
        Self::Late,
        Self::Missed,
        Self::Unplanned,
        Self::OtherMechanism,
        Self::Repeated,
    ];

    /// Whether it agrees with the plan.
    pub(super) const fn is_right(self) -> bool {
        match self {
            Self::NotAsked | Self::Inside | Self::AsPlanned | Self::NotYet => true,
            Self::Early
            | Self::Late
            | Self::Missed
            | Self::Unplanned
            | Self::OtherMechanism
            | Self::Repeated => false,
        }
    }

    /// Human-readable, a word or two.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NotAsked => "not asked",
            Self::Inside => "inside",
            Self::AsPlanned => "as planned",
            Self::NotYet => "not yet",
            Self::Early => "EARLY",
            Self::Late => "LATE",
            Self::Missed => "MISSED",
            Self::Unplanned => "UNPLANNED",
            Self::OtherMechanism => "OTHER MECHANISM",
            Self::Repeated => "REPEATED",
        }
    }

    fn of(expected: &Expected, seen: &Seen) -> Self {
        match (expected, seen) {
            (Expected::NotAsked, _) => Self::NotAsked,
            (Expected::Kept | Expected::Never | Expected::FoundOrKept(_), Seen::Nothing { .. }) => {
                Self::AsPlanned
            }
            (Expected::Kept | Expected::Never, Seen::Something(_)) => Self::Unplanned,
            (Expected::Found(promise), Seen::Nothing { during }) => {
                if *during > promise.latest {
                    Self::Missed
                } else {
                    Self::NotYet
                }
            }
            (Expected::Found(promise) | Expected::FoundOrKept(promise), Seen::Something(sight)) => {
                Self::of_sight(promise, sight)
            }
        }
    }

    fn of_sight(promise: &Promise, sight: &Sight) -> Self {
        let Some([least, most]) = sight.after else { return Self::Early };
        if most < promise.earliest {
            Self::Early
        } else if least > promise.latest {
            Self::Late
        } else if promise.by.iter().any(|&by| sight.how.can_be(by)) {
            Self::Inside
        } else {
            Self::OtherMechanism
        }
    }
}

/// The first event of an end that counts as detection.
pub(super) fn sight(
    side: Side,
    expected: &Expected,
    fault: &Moment,
    told: &[Told],
) -> Option<Sight> {
    // A pause counts only at the end that was paused; elsewhere the machine was busy.
    let pause_counts =
        expected.promise().is_some_and(|promise| promise.by.contains(&Mechanism::PauseWatch));
    let counts = |told: &&Told| told.event == "offline" || (told.event == "paused" && pause_counts);
    let of_side = || told.iter().filter(|told| told.side == side);
    let first = of_side().find(counts)?;
    // The server reports a verdict before the end, the client both in one event.
    let cause = of_side().map(|told| told.text("cause")).find(|cause| !cause.is_empty());
    Some(Sight {
        own_bound: of_side().find(|told| told.text("cause") == "silence").map(own_bound),
        after: fault.until(first.at),
        how: How::of(first, cause.unwrap_or_default()),
        detail: match first.event.as_str() {
            "paused" => format!("paused for {:.3} s", first.number("gap_ms") / 1e3),
            _ => first.text("detail").to_owned(),
        },
    })
}

/// The bound that a verdict states itself.
fn own_bound(verdict: &Told) -> [f64; 2] {
    ["earliest_ms", "latest_ms"].map(|field| verdict.number(field))
}

/// What is wrong if the silence of a verdict is not within the verdict's own bound.
fn against_itself(told: &Told) -> Option<Judgement> {
    if told.text("cause") != "silence" {
        return None;
    }
    let [earliest, latest] = own_bound(told);
    let silence = told.number("silence_ms") - told.number("paused_ms");
    if silence < earliest {
        Some(Judgement::Early)
    } else if silence > latest {
        Some(Judgement::Late)
    } else {
        None
    }
}

/// Compares all that an end reported of a fault with the plan, and a verdict with itself.
pub(super) fn judge(
    side: Side,
    pauses: bool,
    expected: &Expected,
    seen: &Seen,
    told: &[Told],
) -> Judgement {
    let of_side = || told.iter().filter(|told| told.side == side);
    let count = |event| of_side().filter(|told| told.event == event).count();
    if *expected == Expected::NotAsked {
        Judgement::NotAsked
    } else if count("offline") > 1 || count("verdict") > 1 {
        Judgement::Repeated
    } else if pauses && of_side().any(|told| told.text("reason") == "dead") {
        // It caused the silence itself.
        Judgement::Unplanned
    } else if let Some(wrong) = of_side().find_map(against_itself) {
        wrong
    } else {
        Judgement::of(expected, seen)
    }
}

#[cfg(test)]
mod tests;
