//! The protocol and liveness logic of Heartwire, without I/O: no clock, no sockets, no threads.
//!
//! A *driver* owns a socket, a clock and one [`Connection`]. It reports what arrived
//! ([`Connection::handle_heard`], [`Connection::handle_received`]) and asks what to do next
//! ([`Connection::poll`]): read first, write, sleep until a time, or close. Because only this crate
//! decides when a peer is dead, a server with a million sessions, a client and a simulator on a
//! virtual clock all give the same verdict at the same time.
//!
//! ```
//! use core::time::Duration;
//! use heartwire_core::order::{Found, Next, Outbound, Over};
//! use heartwire_core::{Connection, Event, Instant, Policy, Settings};
//!
//! // A server with a timeout of 15 s, whose timers are at most 100 ms late.
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
//! | [`Policy`], [`Preset`], [`Bound`] | interval and timeout, and when they give a verdict |
//! | [`order`] | what a driver does next, with an example driver |
//! | [`Connection`], [`Settings`], [`FrameLimits`] | frames in; events, beats and the verdict out |
//! | [`Liveness`] | heartbeats and timeout for your own protocol, without our frames |
//! | [`PauseWatch`] | detects that this process was paused, so that no peer is blamed |
//! | [`Backoff`] | how long to wait before connecting again |
//! | [`wheel`] | timer wheel: the deadlines of very many connections |
//! | [`frame`], [`v1`] | the frames of protocol v0 and v1 |
//! | [`resume`] | the positions of a session that outlives its connections |
//!
//! The crate is `no_std`. No input from a peer makes it panic. Its features:
//!
//! - `alloc`, on by default, needs an allocator: for the [`wheel`], and on [`v1`] once per
//!   connection; on protocol v0 a connection allocates nothing. Without it there is no wheel,
//!   frames are encoded into a slice of the caller, what would be on the heap is
//!   [in place](Boxed), and a HELLO is refused: this end can be a client on v1, but not a server.
//! - `resume`, on with `alloc`: sessions that can be [resumed](resume). Without it a connection is
//!   80 bytes smaller.

#![no_std]
#![cfg_attr(
    not(feature = "alloc"),
    allow(rustdoc::broken_intra_doc_links, reason = "some lead to what only that feature has")
)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(feature = "alloc"),
    allow(clippy::large_enum_variant, reason = "there is no heap to put the large ones on")
)]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod arrival;
pub mod backoff;
mod boxed;
mod bucket;
mod codec;
mod connection;
pub mod frame;
pub mod kernel;
mod liveness;
mod mix;
pub mod order;
mod pause;
mod policy;
pub mod resume;
mod returning;
mod time;
pub mod v1;
mod violation;
#[cfg(feature = "alloc")]
pub mod wheel;

pub use backoff::Backoff;
pub use boxed::{Boxed, Shared};
pub use connection::{
    Connection, Event, FrameLimits, LinkState, Pad, Protocol, Settings, Template, Transmit,
};
pub use liveness::{Cause, Liveness, Verdict};
pub use pause::{MIN_PAUSE, Pause, PauseWatch};
pub use policy::{Bound, Policy, PolicyBuilder, PolicyError, Preset, Side};
pub use time::Instant;
pub use violation::Violation;

/// Shared by the crates of this workspace. Not part of the stable API; can change in any version.
#[doc(hidden)]
pub mod internal {
    pub use crate::bucket::{Bucket, Gcra};
    pub use crate::connection::Spoken;
    pub use crate::time::{Typed, nanos};

    pub mod arrival {
        pub use crate::arrival::*;
    }
    pub mod codec {
        pub use crate::codec::*;
    }
    pub mod returning {
        pub use crate::returning::*;
    }
    pub mod v1 {
        pub use crate::v1::beat::{BEAT_LEN, Beat, MAX_BEAT_LEN, RESUMABLE_BEAT_LEN};
        pub use crate::v1::handshake::{MAX_BYE_LEN, MAX_HELLO_LEN, MAX_PAD_LEN};
    }
}
