//! What wire v1 adds to v0: a handshake that agrees on a contract, and beats that carry both
//! directions. `PROTOCOL.md` is the specification.
//!
//! The server's and the client's driver use the types in here; [`Connection`](crate::Connection) speaks
//! the wire.

mod beat;
mod contract;
mod handshake;

/// Longest body of a PAD, and so the most that a server can ask to be woken with: one frame is as
/// long as that.
pub const PAD_LEN_MAX: u32 = 64 * 1024;

pub use beat::{BEAT_LEN, Beat, Health};
pub use contract::{BEAT_FLOOR, Conflict, Contract, Direction, LIMIT_CEILING, Offer, Terms};
pub use handshake::{
    AGENT_LEN_MAX, BYE_LEN_MAX, Bye, ByeCode, DETAIL_LEN_MAX, HELLO_LEN_MAX, Hello, NAME_LEN_MAX,
    Retry, TOKEN_LEN_MAX, VERSION, Welcome,
};
