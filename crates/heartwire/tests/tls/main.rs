//! TLS over real sockets, and against programs that are not ours. What a session makes of what it reads, its
//! unit tests hold.

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
mod openssl;
mod peer;
mod server;
mod sockets;
