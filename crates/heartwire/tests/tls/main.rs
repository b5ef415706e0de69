//! TLS, between two sessions in memory, over real sockets, and against programs that are not ours.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod certificates;
mod client;
mod clients;
mod ends;
mod files;
mod forger;
mod handshake;
mod hostile;
mod late;
mod memory;
mod openssl;
mod peer;
mod pipe;
mod reload;
mod rig;
mod server;
mod sockets;
mod traffic;
