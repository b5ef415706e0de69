//! What the end of a session says about its client.

use heartwire::Reason;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A newer session of the same name took it over: it is online right after, on this node or on
    /// another one.
    TakenOver,
    /// The client was lost: by a verdict, an error, or because it did not read. If many are lost
    /// at once, that may be this node's own fault.
    Lost,
    /// The client closed the connection without a BYE. On protocol v0 that is how all sessions
    /// end, so many of these are no sign of anything, unless this node was paused.
    Closed,
    /// The client left, or one of the ends wanted it.
    Meant,
}

impl Ending {
    pub(super) const fn of(reason: &Reason) -> Self {
        match reason {
            Reason::TakenOver => Self::TakenOver,
            Reason::Dead(_)
            | Reason::NotBack
            | Reason::Reset
            | Reason::Truncated
            | Reason::NoGoodbye
            | Reason::Failed(_)
            | Reason::Tls(_)
            // What is sent to clients cannot leave while an interface is down.
            | Reason::SlowReader
            | Reason::MostBuffered
            | Reason::Overflow
            | Reason::ReplayFull => Self::Lost,
            Reason::ClosedByPeer => Self::Closed,
            Reason::Bye(_)
            | Reason::Done
            | Reason::Kicked
            | Reason::Shutdown
            | Reason::Unacknowledged
            | Reason::Protocol(_)
            | Reason::Rejected(_)
            | Reason::Revoked(_)
            | Reason::Expired(_)
            | Reason::MaxAge
            | Reason::Proxy(_)
            // No session of a server ends with these.
            | Reason::NetworkChanged
            | Reason::NotResumed
            | Reason::Suspected
            | _ => Self::Meant,
        }
    }
}
