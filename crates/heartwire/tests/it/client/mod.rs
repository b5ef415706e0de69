//! The client on real sockets, against servers that each test plays by hand. The client for
//! programs without async is the same one on a thread of its own: `synchronous` has what only that
//! one can do. What a client does when, and in which order, is tested by stepping through it
//! (`src/client/rig.rs`).

mod ends;
mod looking;
mod protocol;
mod slow_application;
mod streams;
mod synchronous;
mod verdicts;
