//! What protocol v1 adds to v0: a handshake that agrees on a contract, and beats that carry both
//! directions. `PROTOCOL.md` is the specification.
//!
//! The server's and the client's driver use the types in here; [`Connection`](crate::Connection) speaks
//! the wire.

mod beat;
mod contract;
mod handshake;

/// Longest body of a PAD, and so the most that a server can ask to be woken with: one frame is as
/// long as that.
pub const MAX_PAD_LEN: u32 = 64 * 1024;

pub use beat::{BEAT_LEN, Beat, Health};
pub use contract::{Conflict, Contract, Direction, MAX_TIMEOUT, MIN_INTERVAL, Offer, Terms};
pub use handshake::{
    Bye, ByeCode, Hello, MAX_AGENT_LEN, MAX_BYE_LEN, MAX_DETAIL_LEN, MAX_HELLO_LEN, MAX_NAME_LEN,
    MAX_TOKEN_LEN, RetryHint, VERSION, Welcome,
};
