//! Nodes with a real server each, and a real Redis between them.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

mod alone;
mod hooks;
mod redis;
mod rig;
