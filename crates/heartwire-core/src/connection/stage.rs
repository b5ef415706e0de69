//! The state of a connection.

use super::dialogue::Dialogue;
use super::handshake::Awaiting;
use super::settings::{FrameLimits, Protocol, Settings};
use crate::boxed::Boxed;
use crate::resume::Ledger;
use crate::time::{Halves, Instant};
use crate::violation::Violation;

/// A frame may take this long per KiB of its body on top of [`FrameLimits::frame`]: 1 KiB/s is
/// slower than any link that could carry a beat in time, and still ends a peer that sends slowly on
/// purpose.
const MILLIS_PER_KIB: u32 = 1_000;

/// Maximum number of answers owed. An answer only proves life, so more of them would tell a
/// flooding peer nothing.
const MAX_ANSWERS_OWED: u8 = 64;

/// The positions of a session that can be resumed, where a connection has them.
#[cfg(feature = "resume")]
pub(super) type Kept = Boxed<Ledger>;

/// The same where no session can be resumed: there are none.
#[cfg(not(feature = "resume"))]
#[derive(Clone, Debug)]
pub(super) enum Kept {}

#[cfg(not(feature = "resume"))]
impl core::ops::Deref for Kept {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        match *self {}
    }
}

#[cfg(not(feature = "resume"))]
impl core::ops::DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut Ledger {
        match *self {}
    }
}

/// The state of a connection.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Bytes without headers.
    Raw,
    /// Protocol v0, from the start or since the first frame.
    V0 { reading: Reading, answers_owed: u8 },
    /// The peer's first frame decides the protocol.
    Opening { reading: Reading, v0: bool },
    /// A HELLO came. Nothing is read until the application has decided.
    Deciding { since: Halves, max_frame: u32 },
    /// HELLO was sent, and no WELCOME came yet.
    Awaiting(Boxed<Awaiting>),
    /// Protocol v1, after the handshake.
    V1(Boxed<Dialogue>),
    /// Protocol v1 after the end: only reads what arrived before.
    V1Rest(Option<Kept>),
}

impl Stage {
    pub(super) fn new(settings: &Settings, now: Instant) -> Self {
        let reading = Reading::First { since: now.into() };
        match settings.protocol {
            Protocol::V0 => Self::V0 { reading, answers_owed: 0 },
            Protocol::Raw => Self::Raw,
            Protocol::V1 => {
                let offer = settings.offer_in_force();
                Self::Awaiting(Boxed::new(Awaiting::new(offer, settings.resume, now)))
            }
            Protocol::Any => Self::Opening { reading, v0: true },
            Protocol::V1Only => Self::Opening { reading, v0: false },
        }
    }

    pub(super) fn dialogue(&self) -> Option<&Dialogue> {
        if let Self::V1(dialogue) = self { Some(dialogue) } else { None }
    }

    pub(super) fn dialogue_mut(&mut self) -> Option<&mut Dialogue> {
        if let Self::V1(dialogue) = self { Some(dialogue) } else { None }
    }

    /// A beat of v0 came that is to be answered.
    pub(super) fn owe_answer(&mut self) {
        if let Self::V0 { answers_owed, .. } = self {
            *answers_owed = (*answers_owed + 1).min(MAX_ANSWERS_OWED);
        }
    }

    pub(super) const fn owes_answer(&self) -> bool {
        matches!(self, Self::V0 { answers_owed: 1.., .. })
    }

    /// Takes one owed answer. Returns whether there was one.
    pub(super) const fn take_answer(&mut self) -> bool {
        let Self::V0 { answers_owed, .. } = self else { return false };
        let owed = *answers_owed > 0;
        *answers_owed = answers_owed.saturating_sub(1);
        owed
    }

    /// The positions of a session that can be resumed.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        match self {
            Self::V1(dialogue) => dialogue.ledger.as_deref(),
            Self::V1Rest(ledger) => ledger.as_deref(),
            Self::Raw
            | Self::V0 { .. }
            | Self::Opening { .. }
            | Self::Deciding { .. }
            | Self::Awaiting(_) => None,
        }
    }

    /// Where the positions of a session are, on v1.
    pub(super) fn ledger_slot(&mut self) -> Option<&mut Option<Kept>> {
        match self {
            Self::V1(dialogue) => Some(&mut dialogue.ledger),
            Self::V1Rest(ledger) => Some(ledger),
            Self::Raw
            | Self::V0 { .. }
            | Self::Opening { .. }
            | Self::Deciding { .. }
            | Self::Awaiting(_) => None,
        }
    }

    /// The state of a connection that only reads on where this one ended.
    pub(super) fn without_output(&mut self) -> Self {
        let ledger = self.ledger_slot().and_then(Option::take);
        match self {
            Self::V0 { .. } => Self::V0 { reading: Reading::Between, answers_owed: 0 },
            Self::V1(_) | Self::V1Rest(_) => Self::V1Rest(ledger),
            Self::Opening { v0, .. } => Self::Opening { reading: Reading::Between, v0: *v0 },
            // No frame can follow.
            Self::Deciding { .. } | Self::Awaiting(_) => {
                Self::Opening { reading: Reading::Between, v0: false }
            }
            Self::Raw => Self::Raw,
        }
    }

    /// How far the peer's current frame has arrived. The handshake has one deadline for all of it.
    fn reading(&self) -> Reading {
        match self {
            Self::Raw | Self::V1Rest(_) => Reading::Between,
            Self::V0 { reading, .. } | Self::Opening { reading, .. } => *reading,
            Self::Deciding { since, .. } => Reading::First { since: *since },
            Self::Awaiting(awaiting) => Reading::First { since: awaiting.since.into() },
            Self::V1(dialogue) => dialogue.reading,
        }
    }

    /// When the handshake timeout began to count, during a handshake.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        match self.reading() {
            Reading::First { since } => Some(since.into()),
            Reading::Between | Reading::Frame { .. } => None,
        }
    }

    /// When the frame or handshake timeout ends.
    pub(super) fn deadline(&self, limits: &FrameLimits) -> Option<Instant> {
        match self.reading() {
            Reading::First { since } => {
                Some(Instant::from(since).plus_millis(limits.handshake_timeout?.get()))
            }
            Reading::Frame { since, kib: [low, middle, high] } => {
                let kib = u32::from_le_bytes([low, middle, high, 0]);
                let for_body = MILLIS_PER_KIB.saturating_mul(kib);
                let since = Instant::from(since);
                Some(since.plus_millis(limits.frame?.get()).plus_millis(for_body))
            }
            Reading::Between => None,
        }
    }

    /// The violation when that deadline has passed at `now`.
    pub(super) fn too_slow(&self, now: Instant) -> Option<Violation> {
        match self.reading() {
            Reading::First { since } => {
                Some(Violation::NoFirstFrame { waited: now.saturating_since(since.into()) })
            }
            Reading::Frame { since, .. } => {
                Some(Violation::SlowFrame { waited: now.saturating_since(since.into()) })
            }
            Reading::Between => None,
        }
    }

    /// Restarts the frame or handshake timeout at `now`.
    pub(super) fn restart(&mut self, now: Instant) {
        match self {
            Self::Raw | Self::V1Rest(_) => {}
            Self::Deciding { since, .. } => restart(since, now),
            Self::Awaiting(awaiting) => awaiting.since = awaiting.since.max(now),
            Self::V0 { reading, .. } | Self::Opening { reading, .. } => reading.restart(now),
            Self::V1(dialogue) => dialogue.reading.restart(now),
        }
    }
}

/// How far the peer's current frame has arrived. 12 bytes, so that a connection on v0 needs no box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// No whole header has arrived yet.
    First { since: Halves },
    /// Between frames.
    Between,
    /// Within a frame whose body has so many whole KiB, a number of 24 bits: 0 until the header is
    /// whole.
    Frame { since: Halves, kib: [u8; 3] },
}

fn restart(since: &mut Halves, now: Instant) {
    *since = Instant::from(*since).max(now).into();
}

impl Reading {
    /// Bytes of a frame came, but not all of it; `body_len` if its header is whole.
    pub(super) fn handle_partial(&mut self, now: Instant, body_len: Option<u32>) {
        let [low, middle, high, _] = (body_len.unwrap_or(0) / 1024).to_le_bytes();
        let kib = [low, middle, high];
        *self = match (*self, body_len) {
            (Self::First { since }, None) => Self::First { since },
            (Self::Frame { since, .. }, Some(_) | None) => Self::Frame { since, kib },
            (Self::First { .. }, Some(_)) | (Self::Between, Some(_) | None) => {
                Self::Frame { since: now.into(), kib }
            }
        };
    }

    fn restart(&mut self, now: Instant) {
        match self {
            Self::First { since } | Self::Frame { since, .. } => restart(since, now),
            Self::Between => {}
        }
    }
}
