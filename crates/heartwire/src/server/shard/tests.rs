//! A shard in a toy world: when it does what, and what it makes of slow applications and slow
//! clients.

mod accept_rate;
mod age;
mod backpressure;
mod cause;
mod coalescing;
mod commands;
mod deadlines;
mod floods;
mod full;
mod full_sockets;
mod held;
mod late;
mod liveness;
mod measured;
mod names;
mod promises;
mod relayed;
mod resume;
mod shutdown;
mod survey;
#[cfg(feature = "tls")]
mod tls;

use heartwire_testkit::{patient, timeout};

use crate::server::{Protocols, ServerConfig};

/// One shard with clients of v0, which it judges after a minute.
fn v0() -> ServerConfig {
    v1().policy(timeout(60_000)).protocols(Protocols::V0)
}

/// One shard with clients of either protocol, to which it beats every 100 ms. It reads each beat.
fn v1() -> ServerConfig {
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap());
    config.threads(1).policy(patient()).coalesce(0)
}
