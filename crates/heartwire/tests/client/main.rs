//! The client on real sockets, against servers that each test plays by hand.
//!
//! Lower limits of time are exact: nothing may come early. Upper limits only keep a test from
//! hanging, unless lateness is what it is about.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and says so of whatever it did not expect"
)]

mod beats;
mod connecting;
mod ends;
mod rig;
mod sending;
mod slow_application;
mod verdicts;
mod wire;
