//! The server over real loopback sockets. Its peers are plain sockets, whose frames the kit writes
//! and reads by hand.

mod backpressure;
mod bad_input;
mod coalescing;
mod commands;
mod endings;
mod frames;
mod limits;
mod listen;
mod liveness;
mod sessions;
mod shutdown;

use heartwire::server::{Protocols, ServerConfig};
use heartwire_testkit::{ms, timeout};

/// One shard on the IPv4 loopback that gives no verdict within a test's time.
fn config() -> ServerConfig {
    // Peers stay open to the end of a test, and this is what its own end waits for them.
    listening("127.0.0.1:0").threads(1).policy(timeout(60_000)).drain(ms(500))
}

fn listening(addr: &str) -> ServerConfig {
    ServerConfig::new(addr.parse().unwrap()).protocols(Protocols::V0)
}
