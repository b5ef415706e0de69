//! Calls of the store, and its answers.
//!
//! A node has one call under way at a time. The store is Redis, or in tests a model of it.

use core::num::NonZero;
use core::time::Duration;

use crate::NodeId;

/// A call of the store. Each is one script, and so atomic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    /// Takes a lease for a new node. Answer: [`Answer::Leased`], or [`Answer::Fenced`] if other
    /// nodes have begun to reap this id already.
    Join {
        /// The node.
        node: NodeId,
        /// Where operators reach it, as it says itself; may be empty.
        address: Box<str>,
    },
    /// Renews a lease, also one that is over, unless other nodes have begun to reap the node.
    /// Answer: [`Answer::Leased`], or [`Answer::Fenced`].
    Renew {
        /// The node.
        node: NodeId,
    },
    /// Says what has changed on a node, in order. Answer: [`Answer::Applied`], or
    /// [`Answer::Fenced`] or [`Answer::Stale`], and then nothing was applied.
    Apply {
        /// The node.
        node: NodeId,
        /// Counts these calls of the node. The same call again has its number again; a call with
        /// other ops has a higher one. A Redis that was stopped reads all that connections given up
        /// long ago had sent, in any order: what is older than the last applied must not count.
        number: u64,
        /// The changes, 200 at most.
        ops: Vec<Op>,
    },
    /// Asks what the store holds of a node. Answer: [`Answer::Digest`], or [`Answer::Fenced`].
    Compare {
        /// The node.
        node: NodeId,
    },
    /// Asks which names the store has for a node, a portion at a time. Answer: [`Answer::Names`].
    Names {
        /// The node.
        node: NodeId,
        /// 0 at first, then that of the last answer, until it is 0 again.
        cursor: u64,
    },
    /// Asks for nodes whose lease is over, or that are being reaped. Answer: [`Answer::Expired`].
    Expired,
    /// Tells the names of a dead node offline, a portion at a time. Answer: [`Answer::Reaped`].
    Reap {
        /// The dead node.
        node: NodeId,
        /// How many names at most.
        most: u32,
    },
    /// Tells readers and hooks of an incident, as JSON. Answer: [`Answer::Told`].
    Tell {
        /// What is told: `incident` or `incident_over`.
        kind: &'static str,
        /// Its fields, as JSON.
        detail: Box<str>,
    },
    /// Gives the lease back. What the store has of the node is reaped. Answer: [`Answer::Told`].
    Leave {
        /// The node.
        node: NodeId,
    },
    /// Has the node of a name end its session. Answer: [`Answer::Kicked`].
    Kick {
        /// The name.
        name: Box<str>,
    },
}

/// A change of one name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// The name is online on this node.
    Online {
        /// The name.
        name: Box<str>,
        /// The epoch that its session has.
        epoch: u64,
        /// The session.
        session: Box<str>,
        /// The client's instance, if it told it.
        instance: Option<NonZero<u64>>,
        /// The client's address.
        peer: Box<str>,
    },
    /// The name is not online on this node any more.
    Offline {
        /// The name.
        name: Box<str>,
        /// The epoch of the session that ended, as the store knows it ([`Outcome::Online`]). Takes
        /// the name offline if the store has this epoch or an older one, for this node.
        epoch: u64,
        /// Why it ended.
        reason: Box<str>,
        /// The incident that it is part of.
        incident: Option<Box<str>>,
    },
}

impl Op {
    /// The name that it is about.
    #[must_use]
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Online { name, .. } | Self::Offline { name, .. } => name,
        }
    }
}

/// What became of an [`Op`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The name is online with this epoch, which may be higher than the one proposed (and lower
    /// only where that lay in the future).
    Online {
        /// The epoch that counts from now on.
        epoch: u64,
    },
    /// A newer session has the name, on another node: end this one.
    Older {
        /// The epoch of the newer one.
        epoch: u64,
        /// Whether that is the same client, on another connection.
        same_client: bool,
    },
    /// The name is not online with the epoch that ended, if it ever was.
    Offline,
}

/// The answer to a [`Call`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The node has a lease.
    Leased {
        /// The clock of the store: microseconds since 1970.
        now: u64,
        /// Changes when the store was emptied: then all is to be told again.
        generation: Box<str>,
        /// Another node of the same name that has a lease; told to [`Call::Join`] only.
        namesake: Option<NodeId>,
    },
    /// The node was taken for dead: it goes on under a new id, and says again what it has.
    Fenced,
    /// A later [`Call::Apply`] of the node came before this one.
    Stale,
    /// One outcome for each op.
    Applied(Vec<Outcome>),
    /// What the store has of the node.
    Digest {
        /// How many names.
        names: u64,
        /// The sum of the [hashes](crate::store::hash) of them and their epochs.
        hash: u64,
    },
    /// Names of a node, with their epochs.
    Names {
        /// The names.
        names: Vec<(Box<str>, u64)>,
        /// For the next call; 0 at the end.
        cursor: u64,
    },
    /// Nodes to reap.
    Expired(Vec<NodeId>),
    /// A portion of a dead node was reaped.
    Reaped {
        /// How many names went offline.
        offline: u32,
        /// How many are left; 0: the node is forgotten.
        left: u64,
        /// When the next portion may be asked for. All nodes together keep this pace.
        wait: Duration,
    },
    /// The node to be reaped has renewed its lease.
    Alive,
    /// It was told.
    Told,
    /// The node that was told to end the session; none if the name is not online, or was on a node
    /// that is being reaped.
    Kicked(Option<NodeId>),
}

impl Answer {
    /// Whether this can be the answer to a call.
    pub(super) fn suits(&self, call: &Call) -> bool {
        match call {
            Call::Join { .. } | Call::Renew { .. } => {
                matches!(self, Self::Leased { .. } | Self::Fenced)
            }
            Call::Apply { ops, .. } => {
                matches!(self, Self::Applied(outcomes) if outcomes.len() == ops.len())
                    || matches!(self, Self::Stale | Self::Fenced)
            }
            Call::Compare { .. } => matches!(self, Self::Digest { .. } | Self::Fenced),
            Call::Names { .. } => matches!(self, Self::Names { .. }),
            Call::Expired => matches!(self, Self::Expired(_)),
            Call::Reap { .. } => matches!(self, Self::Reaped { .. } | Self::Alive),
            Call::Tell { .. } | Call::Leave { .. } => matches!(self, Self::Told),
            Call::Kick { .. } => matches!(self, Self::Kicked(_)),
        }
    }
}

/// What the store, or an operator through it, wants of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A newer session has the name: end those with a lower epoch.
    TakenOver {
        /// The name.
        name: Box<str>,
        /// The epoch of the newer session.
        epoch: u64,
        /// Whether that is the same client, on another connection.
        same_client: bool,
    },
    /// An operator ends the session of this name.
    Kick {
        /// The name.
        name: Box<str>,
        /// That of the session at most: a newer one is not meant.
        epoch: u64,
    },
}
