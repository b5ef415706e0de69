//! The server over real loopback sockets. Its peers are plain `TcpStream`s that write and read the
//! 8-byte heads by hand, so that no mistake of the crate's own encoder can hide in both ends.
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

mod arrivals;
mod backpressure;
mod bad_input;
mod coalescing;
mod commands;
mod endings;
mod floods;
mod frames;
mod held;
mod limits;
mod listen;
mod liveness;
mod peer;
mod rig;
mod sessions;
mod shutdown;
