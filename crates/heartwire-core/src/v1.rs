//! Protocol v1: a handshake that negotiates a contract, and beats that report on both directions.
//! `PROTOCOL.md` is the specification.
//!
//! The server's and the client's driver use these types; [`Connection`](crate::Connection) speaks
//! the protocol.

mod beat;
mod contract;
mod grease;
mod handshake;

/// Longest body of a PAD, and so the largest number of bytes that a server can ask to be woken
/// with.
pub const MAX_PAD_LEN: u32 = 64 * 1024;

pub use beat::{BEAT_LEN, Beat, Health, MAX_BEAT_LEN};
pub use contract::{Conflict, Contract, Direction, MAX_TIMEOUT, MIN_INTERVAL, Offer, Terms};
pub use handshake::{
    Bye, ByeCode, Hello, MAX_AGENT_LEN, MAX_BYE_LEN, MAX_DETAIL_LEN, MAX_HELLO_LEN, MAX_NAME_LEN,
    MAX_TOKEN_LEN, RetryHint, VERSION, Welcome,
};
