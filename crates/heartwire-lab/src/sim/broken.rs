//! Drivers that break a rule on purpose, to test that each invariant is checked.

use heartwire::internal::Break;

use super::breach::Invariant;

/// What a broken driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the lab is no library for others")]
pub enum Broken {
    /// It declares a peer dead a twentieth before the timeout.
    JudgesEarly,
    /// It gives the verdict that the peer does not hear it half a timeout too early.
    JudgesUnheardEarly,
    /// It declares a peer dead a tenth, and a tick, too late.
    JudgesLate,
    /// It never gives the verdict that the peer does not hear it.
    NeverJudgesUnheard,
    /// It ignores every deadline.
    NeverJudges,
    /// It checks its deadlines before it reads.
    JudgesBeforeReading,
    /// It checks its deadlines only when nothing waits to be written.
    WaitsForWrites,
    /// It mistakes a slow application for a silent peer.
    TakesSlownessForDeath,
    /// It blames its peers for its own pauses.
    IgnoresPauses,
    /// It does not compare its clocks, so it misses a suspend that made no timer late.
    IgnoresSuspends,
    /// It counts each of its pauses as a byte of the peer.
    TakesPausesForLife,
    /// It counts whole frames only.
    HearsWholeFramesOnly,
    /// It counts its own writes as life of the peer.
    HearsItself,
    /// It stamps bytes with the time at which its turn began.
    StampsBeforeReading,
    /// It stamps bytes with the time of the read, not with the kernel's arrival time.
    StampsWhenFound,
    /// It assumes that arrival times are a tenth of its timeout less precise than they are.
    StampsVaguely,
    /// It trusts the kernel's jiffies to the nanosecond.
    TrustsJiffies,
    /// It reports a verdict twice.
    TellsTwice,
    /// It reports wrong numbers.
    TellsWrongFigures,
    /// It reports events after the `Offline`.
    SpeaksAfterOffline,
    /// It answers every beat, even answers.
    AnswersAnswers,
    /// It answers no beat.
    NeverAnswers,
    /// It sends no beats.
    NeverBeats,
    /// It treats sent data as if the peer would answer it.
    AsksWithData,
    /// It drops what is left of a read after the last whole frame.
    LosesPartialFrames,
    /// It decodes what is left of a read twice.
    RepeatsPartialFrames,
    /// It handles the end of a connection before the bytes in front of it.
    LosesLastWords,
    /// It halves the frame timeout.
    HurriesFrames,
    /// A takeover does not end the older session.
    ForgetsTakenOver,
    /// It accepts a client with a name that another session has.
    SharesNames,
    /// It reports the end of a session twice.
    TellsOfflineTwice,
    /// It takes twice as long as configured to shut down.
    DrainsLate,
    /// It takes a client that takes its name over from itself for another one.
    ForgetsInstances,
    /// It says that it accepts longer messages than it is configured to.
    StretchesFrames,
    /// On another link of a session it writes a frame too many again.
    ReplaysTooMuch,
    /// On another link of a session it leaves a frame out.
    ReplaysTooLittle,
    /// It acknowledges data that the application has not taken over.
    AcksWhenReceived,
    /// From the third link of a session on it says what was taken over for what was received.
    TakesTakenForReceived,
    /// It keeps a session that is away for longer than its grace.
    NeverGivesUp,
    /// It counts a message too few as not delivered.
    TellsLessLost,
    /// It ends a session with its link.
    EndsWithItsLink,
    /// It reports that a session is away twice.
    TellsAwayTwice,
    /// It grants windows that are twice as long as configured.
    StretchesWindows,
    /// It leaves a silent link for a spare one without looking at it once more.
    LeavesWithoutReading,
    /// It says that it sends no more before it has sent what its application had sent.
    EndsTooSoon,
    /// It ends sessions at half of their greatest age.
    EndsYoung,
}

impl Broken {
    /// Every way to be broken.
    pub const ALL: [Self; 46] = [
        Self::JudgesEarly,
        Self::JudgesUnheardEarly,
        Self::JudgesLate,
        Self::NeverJudgesUnheard,
        Self::NeverJudges,
        Self::JudgesBeforeReading,
        Self::WaitsForWrites,
        Self::TakesSlownessForDeath,
        Self::IgnoresPauses,
        Self::IgnoresSuspends,
        Self::TakesPausesForLife,
        Self::HearsWholeFramesOnly,
        Self::HearsItself,
        Self::StampsBeforeReading,
        Self::StampsWhenFound,
        Self::StampsVaguely,
        Self::TrustsJiffies,
        Self::TellsTwice,
        Self::TellsWrongFigures,
        Self::SpeaksAfterOffline,
        Self::AnswersAnswers,
        Self::NeverAnswers,
        Self::NeverBeats,
        Self::AsksWithData,
        Self::LosesPartialFrames,
        Self::RepeatsPartialFrames,
        Self::LosesLastWords,
        Self::HurriesFrames,
        Self::ForgetsTakenOver,
        Self::SharesNames,
        Self::TellsOfflineTwice,
        Self::DrainsLate,
        Self::ForgetsInstances,
        Self::StretchesFrames,
        Self::ReplaysTooMuch,
        Self::ReplaysTooLittle,
        Self::AcksWhenReceived,
        Self::TakesTakenForReceived,
        Self::NeverGivesUp,
        Self::TellsLessLost,
        Self::EndsWithItsLink,
        Self::TellsAwayTwice,
        Self::StretchesWindows,
        Self::LeavesWithoutReading,
        Self::EndsTooSoon,
        Self::EndsYoung,
    ];

    /// The rule that the driver's own code breaks; `None` if its world or settings lie instead.
    pub(super) const fn in_the_code(self) -> Option<Break> {
        match self {
            Self::WaitsForWrites => Some(Break::WaitsForWrites),
            Self::IgnoresPauses => Some(Break::IgnoresPauses),
            Self::TakesPausesForLife => Some(Break::TakesPausesForLife),
            Self::HearsItself => Some(Break::HearsItself),
            Self::TellsTwice => Some(Break::TellsTwice),
            Self::TellsWrongFigures => Some(Break::TellsWrongFigures),
            Self::TellsOfflineTwice => Some(Break::TellsOfflineTwice),
            Self::SpeaksAfterOffline => Some(Break::SpeaksAfterOffline),
            Self::ForgetsTakenOver => Some(Break::ForgetsTakenOver),
            Self::SharesNames => Some(Break::SharesNames),
            Self::ForgetsInstances => Some(Break::ForgetsInstances),
            Self::ReplaysTooMuch => Some(Break::ReplaysTooMuch),
            Self::ReplaysTooLittle => Some(Break::ReplaysTooLittle),
            Self::AcksWhenReceived => Some(Break::AcksWhenReceived),
            Self::TakesTakenForReceived => Some(Break::TakesTakenForReceived),
            Self::NeverGivesUp => Some(Break::NeverGivesUp),
            Self::TellsLessLost => Some(Break::TellsLessLost),
            Self::EndsWithItsLink => Some(Break::EndsWithItsLink),
            Self::TellsAwayTwice => Some(Break::TellsAwayTwice),
            Self::LeavesWithoutReading => Some(Break::LeavesWithoutReading),
            Self::EndsTooSoon => Some(Break::EndsTooSoon),
            Self::JudgesEarly
            | Self::JudgesUnheardEarly
            | Self::JudgesLate
            | Self::NeverJudgesUnheard
            | Self::NeverJudges
            | Self::JudgesBeforeReading
            | Self::TakesSlownessForDeath
            | Self::IgnoresSuspends
            | Self::HearsWholeFramesOnly
            | Self::StampsBeforeReading
            | Self::StampsWhenFound
            | Self::StampsVaguely
            | Self::TrustsJiffies
            | Self::AnswersAnswers
            | Self::NeverAnswers
            | Self::NeverBeats
            | Self::AsksWithData
            | Self::LosesPartialFrames
            | Self::RepeatsPartialFrames
            | Self::LosesLastWords
            | Self::HurriesFrames
            | Self::DrainsLate
            | Self::StretchesFrames
            | Self::StretchesWindows
            | Self::EndsYoung => None,
        }
    }

    /// Whether its socket lies about bytes.
    pub(super) const fn is_of_the_socket(self) -> bool {
        self.is_of_beats()
            || matches!(
                self,
                Self::AnswersAnswers
                    | Self::JudgesBeforeReading
                    | Self::JudgesUnheardEarly
                    | Self::NeverJudgesUnheard
                    | Self::HearsWholeFramesOnly
                    | Self::LosesPartialFrames
                    | Self::RepeatsPartialFrames
                    | Self::LosesLastWords
            )
    }

    /// Whether its socket swallows beats.
    pub(super) const fn is_of_beats(self) -> bool {
        matches!(self, Self::NeverAnswers | Self::NeverBeats | Self::AsksWithData)
    }

    /// The promise that it breaks.
    #[must_use]
    pub const fn breaks(self) -> Invariant {
        match self {
            Self::JudgesEarly
            | Self::JudgesUnheardEarly
            | Self::IgnoresPauses
            | Self::IgnoresSuspends
            | Self::HearsWholeFramesOnly
            | Self::StampsBeforeReading
            | Self::TrustsJiffies => Invariant::NeverEarly,
            Self::JudgesLate
            | Self::NeverJudges
            | Self::WaitsForWrites
            | Self::TakesPausesForLife
            | Self::HearsItself
            | Self::StampsWhenFound => Invariant::AlwaysByTheBound,
            Self::NeverJudgesUnheard => Invariant::UnheardByTheBound,
            Self::JudgesBeforeReading
            | Self::TakesSlownessForDeath
            | Self::LeavesWithoutReading => Invariant::ReadFirst,
            Self::TellsTwice => Invariant::NeverTwice,
            Self::TellsWrongFigures => Invariant::TrueFigures,
            Self::SpeaksAfterOffline => Invariant::NothingAfterOffline,
            Self::AnswersAnswers => Invariant::NoEchoLoop,
            Self::NeverAnswers | Self::AsksWithData => Invariant::HealthyLives,
            Self::NeverBeats => Invariant::BeatsOnTime,
            Self::LosesPartialFrames | Self::RepeatsPartialFrames => Invariant::SameBytes,
            Self::LosesLastWords => Invariant::NothingLost,
            Self::StampsVaguely => Invariant::TrueRoundTrip,
            Self::HurriesFrames => Invariant::NoFalseViolation,
            Self::ForgetsTakenOver => Invariant::NewestWins,
            Self::SharesNames => Invariant::OnePerName,
            Self::TellsOfflineTwice => Invariant::OncePerOnline,
            Self::DrainsLate => Invariant::DrainsInTime,
            Self::ForgetsInstances => Invariant::KeepsItsName,
            Self::StretchesFrames => Invariant::LongestFrame,
            Self::ReplaysTooMuch
            | Self::ReplaysTooLittle
            | Self::TakesTakenForReceived
            | Self::EndsTooSoon => Invariant::NoGapNoRepeat,
            Self::AcksWhenReceived => Invariant::TrueAcks,
            Self::NeverGivesUp => Invariant::BackInTime,
            Self::TellsLessLost => Invariant::TrueLoss,
            Self::EndsWithItsLink => Invariant::OutlivesItsLinks,
            Self::TellsAwayTwice => Invariant::AwayAndBack,
            Self::StretchesWindows => Invariant::WithinTheWindow,
            Self::EndsYoung => Invariant::EndsForCause,
        }
    }
}
