//! What C sees: tests of the calls, on a clock that the test sets.
#![expect(unsafe_code, reason = "the calls are made as C makes them")]

mod arguments;
mod calls;
mod ends;
mod handshake;
mod hearing;
#[cfg(feature = "resume")]
mod resuming;
mod returning;
mod rig;
mod verdicts;
mod writing;
