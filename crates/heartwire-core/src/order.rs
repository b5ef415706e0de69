//! What a driver does next, in which order: an order that the types enforce.
//!
//! A driver owns a socket and a clock, and asks its [`Connection`] what to do [next](Next). Two
//! rules decide the answers. Bytes that have arrived outrank a deadline: the socket is read before
//! a verdict, and before a beat of protocol v1, which tells the peer when it was last heard (a
//! driver that [knows that without a read](Found::Unread) may leave the bytes where they are). And
//! this end's own trouble is not the peer's silence: the driver reports bytes that it had no room
//! for, and pauses of its process, after that read. So the answer before a verdict is always
//! [`Next::ReadFirst`], and [`Connection::judge`] takes what it holds:
//!
//! ```
//! use core::time::Duration;
//! use heartwire_core::order::{Found, Next, Outbound, Over};
//! use heartwire_core::{Connection, Event, Instant, Policy, Settings, Pause};
//!
//! /// Everything that can be done at `now`. Returns when to call this again if nothing comes.
//! fn turn(
//!     connection: &mut Connection,
//!     socket: &mut Socket,
//!     pause: Option<Pause>,
//!     now: Instant,
//! ) -> Result<Option<Instant>, Over> {
//!     let mut next = connection.poll(now, Outbound::Clear);
//!     loop {
//!         next = match next {
//!             Next::ReadFirst(read) => {
//!                 socket.read(connection, now)?;
//!                 connection.judge(read, Found::All, pause)
//!             }
//!             Next::Write(bytes) => {
//!                 socket.written.extend_from_slice(bytes.as_ref());
//!                 connection.poll(now, Outbound::Clear)
//!             }
//!             Next::SleepUntil(at) => return Ok(at),
//!             Next::Over(over) => return Err(over),
//!         };
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Socket {
//!     arrived: Vec<u8>,
//!     written: Vec<u8>,
//! }
//!
//! impl Socket {
//!     fn read(&mut self, connection: &mut Connection, now: Instant) -> Result<(), Over> {
//!         if self.arrived.is_empty() {
//!             return Ok(());
//!         }
//!         connection.handle_heard(now);
//!         let mut bytes = self.arrived.as_slice();
//!         while let Some(event) = connection.handle_received(now, &mut bytes)? {
//!             assert_eq!(event, Event::Beat);
//!         }
//!         // A frame half arrived stays in front of what comes next.
//!         self.arrived = bytes.to_vec();
//!         Ok(())
//!     }
//! }
//!
//! let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
//! let (beat, timeout) = (Duration::from_secs(4), Duration::from_secs(10));
//! let policy = Policy::builder().interval(beat).timeout(timeout).build()?;
//! let mut connection = Connection::new(Settings::new(policy), at(0));
//! let mut socket = Socket::default();
//! assert_eq!(turn(&mut connection, &mut socket, None, at(0)), Ok(Some(at(4))));
//! assert_eq!(turn(&mut connection, &mut socket, None, at(4)), Ok(Some(at(8))));
//! assert_eq!(socket.written, [0; 8], "a beat of protocol v0");
//! // The timeout has passed. But a beat of the peer lies in the socket.
//! socket.arrived.extend([0; 8]);
//! assert_eq!(turn(&mut connection, &mut socket, None, at(10)), Ok(Some(at(14))));
//! // Then the peer is silent, and this process is paused until that has lasted for 10 s.
//! let pause = Pause::new(at(20), Duration::from_secs(8));
//! assert!(turn(&mut connection, &mut socket, Some(pause), at(20)).is_ok());
//! // The peer has another timeout from there.
//! let Err(Over::Dead(verdict)) = turn(&mut connection, &mut socket, Some(pause), at(30)) else {
//!     panic!("still alive");
//! };
//! assert_eq!((verdict.silence, verdict.paused), (2 * timeout, timeout));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A driver cannot give a verdict without a read: this does not compile.
//!
//! ```compile_fail,E0451
//! # use heartwire_core::order::{Found, ReadFirst};
//! # use heartwire_core::{Connection, Instant};
//! # fn judge_at_once(connection: &mut Connection, now: Instant) {
//! let _ = connection.judge(ReadFirst { now, outbound: Default::default() }, Found::All, None);
//! # }
//! ```

use core::fmt;

use crate::connection::Transmit;
use crate::liveness::Verdict;
use crate::time::Instant;
use crate::violation::Violation;

#[cfg(doc)]
use crate::connection::Connection;
#[cfg(doc)]
use crate::liveness::Liveness;

/// What a driver does next with its connection.
#[must_use]
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a driver must do each")]
pub enum Next {
    /// Read what the socket holds, hand it over, then call [`Connection::judge`] with this. A
    /// deadline has passed, or a beat of v1 is due.
    ///
    /// A driver that cannot read now drops it and asks again later: nothing is lost.
    ReadFirst(ReadFirst),
    /// Write these bytes, in front of others that wait, and ask again. They count as sent.
    Write(Transmit),
    /// Sleep until then, or until bytes arrive; `None`: there is no deadline. See
    /// [`Connection::poll_timeout`].
    SleepUntil(Option<Instant>),
    /// Close the connection: it has ended. Returned once.
    Over(Over),
}

/// Demands a read of the socket before a verdict. Give it back after the read: without it there is
/// no verdict.
#[must_use = "read what the socket holds, and give it back"]
#[derive(Debug)]
pub struct ReadFirst {
    /// The read covers what had arrived by then.
    pub(crate) now: Instant,
    pub(crate) outbound: Outbound,
}

/// Result of the read that [`ReadFirst`] demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no other way to come back from a read")]
pub enum Found {
    /// Everything that had arrived was read, perhaps nothing; or as much as the driver takes at a
    /// time, so that a flood does not delay a verdict.
    All,
    /// Something was read and there may be more: if a verdict is still due, the answer is to read
    /// on.
    More,
    /// Bytes waited at this time that the driver has no room for, because its application is slow.
    /// Backpressure is not death: they count as life.
    NoRoom(Instant),
    /// Nothing was read: the system knows, without a read, that the last byte had arrived by this
    /// time. That is enough for a beat, which tells the peer its silence. It is never enough for a
    /// verdict: if one is still due, the answer is to read.
    Unread(Instant),
}

/// What waits to be written when a driver asks what is [next](Next).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a queue is empty, open in front, or full")]
pub enum Outbound {
    /// Nothing.
    #[default]
    Clear,
    /// Data, which shows the peer that this end lives as well as an answer does, and as well as a
    /// beat where data replaces beats. Other beats can be put in front of it; report with
    /// [`Connection::handle_beat_written`] when one has been written.
    Waiting,
    /// Data that nothing can be put in front of: beats have to wait.
    Blocked,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must handle each")]
pub enum Over {
    /// The peer is dead.
    Dead(Verdict),
    /// The peer broke the protocol, or took too long for a frame.
    Broken(Violation),
}

impl From<Violation> for Over {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(verdict) => verdict.fmt(f),
            Self::Broken(violation) => violation.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
