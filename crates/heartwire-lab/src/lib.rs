//! Breaks Heartwire on purpose, to see whether it keeps its word.
//!
//! [`sim`] runs both ends of a connection over links that exist in memory only, on a virtual clock;
//! [`storm`] lets a million clients come back at once; `flood` puts a crowd that wants nothing on a real
//! server; [`net`] breaks the real programs between network namespaces; `bench` and `swarm` load a real
//! server with very many clients, and compare it with a `baseline`. None of it belongs to the product: nobody depends on this crate.

#[cfg(target_os = "linux")]
pub mod baseline;
#[cfg(target_os = "linux")]
pub mod bench;
#[cfg(target_os = "linux")]
pub mod flood;
#[cfg(target_os = "linux")]
mod local;
pub mod net;
pub mod output;
#[cfg(target_os = "linux")]
mod process;
pub mod sim;
pub mod storm;
#[cfg(target_os = "linux")]
pub mod swarm;
