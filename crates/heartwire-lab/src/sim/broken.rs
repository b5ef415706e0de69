//! Drivers that break a rule on purpose, to show that each rule is checked.

use heartwire::internal::Break;

use super::breach::Invariant;

/// What a broken driver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the lab is no library for others")]
pub enum Broken {
    /// It calls a peer dead a twentieth before the timeout.
    JudgesEarly,
    /// It gives the verdict that the peer does not hear it half a timeout too early.
    JudgesUnheardEarly,
    /// It calls a peer dead a tenth, and a tick, after it should have.
    JudgesLate,
    /// It never gives the verdict that the peer does not hear it.
    NeverJudgesUnheard,
    /// It lets every deadline pass.
    NeverJudges,
    /// It looks at its deadlines before it reads.
    JudgesBeforeReading,
    /// It looks at its deadlines only when nothing waits to be written.
    WaitsForWrites,
    /// It takes an application that is slow for a peer that is silent.
    TakesSlownessForDeath,
    /// It holds its own pauses against its peers.
    IgnoresPauses,
    /// It does not compare its clocks, so that a suspend that made nothing late goes unnoticed.
    IgnoresSuspends,
    /// It takes each of its pauses for a byte of the peer.
    TakesPausesForLife,
    /// It counts whole frames only.
    HearsWholeFramesOnly,
    /// It takes its own writes for life.
    HearsItself,
    /// It stamps bytes with the time at which its turn began.
    StampsBeforeReading,
    /// It stamps bytes that it found with the time of the read, not with the kernel's.
    StampsWhenFound,
    /// It believes to know the arrival of bytes a tenth of its timeout less well than it does.
    StampsVaguely,
    /// It trusts the kernel's jiffies to the nanosecond.
    TrustsJiffies,
    /// It tells a verdict twice.
    TellsTwice,
    /// It tells wrong figures.
    TellsWrongFigures,
    /// It goes on telling after the farewell.
    SpeaksAfterOffline,
    /// It answers every beat, answers too.
    AnswersAnswers,
    /// It answers no beat.
    NeverAnswers,
    /// It forgets to beat.
    NeverBeats,
    /// It takes the data that it sends for questions.
    AsksWithData,
    /// It drops what is left of a read after the last whole frame.
    LosesPartialFrames,
    /// It decodes what is left of a read twice.
    RepeatsPartialFrames,
    /// It takes the end of a connection before the bytes in front of it.
    LosesLastWords,
    /// It gives a frame half its time.
    HurriesFrames,
    /// A takeover forgets the session that had the name.
    ForgetsTakenOver,
    /// It lets a client in under a name that another session has.
    SharesNames,
    /// It tells of the end of a session twice.
    TellsOfflineTwice,
    /// It takes twice as long to shut down as it was told.
    DrainsLate,
}

impl Broken {
    /// Every way to be broken.
    pub const ALL: [Self; 32] = [
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
    ];

    /// The rule that the driver's own code breaks; `None` if its world or its settings lie to it.
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
            | Self::DrainsLate => None,
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
            Self::JudgesBeforeReading | Self::TakesSlownessForDeath => Invariant::ReadFirst,
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
        }
    }
}
