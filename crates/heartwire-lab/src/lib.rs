//! Test lab: breaks Heartwire on purpose, to see whether it keeps its promises.
//!
//! [`sim`] runs both ends of a connection over links that exist in memory only, on a virtual clock;
//! [`storm`] lets a million clients reconnect at once; `flood` attacks a real server with silent
//! connections and wrong tokens; [`net`] breaks the real programs between network namespaces;
//! `bench` and `swarm` load a real server with very many clients, and compare it with a `baseline`;
//! `crowd` holds a million sessions on many servers; `shards` counts what a server's threads share;
//! `tunnel` measures `heartwire tunnel` beside socat; `operate` measures what metrics, listings,
//! the page and `top` cost; `presence` breaks nodes and the Redis that they share. It is no part of
//! the product: no crate depends on it.

#[cfg(target_os = "linux")]
pub mod baseline;
#[cfg(target_os = "linux")]
pub mod bench;
#[cfg(target_os = "linux")]
pub mod crowd;
#[cfg(target_os = "linux")]
pub mod flood;
#[cfg(target_os = "linux")]
mod local;
pub mod net;
#[cfg(target_os = "linux")]
pub mod operate;
pub mod output;
#[cfg(target_os = "linux")]
pub mod presence;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
pub mod shards;
pub mod sim;
pub mod storm;
#[cfg(target_os = "linux")]
pub mod swarm;
#[cfg(target_os = "linux")]
pub mod tied;
#[cfg(target_os = "linux")]
pub mod tunnel;
