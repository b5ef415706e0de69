//! The part of Heartwire that decides: it reads no clock, opens no socket and spawns nothing.
//!
//! A *driver* owns a socket and a clock, and holds one [`Connection`] for it. It tells the
//! connection what came ([`Connection::handle_heard`], [`Connection::handle_received`]), and asks
//! it what to do next ([`Connection::poll`]): read first, write, sleep until then, close.
//! Everything about life and death is decided in here, so that a server with a million sessions, a
//! client and a simulator on a virtual clock all come to the same verdict at the same time.
//!
//! ```
//! use core::time::Duration;
//! use heartwire_core::order::{Found, Next, Outbound, Over};
//! use heartwire_core::{Connection, Event, Instant, Policy, Settings};
//!
//! // A server that calls a client dead after 15 s of silence; its timers are at most 100 ms late.
//! let policy = Policy::builder().timeout(Duration::from_secs(15)).build()?;
//! let settings = Settings::new(policy).tick(Duration::from_millis(100));
//! let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
//! let mut connection = Connection::new(settings, at(0));
//!
//! // Bytes arrive after 3 s: an empty packet of type 0 is a beat.
//! connection.handle_heard(at(3));
//! let mut bytes: &[u8] = &[0; 8];
//! assert_eq!(connection.handle_received(at(3), &mut bytes)?, Some(Event::Beat));
//! assert!(bytes.is_empty());
//!
//! // Then nothing more. The verdict comes 15 s after the last byte, and not before.
//! assert_eq!(connection.poll_timeout(), Some(at(18)));
//! assert!(matches!(connection.poll(at(17), Outbound::Clear), Next::SleepUntil(_)));
//! let Next::ReadFirst(read) = connection.poll(at(18), Outbound::Clear) else { panic!("not due") };
//! // There is nothing in the socket.
//! let Next::Over(Over::Dead(verdict)) = connection.judge(read, Found::All, None) else {
//!     panic!("not silent")
//! };
//! assert_eq!(verdict.silence, Duration::from_secs(15));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! # What is in here
//!
//! | | |
//! |---|---|
//! | [`Policy`], [`Preset`], [`Bound`] | when to beat, what silence is death, and what that promises |
//! | [`order`] | what a driver does next, and an example of one |
//! | [`Connection`], [`Settings`], [`FrameLimits`] | one connection: frames in, events and beats out, the verdict |
//! | [`Liveness`] | the same for a protocol of your own, which has frames of another kind or none |
//! | [`PauseWatch`] | notices that the driver itself stood still, which is nobody else's silence |
//! | [`arrival`] | when bytes came that a driver was late to read |
//! | [`Backoff`] | how long to wait before connecting again |
//! | [`wheel`] | deadlines of very many connections, one entry for each |
//! | [`plan`] | when each end finds each kind of fault, computed from the settings of both |
//! | [`frame`], [`v1`] | how the two versions of the protocol look |
//!
//! The crate is `no_std` and needs an allocator: for the [`wheel`], and on [`v1`] for a little of
//! each connection, once. On protocol v0 a connection allocates nothing. No bytes from a peer make it
//! panic.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod arrival;
pub mod backoff;
mod bucket;
mod connection;
pub mod frame;
pub mod kernel;
mod liveness;
pub mod order;
mod pause;
pub mod plan;
mod policy;
mod time;
pub mod v1;
mod violation;
pub mod wheel;

pub use backoff::Backoff;
pub use connection::{
    Connection, Event, FrameLimits, LinkState, Protocol, Settings, Spoken, Transmit,
};
pub use liveness::{Cause, Liveness, Verdict};
pub use pause::{MIN_PAUSE, Pause, PauseWatch};
pub use policy::{Bound, Policy, PolicyBuilder, PolicyError, Preset, Side};
pub use time::Instant;
pub use violation::Violation;

/// What the crates of this workspace share. It is no part of the stable interface, and can change
/// with any version.
#[doc(hidden)]
pub mod internal {
    pub use crate::bucket::{Bucket, Gcra};
    pub use crate::time::{Typed, nanos};
}
