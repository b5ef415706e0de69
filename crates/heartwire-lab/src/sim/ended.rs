//! How an end of a connection comes to its end.

use heartwire_core::plan::Mechanism;
use heartwire_core::v1::ByeCode;
use heartwire_core::{Verdict, Violation};

use super::link::SocketError;

/// How a connection came to its end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Dead(Verdict),
    Violation(Violation),
    /// The peer closed it; `truncated` if in the middle of a frame.
    Closed {
        truncated: bool,
    },
    Failed(SocketError),
    /// The peer said why it leaves.
    Bye(ByeCode),
    /// The two ends could not agree.
    TurnedAway,
    /// Its own owner closed it.
    Left,
}

impl End {
    /// What found that the connection is over, in the words of a plan.
    pub(super) const fn mechanism(&self) -> Option<Mechanism> {
        match self {
            Self::Dead(_) => Some(Mechanism::Silence),
            Self::Closed { .. } => Some(Mechanism::EndOfStream),
            Self::Failed(SocketError::Reset) => Some(Mechanism::Reset),
            Self::Failed(SocketError::TimedOut) => Some(Mechanism::Retransmissions),
            Self::Violation(_) | Self::Bye(_) | Self::TurnedAway | Self::Left => None,
        }
    }
}
