//! What was measured, and whether the plan had said so.

use core::time::Duration;

use heartwire_core::Side;
use heartwire_core::plan::Mechanism;

use super::expect::{Expected, Promise};
use super::inject::Moment;
use super::program::Told;

/// What an end saw.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// Nothing, for that long after the fault.
    Nothing { during: Duration },
    /// An end of the connection, or that it stood still itself.
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

/// How an end saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    EndOfStream,
    Reset,
    Silence,
    /// The kernel gave up; it does not say which of its timers it was.
    Kernel,
    Paused,
    /// The peer said that it heard nothing. The plan does not know this: it takes longer than the
    /// peer's own verdict, whose reset comes the same way.
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
            Self::Paused => matches!(mechanism, Mechanism::PauseWatch),
            Self::Unheard | Self::Otherwise => false,
        }
    }

    /// A word or two for people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EndOfStream => "end of stream",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Kernel => "kernel",
            Self::Paused => "pause watch",
            Self::Unheard => "unheard",
            Self::Otherwise => "otherwise",
        }
    }
}

/// Whether what was measured is what the plan had said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// This end is the one that broke.
    NotAsked,
    /// Found, within the bound.
    Inside,
    /// Not found, and the plan says never; or kept, and the plan says so.
    AsPlanned,
    /// Not found while it was watched, and the bound ends later than that.
    NotYet,
    /// Found before the bound begins.
    Early,
    /// Found after the bound ends.
    Late,
    /// Not found, though the bound has ended.
    Missed,
    /// Found or lost, where the plan says never.
    Unplanned,
    /// Found within the bound, by something that the plan does not name.
    OtherMechanism,
    /// Told more than once.
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

    /// Whether the plan had said so.
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

    /// A word or two for people.
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

/// What an end said of a fault: the first that counts.
pub(super) fn sight(
    side: Side,
    expected: &Expected,
    fault: &Moment,
    told: &[Told],
) -> Option<Sight> {
    // That it stood still is news where it did; elsewhere the machine was busy.
    let pause_counts =
        expected.promise().is_some_and(|promise| promise.by.contains(&Mechanism::PauseWatch));
    let counts = |told: &&Told| told.event == "offline" || (told.event == "paused" && pause_counts);
    let of_side = || told.iter().filter(|told| told.side == side);
    let first = of_side().find(counts)?;
    // The server tells a verdict before it tells the end, the client tells both in one.
    let cause = of_side().map(|told| told.text("cause")).find(|cause| !cause.is_empty());
    Some(Sight {
        after: fault.until(first.at),
        how: How::of(first, cause.unwrap_or_default()),
        detail: match first.event.as_str() {
            "paused" => format!("stood still for {:.3} s", first.number("gap_ms") / 1e3),
            _ => first.text("detail").to_owned(),
        },
    })
}

/// Judges all that an end told of a fault.
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
        // The silence was its own doing.
        Judgement::Unplanned
    } else {
        Judgement::of(expected, seen)
    }
}

#[cfg(test)]
mod tests;
