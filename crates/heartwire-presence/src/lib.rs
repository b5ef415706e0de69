//! Who is online, on how many machines you like.
//!
//! Several Heartwire servers share their presence through Redis: which names are online, on which
//! node, since when and with which epoch. Heartbeats never reach Redis: a session's liveness is its
//! node's affair, and the node's own is a lease, renewed every five seconds.

mod change;
mod directory;
#[allow(dead_code, unused_imports, reason = "the parts that use it come next")]
mod hooks;
#[allow(dead_code, reason = "the parts that use it come next")]
mod node;
mod node_id;
#[allow(dead_code, reason = "the parts that use it come next")]
mod outgoing;
mod reader;
#[allow(dead_code, reason = "the parts that use it come next")]
mod session;
#[allow(dead_code, unused_imports, reason = "the parts that use it come next")]
mod store;

pub use change::{Change, Entry, Kind};
pub use directory::{Directory, Lease, Names, NodeInfo, RedisError};
pub use hooks::{BadSecret, Hook, HookError, HookEvent, HookStatus, Secret};
pub use node_id::{NodeId, NodeName, NotANodeName};
pub use outgoing::{Incident, IncidentCause, IncidentOver, NetworkLoss, OfflineBound};
pub use reader::{Because, Reader, Reading};
