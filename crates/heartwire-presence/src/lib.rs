//! Who is online, on how many machines you like.
//!
//! Several Heartwire servers share their presence through Redis: which names are online, on which
//! node, since when and with which epoch. Heartbeats never reach Redis: a session's liveness is its
//! node's affair, and the node's own is a lease, renewed every five seconds.

mod change;
mod clock;
mod commands;
mod config;
mod directory;
#[allow(dead_code, reason = "the part that uses it comes next")]
mod hooks;
mod interfaces;
mod link;
mod node;
mod node_id;
mod observer;
mod outgoing;
mod presence;
mod pump;
mod reader;
mod session;
mod shared;
mod status;
#[allow(dead_code, unused_imports, reason = "the parts that use it come next")]
mod store;

pub use change::{Change, Entry, Kind};
pub use config::{Config, ConfigError, StartError};
pub use directory::{Directory, Lease, Names, NodeInfo, RedisError};
pub use hooks::{BadSecret, Hook, HookError, HookEvent, HookStatus, Secret};
pub use node_id::{NodeId, NodeName, NotANodeName};
pub use observer::Observer;
pub use outgoing::{Incident, IncidentCause, IncidentOver, NetworkLoss, OfflineBound};
pub use presence::Presence;
pub use reader::{Because, Reader, Reading};
pub use status::{PresenceEvent, Status};
