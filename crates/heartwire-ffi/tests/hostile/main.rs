//! Servers that break the rules and callers that are careless, through the calls of C.

#![expect(unsafe_code, reason = "these are the calls of C")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail as the test does, at whatever they did not expect"
)]

mod callers;
#[path = "../../src/tests/calls.rs"]
mod calls;
mod chaos;
mod rig;
mod servers;
#[cfg(feature = "resume")]
mod sessions;
mod world;
