//! TLS over real sockets, where the other end is one of ours or plain rustls. What a session makes of what it
//! reads, its unit tests hold.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod certificates;
mod client;
mod late;
mod peer;
mod server;
