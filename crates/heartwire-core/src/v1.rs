//! Protocol v1: a handshake that negotiates a contract, and beats that report on both directions.
//! `PROTOCOL.md` is the specification.
//!
//! The server's and the client's driver use these types; [`Connection`](crate::Connection) speaks
//! the protocol.

pub(crate) mod beat;
mod contract;
mod grease;
pub(crate) mod handshake;

pub use beat::Health;
pub(crate) use beat::{BEAT_LEN, Beat, MAX_BEAT_LEN, RESUMABLE_BEAT_LEN};
pub use contract::{Conflict, Contract, Direction, MAX_TIMEOUT, MIN_INTERVAL, Offer, Terms};
pub use handshake::{
    Bye, ByeCode, Hello, LastConnection, MAX_AGENT_LEN, MAX_DETAIL_LEN, MAX_NAME_LEN,
    MAX_TOKEN_LEN, ResumeOffer, ResumeTerms, Resumed, Resuming, RetryHint, Secret, Welcome,
};
pub(crate) use handshake::{MAX_BYE_LEN, MAX_HELLO_LEN, MAX_PAD_LEN};
