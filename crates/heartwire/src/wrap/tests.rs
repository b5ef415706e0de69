//! Mostly on a paused clock: time passes only when everything waits for it, so that upper bounds
//! can be exact too.

#![expect(
    clippy::unchecked_time_subtraction,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and says so of whatever it did not expect"
)]

mod alive;
mod allocations;
mod answers;
mod beats;
mod cancelling;
mod first_beat;
mod halves;
mod last_byte;
mod pauses;
mod properties;
mod rig;
mod tls;
mod verdicts;
mod writers;
