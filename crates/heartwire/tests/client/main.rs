//! The client on real sockets, against servers that each test plays by hand. The same tests run twice: with
//! the client for async programs, and with the one for programs without.
//!
//! Lower limits of time are exact: nothing may come early. Upper limits only keep a test from
//! hanging, unless lateness is what it is about.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::duplicate_mod,
    reason = "a test may panic, and says so of whatever it did not expect; and here each is there twice"
)]

#[cfg(target_os = "linux")]
#[path = "../../../../tests/skip.rs"]
mod skip;

#[path = "."]
mod on_tokio {
    mod beats;
    mod connecting;
    mod ends;
    mod looking;
    mod rig;
    mod sending;
    mod slow_application;
    mod stalls;
    mod streams;
    #[path = "subject_tokio.rs"]
    mod subject;
    mod verdicts;
    mod wire;
}

#[path = "."]
mod blocking {
    mod beats;
    mod connecting;
    mod ends;
    mod looking;
    mod rig;
    mod sending;
    mod slow_application;
    #[path = "subject_blocking.rs"]
    mod subject;
    mod synchronous;
    mod verdicts;
    mod wire;
}
