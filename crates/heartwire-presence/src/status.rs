//! What a node tells of itself.

use core::time::Duration;

use crate::{HookEvent, HookStatus, Incident, IncidentOver, NodeId};

/// How presence is at one moment, and counters since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether Redis answers; `None` without it.
    pub connected: Option<bool>,
    /// The node's id, while it has a lease.
    pub node: Option<NodeId>,
    /// Names that are online on this node.
    pub names: u32,
    /// Names whose last state Redis was not told yet.
    pub waiting: usize,
    /// For how long the first of them waits.
    pub lag: Duration,
    /// How often this node was taken for dead while it was not.
    pub fenced: u64,
    /// Ends of sessions that are held back.
    pub held: usize,
    /// Those of them that an incident holds back.
    pub held_by_incident: usize,
    /// The incident that is not over, by its id.
    pub incident: Option<Box<str>>,
    /// Incidents.
    pub incidents: u64,
    /// Names that were told offline.
    pub offline: u64,
    /// Ends that were never told, because the name was online again.
    pub cancelled: u64,
    /// Deliveries of the hook; `None` without one.
    pub hooks: Option<HookStatus>,
    /// Whether a part of presence has [failed](PresenceEvent::Failed).
    pub failed: bool,
}

/// What happened to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceEvent {
    /// The node has a lease: other nodes know it.
    Joined {
        /// Its id.
        node: NodeId,
        /// Another node of the same name that has a lease: that of an earlier run of this one
        /// which was killed, or a mistake.
        namesake: Option<NodeId>,
    },
    /// Redis does not answer, or will not do. Sessions go on, and the last state of each name waits
    /// to be told. Told again when the reason changes.
    Lost {
        /// What is wrong.
        error: Box<str>,
    },
    /// Redis answers again, or for the first time.
    Back {
        /// For how long it did not.
        lost_for: Duration,
    },
    /// Other nodes took this one for dead, and tell its names offline. It joins again under another
    /// id, and tells what it has.
    Fenced {
        /// The id that it had.
        node: NodeId,
    },
    /// Redis was emptied: all is told again.
    Emptied,
    /// Redis had something else of this node than was true, as after a failover. It is put right.
    Differed {
        /// How many names.
        names: u64,
    },
    /// Another node is dead. Its names are told offline, by this node and others.
    NodeLost {
        /// That node.
        node: NodeId,
    },
    /// Many clients are lost at once, and this node may be the cause.
    Incident(Incident),
    /// The end of an incident.
    IncidentOver(IncidentOver),
    /// Deliveries of the hook go otherwise than before.
    Hook(HookEvent),
    /// A part of presence has ended, by a mistake in it: what it did is not done any more, and this
    /// node should be started again. Its sessions go on, and other nodes may take it for dead.
    Failed {
        /// The part.
        part: &'static str,
        /// How it ended.
        error: Box<str>,
    },
}
