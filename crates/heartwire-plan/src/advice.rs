//! Advice for a fault that is never detected.

use core::fmt;

use heartwire_core::Side;

use crate::view::{name_of, peer_of};

/// Which setting would detect a fault that is never detected otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// This end hears its peer regularly, and needs a timeout.
    Timeout {
        /// The end that does not find it.
        on: Side,
    },
    /// This end needs a timeout, and its peer must send beats, or echo this end's.
    TimeoutAndTraffic {
        /// The end that does not find it.
        on: Side,
    },
    /// This end needs a user timeout: only the kernel sees that the peer does not read.
    UserTimeout {
        /// The end that does not find it.
        on: Side,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Timeout { on } => write!(f, "set a timeout on the {}", name_of(on)),
            Self::TimeoutAndTraffic { on } => write!(
                f,
                "set a timeout on the {}, and a beat or an echo on the {}",
                name_of(on),
                name_of(peer_of(on))
            ),
            Self::UserTimeout { on } => write!(f, "set a user timeout on the {}", name_of(on)),
        }
    }
}
