//! What a node has its driver do, and what it tells it.

use core::time::Duration;

use heartwire::server::SessionId;
use heartwire_core::Instant;

use crate::PresenceEvent;
use crate::store::Call;

/// A session is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The session.
    pub(crate) session: SessionId,
    /// Why.
    pub(crate) why: Ended,
}

/// Why a session is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A newer session has its name.
    TakenOver {
        /// Whether that is known to be of the same client.
        same_client: bool,
    },
    /// An operator ended it.
    Kicked,
}

/// What the driver is to do next.
#[derive(Debug, Default)]
pub(crate) struct Next {
    /// The call to make. Its answer, or that there was none, is to be handed to
    /// [`Node::answered`](super::Node::answered).
    pub(crate) call: Option<Call>,
    /// Sessions to end.
    pub(crate) end: Vec<End>,
    /// What happened.
    pub(crate) events: Vec<PresenceEvent>,
    /// When to poll again, if nothing happens before.
    pub(crate) wait_until: Option<Instant>,
    /// The node is closed: the store was told all, and that the node has left.
    pub(crate) is_closed: bool,
}

/// Figures of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeFigures {
    /// Whether there is a connection to the store.
    pub(crate) is_connected: bool,
    /// Whether the node has a lease, as far as it knows.
    pub(crate) is_joined: bool,
    /// Names that are online on this node.
    pub(crate) online: usize,
    /// Names whose last state the store was not told yet.
    pub(crate) waiting: usize,
    /// For how long the first of them waits.
    pub(crate) lag: Duration,
    /// How often the node was taken for dead.
    pub(crate) fenced: u64,
}
