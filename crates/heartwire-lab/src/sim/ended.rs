//! How a connection ended, at one end.

use heartwire::Reason;
use heartwire_core::v1::ByeCode;
use heartwire_core::{Cause, Verdict, Violation};
use heartwire_plan::Mechanism;

use super::link::SocketError;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Dead(Verdict),
    Violation(Violation),
    /// The peer closed it; `truncated` if in the middle of a frame.
    Closed {
        truncated: bool,
    },
    Failed(SocketError),
    /// The peer sent BYE.
    Bye(ByeCode),
    /// The two ends could not agree.
    Rejected,
    /// Its own application closed it.
    Left,
    /// Both applications have ended their direction.
    Done,
    /// A newer session has its name.
    TakenOver,
    /// It had reached its greatest age.
    TooOld,
    /// Its client's token is not valid any more.
    Revoked,
    /// Its peer was a slow reader.
    SlowReader,
    /// The path to its peer was lost when the network changed.
    NetworkChanged,
    /// It was silent, and a spare connection took its place.
    Suspected,
    /// Anything else, which cannot occur here.
    Other(&'static str),
}

impl End {
    /// The mechanism of a plan that detected the end.
    pub(super) const fn mechanism(&self) -> Option<Mechanism> {
        match self {
            Self::Dead(_) => Some(Mechanism::Silence),
            // A BYE comes just before the end.
            Self::Closed { .. } | Self::Bye(_) => Some(Mechanism::EndOfStream),
            Self::Failed(SocketError::Reset) => Some(Mechanism::Reset),
            Self::Failed(SocketError::TimedOut) => Some(Mechanism::Retransmissions),
            Self::Violation(_)
            | Self::Rejected
            | Self::Left
            | Self::Done
            | Self::TakenOver
            | Self::TooOld
            | Self::Revoked
            | Self::SlowReader
            | Self::NetworkChanged
            | Self::Suspected
            | Self::Other(_) => None,
        }
    }

    /// The library's reason.
    pub(super) fn of(reason: &Reason) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the list of reasons is open")]
        match *reason {
            Reason::ClosedByPeer => Self::Closed { truncated: false },
            Reason::Truncated => Self::Closed { truncated: true },
            Reason::Reset => Self::Failed(SocketError::Reset),
            Reason::Dead(Verdict { cause: Cause::Kernel, .. }) => {
                Self::Failed(SocketError::TimedOut)
            }
            Reason::Dead(verdict) => Self::Dead(verdict),
            Reason::Protocol(violation) => Self::Violation(violation),
            Reason::SlowReader => Self::SlowReader,
            Reason::Kicked | Reason::Shutdown | Reason::Unacknowledged => Self::Left,
            Reason::Bye(code) => Self::Bye(code),
            Reason::Rejected(_) => Self::Rejected,
            Reason::Done => Self::Done,
            Reason::TakenOver => Self::TakenOver,
            Reason::MaxAge => Self::TooOld,
            Reason::Revoked(_) => Self::Revoked,
            Reason::NetworkChanged => Self::NetworkChanged,
            Reason::Suspected => Self::Suspected,
            _ => Self::Other(reason.name()),
        }
    }
}
