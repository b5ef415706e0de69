//! How a wrapped connection ends.

use std::io;

use heartwire_core::Verdict;
use thiserror::Error as ThisError;

/// The peer is dead. It is the source of [`Error::Dead`], and what an [`io::Error`] of
/// [`Alive`](super::Alive) carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
#[error("the peer is dead: {verdict}")]
pub struct Dead {
    /// The figures that this rests on.
    pub verdict: Verdict,
}

impl Dead {
    /// The verdict in an error of [`Alive`](super::Alive), also where a codec has passed it on as an
    /// [`io::Error`]. `None` for any other error.
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

    /// The kind is `TimedOut`, as it is when the kernel gives up on a peer.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, self)
    }
}

/// Why a [`Heartbeat`](super::Heartbeat) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum Error<E> {
    /// The verdict: nothing came from the peer for the policy's timeout. Connect again; a server may
    /// forget the peer.
    ///
    /// Afterwards the stream has ended, and whatever is sent fails with this error. The inner stream
    /// is as it was: it is not closed, and what was not written waits in it. Drop it. What is on its
    /// way the kernel goes on sending to a dead peer for a quarter of an hour, unless the socket was
    /// set to linger for no time at all (`SO_LINGER`).
    #[error(transparent)]
    Dead(#[from] Dead),
    /// The inner stream's own error. What it leaves behind is the inner stream's affair.
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
