//! The wrappers, mostly on a paused clock: time passes only when everything waits for it, so that
//! upper limits can be exact too. At the end, against programs that nobody here wrote.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unchecked_time_subtraction,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and says so of whatever it did not expect"
)]

mod alive;
mod allocations;
mod answers;
mod beats;
mod cancelling;
mod halves;
mod interop;
mod last_byte;
mod properties;
mod rig;
mod stalls;
mod tls;
mod verdicts;
mod writers;
