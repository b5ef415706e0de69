//! Who is online, and changes of it.

use core::num::NonZero;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// A name that is online.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The client's name.
    pub name: Box<str>,
    /// Orders the sessions of a name on all nodes: the newest has the highest. Microseconds since
    /// 1970 by the clock of Redis, or one more than the last. Below 2^53 until the year 2255.
    pub epoch: u64,
    /// The node that the client is connected to.
    pub node: NodeId,
    /// Its session on that node, such as `0-17-3`.
    pub session: Box<str>,
    /// Since when the name is online, on whichever node: microseconds since 1970.
    pub since: u64,
    /// The client's address when its session began.
    pub peer: Box<str>,
    /// The client's instance, if it tells it: the same client on another node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<NonZero<u64>>,
}

/// How presence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A name that was offline is online.
    Online,
    /// A name that was online is online on another node.
    Moved,
    /// A name is offline.
    Offline,
}

impl Kind {
    /// A short name that does not change between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Moved => "moved",
            Self::Offline => "offline",
        }
    }
}

/// One change of presence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// Orders all changes: later ones have higher numbers. Microseconds since 1970 when it was
    /// noticed, or one more than the last.
    pub number: u64,
    /// What changed.
    pub kind: Kind,
    /// The session that is online now, or that was.
    #[serde(flatten)]
    pub entry: Entry,
    /// The node that the client came from; only for [`Kind::Moved`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NodeId>,
    /// Why it is offline: the name of a [`Reason`](heartwire::Reason), such as `dead`; `node_lost`
    /// if its node has died; or `not_here` if Redis had it on a node that does not have it, as
    /// after a failover. Only for [`Kind::Offline`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The incident that it is part of, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Box<str>>,
}
