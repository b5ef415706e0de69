//! What the end of a session says about its client.

use heartwire::Reason;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client is online right after, on this node or on another one: a newer session of the
    /// same name took it over, or its server told it to connect again within a second.
    Renewed,
    /// The client was lost: without a BYE, or because it did not read. If many are lost at once,
    /// that may be this node's own fault.
    Lost,
    /// The client left, or one of the ends wanted it.
    Meant,
}

impl Ending {
    pub(super) const fn of(reason: &Reason) -> Self {
        match reason {
            Reason::TakenOver | Reason::MaxAge => Self::Renewed,
            Reason::Dead(_)
            | Reason::NotBack
            // Sessions with a name are on protocol v1, where a client that leaves says BYE. This
            // one was killed, or a balancer was.
            | Reason::ClosedByPeer
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
            Reason::Bye(_)
            | Reason::Done
            | Reason::Kicked
            | Reason::Shutdown
            | Reason::Unacknowledged
            | Reason::Protocol(_)
            | Reason::Rejected(_)
            | Reason::Revoked(_)
            | Reason::Expired(_)
            | Reason::Proxy(_)
            // No session of a server ends with these.
            | Reason::NetworkChanged
            | Reason::NotResumed
            | Reason::Suspected
            | _ => Self::Meant,
        }
    }
}
