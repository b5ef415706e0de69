//! Errors of a wrapped connection.

use std::io;

use heartwire_core::Verdict;
use thiserror::Error as ThisError;

/// The peer is dead. [`Error::Dead`] and the [`io::Error`] of [`Alive`](super::Alive) carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
#[error("the peer is dead: {verdict}")]
pub struct Dead {
    /// The verdict, with its numbers.
    pub verdict: Verdict,
}

impl Dead {
    /// Extracts the verdict from an error of [`Alive`](super::Alive), also if a codec has passed it
    /// on as an [`io::Error`]. `None` for any other error.
    ///
    /// ```
    /// use heartwire::wrap::Dead;
    ///
    /// let error = std::io::Error::other("the disk is full");
    /// assert_eq!(Dead::in_error(&error), None);
    /// ```
    #[must_use]
    pub fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// The kind is `TimedOut`, as when the kernel gives up on a peer.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, self)
    }
}

/// Why a [`Heartbeat`](super::Heartbeat) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error<E> {
    /// The peer is dead: nothing came from it for the policy's timeout. A client should reconnect;
    /// a server can forget the peer.
    ///
    /// Afterwards the stream has ended, and every send fails with this error. The inner stream is
    /// not closed, and unwritten data waits in it: drop it. The kernel goes on sending written data
    /// to the dead peer for a quarter of an hour, unless the socket's `SO_LINGER` is 0.
    #[error(transparent)]
    Dead(#[from] Dead),
    /// An error of the inner stream, which defines what can be done after it.
    #[error(transparent)]
    Inner(E),
}

impl<E> Error<E> {
    /// The verdict, if this is one.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Dead(dead) => Some(dead.verdict),
            Self::Inner(_) => None,
        }
    }
}
