//! Sessions with a name, as their server reports them.

use core::net::SocketAddr;
use core::num::NonZero;

use heartwire::server::SessionId;

/// A session with a name that is online on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The client's name.
    pub(crate) name: Box<str>,
    /// Its epoch, as its server drew it.
    pub(crate) epoch: u64,
    /// The session on its server.
    pub(crate) id: SessionId,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// The client's instance, if it told it.
    pub(crate) instance: Option<NonZero<u64>>,
}

/// What leaves this node, when nothing holds it back any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// A name is online.
    Online(Session),
    /// A name is still online, with a newer session: the older one ended, and nothing was told of
    /// that. Only Redis has to know.
    Replaced(Session),
    /// A name is offline.
    Offline {
        /// The session that ended.
        session: Session,
        /// The name of the reason why it ended.
        reason: &'static str,
        /// The incident that it is part of.
        incident: Option<Box<str>>,
    },
}
