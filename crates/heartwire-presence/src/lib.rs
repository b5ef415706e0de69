//! Who is online, on how many machines you like.
//!
//! Several Heartwire servers share their presence through Redis: which names are online, on which
//! node, since when and with which epoch. Heartbeats never reach Redis: a session's liveness is its
//! node's affair, and the node's own is a lease, renewed every five seconds.
//!
//! A chat server that shares presence with others like it, and tells a web application who is
//! there:
//!
//! ```no_run
//! use core::time::Duration;
//!
//! use heartwire::server::{Control, Event, Handler, Server, ServerConfig};
//! use heartwire_presence::{Config, Hook, Observer, Presence};
//!
//! struct Chat {
//!     shard: usize,
//!     observer: Observer,
//! }
//!
//! impl Handler for Chat {
//!     fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
//!         self.observer.observe(self.shard, &event);
//!         if let Event::Data { data, .. } = event {
//!             let _ = control.broadcast(data);
//!         }
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn core::error::Error>> {
//! let config = Config::new("eu-1".parse()?)
//!     .redis("redis://10.0.0.5")?
//!     .hook(Hook::http("https://example.org/presence", None)?)
//!     .offline_after(Duration::from_secs(10));
//! let presence = Presence::start(config, |event| println!("{event:?}")).await?;
//!
//! let listen = "[::]:39000".parse()?;
//! let server = ServerConfig::new(listen).epoch_clock(presence.epoch_clock());
//! let observer = presence.observer();
//! let server = Server::start(server, |shard| Chat { shard, observer: observer.clone() })?;
//! presence.attach(server.handle().clone());
//!
//! tokio::signal::ctrl_c().await?;
//! server.handle().shutdown();
//! tokio::task::spawn_blocking(|| server.join()).await??;
//! presence.close(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Other programs read presence with a [`Directory`] and a [`Reader`].

mod change;
mod clock;
mod commands;
mod config;
mod directory;
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
#[cfg(test)]
mod sim;
mod status;
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
