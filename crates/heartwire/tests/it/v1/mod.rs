//! Protocol v1 over real loopback sockets: the library's server and client with each other, and
//! each of them with a peer that the test plays.

mod admission;
mod age;
mod both_ways;
mod byes;
mod coalescing;
mod counts;
mod handshake;
mod names;
mod promise;
mod rejected;
mod resuming;
mod resuming_by_hand;
mod states;

use heartwire::server::ServerConfig;
use heartwire_testkit::{ms, patient};

/// One shard on the IPv4 loopback, for patient clients.
fn config() -> ServerConfig {
    // Peers stay open to the end of a test, and this is what its own end waits for them.
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).drain(ms(500));
    config.threads(1).policy(patient())
}
