//! The library over real loopback sockets. In one program, because linking takes longer than most
//! of these tests; what a process has only once (its descriptors, what listens to its log, its own
//! stop) is tested in others.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod client;
mod server;
mod supervisor;
#[cfg(feature = "tls")]
mod tls;
mod v1;
