//! Wire v1 over real loopback sockets: the library's server and client with each other, and each of
//! them with peers that the tests play by hand.

mod both_ways;
mod byes;
mod coalescing;
mod counts;
mod floods;
mod gate;
mod handshake;
mod late;
mod names;
mod not_reading;
mod promise;
mod rejected;
mod slow_application;
mod states;
mod waiting;

use heartwire::server::ServerConfig;
use heartwire_testkit::{ms, patient};

/// One shard on the IPv4 loopback, for patient clients.
fn config() -> ServerConfig {
    // Peers stay open to the end of a test, and this is what its own end waits for them.
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap()).drain(ms(500));
    config.shards(1).policy(patient())
}
