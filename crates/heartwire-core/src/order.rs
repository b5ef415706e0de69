//! The order in which a driver does things, as types.
//!
//! A driver owns a socket and a clock, and asks its [`Connection`] what to do [next](Next). Two
//! rules stand behind the answers. Bytes that have arrived outrank a deadline: before a verdict,
//! and before a beat of protocol v1, which tells the peer what has been heard of it, the socket is
//! read. And this end's own trouble is not the peer's silence: what it had no room for, and a time
//! in which it stood still, is reported when it has read, at the one place where that counts. So
//! the answer before a verdict is always [`Next::ReadFirst`], and what it holds is all that
//! [`Connection::judge`] takes for one:
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
//! // Then it is silent, and the process stands still until that has been so for 10 s.
//! let pause = Pause::new(at(20), Duration::from_secs(8));
//! assert!(turn(&mut connection, &mut socket, Some(pause), at(20)).is_ok());
//! // It has another timeout from there.
//! let Err(Over::Dead(verdict)) = turn(&mut connection, &mut socket, Some(pause), at(30)) else {
//!     panic!("still alive");
//! };
//! assert_eq!((verdict.silence, verdict.paused), (2 * timeout, timeout));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A driver that does not read cannot judge: there is nothing to call.
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
    /// To read what the socket holds, hand it over, and then call [`Connection::judge`] with this.
    /// A deadline has passed, or a beat is due that says what has been heard.
    ///
    /// A driver that cannot read just now drops it and asks again later: nothing is lost.
    ReadFirst(ReadFirst),
    /// To write these bytes, in front of others that wait, and to ask again. They count as sent.
    Write(Transmit),
    /// To do nothing until then, unless something comes, or forever. See
    /// [`Connection::poll_timeout`].
    SleepUntil(Option<Instant>),
    /// To close the connection: it has ended. This is said once.
    Over(Over),
}

/// That the socket has to be read before a verdict. It is given back when it has been: without it
/// there is no verdict.
#[must_use = "read what the socket holds, and give it back"]
#[derive(Debug)]
pub struct ReadFirst {
    /// What is read is all that had come by then.
    pub(crate) now: Instant,
    pub(crate) outbound: Outbound,
}

/// What a driver has found that was told to [read first](ReadFirst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no other way to come back from a read")]
pub enum Found {
    /// All that had come, be it nothing; or as much as a driver takes at a time, so that a flood
    /// does not hold up a verdict.
    All,
    /// Something, and there may be more: if a verdict is still due, the answer is to read on.
    More,
    /// Something waits there, as of this time, that the driver has no room for, because its application
    /// is slow. Backpressure is not death: this counts as life.
    NoRoom(Instant),
}

/// What waits to be written when a driver asks what is [next](Next).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a queue is empty, open in front, or full")]
pub enum Outbound {
    /// Nothing.
    #[default]
    Clear,
    /// Something that shows the peer as well as an answer that this end lives, and as a beat where
    /// data stands in for it. A beat that says or asks more can be put in front of it, and
    /// [`Connection::handle_beat_written`] tells when it has been written.
    Waiting,
    /// The same, and nothing can be put in front of it: beats have to wait.
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
