//! Wire v1 over real loopback sockets: the library's server and client with each other, and each of
//! them with peers that the tests play by hand.
//!
//! What takes time is checked exactly on the early side, and generously on the late one, because
//! the machine may be busy with something else.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod both_ways;
mod byes;
mod client;
mod coalescing;
mod counts;
mod floods;
mod gate;
mod handshake;
mod late;
mod leaving;
mod names;
mod not_reading;
mod peer;
mod promise;
mod proxy;
mod rejected;
mod rig;
mod slow_application;
mod states;
mod waiting;
