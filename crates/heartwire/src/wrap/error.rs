//! Errors of a wrapped connection.

use std::io;

use heartwire_core::Verdict;
use thiserror::Error as ThisError;

/// The verdict in an error of [`Alive`](super::Alive), also if a codec has passed it on as an
/// [`io::Error`]. `None` for any other error.
///
/// ```
/// use heartwire::wrap::verdict_in;
///
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(verdict_in(&error), None);
/// ```
#[must_use]
pub fn verdict_in(error: &io::Error) -> Option<Verdict> {
    error.get_ref()?.downcast_ref::<Dead>().map(|dead| dead.0)
}

/// The kind is `TimedOut`, as when the kernel gives up on a peer.
pub(super) fn io_error(verdict: Verdict) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, Dead(verdict))
}

#[derive(Debug, ThisError)]
#[error("the peer is dead: {0}")]
struct Dead(Verdict);

/// Why a [`Heartbeat`](super::Heartbeat) failed.
#[derive(Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum Error<E> {
    /// The peer is dead: nothing came from it for the policy's timeout. A client should reconnect;
    /// a server can forget the peer.
    ///
    /// Afterwards the stream has ended, and every send fails with this error. The inner stream is
    /// not closed, and unwritten data waits in it: drop it. The kernel goes on sending written data
    /// to the dead peer for a quarter of an hour, unless the socket's `SO_LINGER` is 0.
    #[error("the peer is dead: {0}")]
    Dead(Verdict),
    /// An error of the inner stream, which defines what can be done after it.
    #[error(transparent)]
    Inner(E),
}

impl<E> Error<E> {
    /// The verdict, if this is one.
    #[must_use]
    pub const fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Dead(verdict) => Some(*verdict),
            Self::Inner(_) => None,
        }
    }
}
