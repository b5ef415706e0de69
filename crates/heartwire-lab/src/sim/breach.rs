//! Invariants that a run must keep, and their breaches.

use core::fmt;

use heartwire_core::Side;

use super::time::WorldTime;

/// An invariant, checked after every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the lab is no library for others")]
pub enum Invariant {
    /// A verdict comes no sooner than a timeout after the last byte reached the end, or after a
    /// pause that restarts the timeout.
    NeverEarly,
    /// Bytes that have arrived outrank a deadline, and a suspicion.
    ReadFirst,
    /// A verdict comes at most a timeout and a tick after the last byte reached the end.
    AlwaysByTheBound,
    /// A peer that reports in its beats that it does not hear the end is declared dead at most both
    /// timeouts and a tick after it last did.
    UnheardByTheBound,
    /// There is one verdict, and one `Offline`.
    NeverTwice,
    /// Nothing follows the `Offline`.
    NothingAfterOffline,
    /// Each `Online` has one `Offline`.
    OncePerOnline,
    /// No two sessions of a server have the same name.
    OnePerName,
    /// A client that connects again with its name ends its older session. Of the links of a session
    /// each end holds the newest only.
    NewestWins,
    /// A client that takes its name over from itself is not taken for two that fight over it.
    KeepsItsName,
    /// A server that shuts down ends all its sessions in the time for that.
    DrainsInTime,
    /// Every beat is due, or answers one that was due.
    NoEchoLoop,
    /// An end with an interval is never silent for longer.
    BeatsOnTime,
    /// The bytes received are the bytes sent, in order.
    SameBytes,
    /// A message is refused as too long if, and only if, the peer does not accept one so long.
    LongestFrame,
    /// A connection that ends cleanly has delivered all data.
    NothingLost,
    /// A peer that keeps its promises over a path without faults is never declared dead.
    HealthyLives,
    /// A peer that breaks no rule causes no violation.
    NoFalseViolation,
    /// A verdict's numbers are right.
    TrueFigures,
    /// A fault is detected when the plan says.
    AsPlanned,
    /// The round trip that beats of protocol v1 measure is that of the path.
    TrueRoundTrip,
    /// In a session that outlives its links, an application gets what the other one sent, from the
    /// beginning, each message once and in order.
    NoGapNoRepeat,
    /// What is reported as not delivered is exact, or at least what was lost.
    TrueLoss,
    /// A session is `Away` and `Back` in turn, between its `Online` and its one `Offline`.
    AwayAndBack,
    /// A session that is away is back within its grace, or `Offline` at most a tick after it.
    BackInTime,
    /// A session does not end with a link.
    OutlivesItsLinks,
    /// A session keeps at most its window of what was sent and not taken over.
    WithinTheWindow,
    /// What is acknowledged was taken over by the application.
    TrueAcks,
    /// A server ends a session for its age when it has reached that, and not before; and for its
    /// token when that was removed since.
    EndsForCause,
}

impl Invariant {
    /// Every promise.
    pub const ALL: [Self; 29] = [
        Self::NeverEarly,
        Self::ReadFirst,
        Self::AlwaysByTheBound,
        Self::UnheardByTheBound,
        Self::NeverTwice,
        Self::NothingAfterOffline,
        Self::OncePerOnline,
        Self::OnePerName,
        Self::NewestWins,
        Self::KeepsItsName,
        Self::DrainsInTime,
        Self::NoEchoLoop,
        Self::BeatsOnTime,
        Self::SameBytes,
        Self::LongestFrame,
        Self::NothingLost,
        Self::HealthyLives,
        Self::NoFalseViolation,
        Self::TrueFigures,
        Self::AsPlanned,
        Self::TrueRoundTrip,
        Self::NoGapNoRepeat,
        Self::TrueLoss,
        Self::AwayAndBack,
        Self::BackInTime,
        Self::OutlivesItsLinks,
        Self::WithinTheWindow,
        Self::TrueAcks,
        Self::EndsForCause,
    ];

    /// A short name, for humans and programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeverEarly => "never-early",
            Self::ReadFirst => "read-first",
            Self::AlwaysByTheBound => "always-by-the-bound",
            Self::UnheardByTheBound => "unheard-by-the-bound",
            Self::NeverTwice => "never-twice",
            Self::NothingAfterOffline => "nothing-after-offline",
            Self::OncePerOnline => "once-per-online",
            Self::OnePerName => "one-per-name",
            Self::NewestWins => "newest-wins",
            Self::KeepsItsName => "keeps-its-name",
            Self::DrainsInTime => "drains-in-time",
            Self::NoEchoLoop => "no-echo-loop",
            Self::BeatsOnTime => "beats-on-time",
            Self::SameBytes => "same-bytes",
            Self::LongestFrame => "longest-frame",
            Self::NothingLost => "nothing-lost",
            Self::HealthyLives => "healthy-lives",
            Self::NoFalseViolation => "no-false-violation",
            Self::TrueFigures => "true-figures",
            Self::AsPlanned => "as-planned",
            Self::TrueRoundTrip => "true-round-trip",
            Self::NoGapNoRepeat => "no-gap-no-repeat",
            Self::TrueLoss => "true-loss",
            Self::AwayAndBack => "away-and-back",
            Self::BackInTime => "back-in-time",
            Self::OutlivesItsLinks => "outlives-its-links",
            Self::WithinTheWindow => "within-the-window",
            Self::TrueAcks => "true-acks",
            Self::EndsForCause => "ends-for-cause",
        }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) invariant: Invariant,
    /// What was seen.
    pub(super) what: String,
}

impl Breach {
    pub(super) const fn new(invariant: Invariant, what: String) -> Self {
        Self { invariant, what }
    }
}

/// A run that broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The run's seed, to repeat it.
    pub seed: u64,
    /// When it was noticed.
    pub at: WorldTime,
    /// Which end.
    pub side: Side,
    /// What was promised.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = side_name(self.side);
        write!(
            f,
            "seed {}: {} broken at {} by the {side}: {}\n  replay: heartwire-lab sim --seed {}",
            self.seed,
            self.invariant.name(),
            self.at,
            self.what,
            self.seed,
        )
    }
}

pub(super) const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}
