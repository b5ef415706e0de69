//! The application's side of a shard, on the shard's own thread.

use core::fmt;
use core::task::Waker;

use heartwire_core::v1::RetryHint;

use super::event::Event;
use super::id::SessionId;
use super::{CommandError, Handle};

/// Receives the events of one shard, on its thread and in order.
///
/// Data is borrowed from the shard's buffer: nothing is copied. While a handler runs, its shard
/// does nothing else; one that takes longer than 250 ms is reported as a pause, and delays beats and
/// verdicts of its shard. For long work use [`channel`](super::channel()).
pub trait Handler: Send {
    /// Something happened.
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>);

    /// Whether this handler can take data now. The shard asks before it reads from a session.
    ///
    /// While the answer is `false`, the shard reads nothing from sessions: data waits in the kernel, and holds
    /// off verdicts on those it came from. It goes on beating, and it still reports the deaths of others.
    /// The code that makes room must call [`Resumer::resume`]; `resumer` is for this shard and can be kept.
    fn has_room(&mut self, resumer: &Resumer) -> bool {
        let _ = resumer;
        true
    }

    /// Whether this handler can take a newcomer now: its `Online`, what it sent with its first frame, and its
    /// `Offline`. The shard asks before it accepts clients, and before it reads from one that is not
    /// online yet. By default the same as [`has_room`](Self::has_room).
    ///
    /// A handler that has no room because clients send much should have room for newcomers for longer, or
    /// one client that sends without end shuts out all others.
    fn has_room_for_newcomers(&mut self, resumer: &Resumer) -> bool {
        self.has_room(resumer)
    }
}

impl<F: FnMut(Event<&[u8]>, &mut Control<'_>) + Send> Handler for F {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        self(event, control);
    }
}

/// Wakes a shard whose [`Handler::has_room`] or [`Handler::has_room_for_newcomers`] was false.
#[derive(Clone, Debug)]
pub struct Resumer(pub(super) Waker);

impl Resumer {
    /// Has the shard ask both again, soon. Any thread may call it.
    pub fn resume(&self) {
        self.0.wake_by_ref();
    }

    /// Whether both are for one shard.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.data() == other.0.data()
    }
}

/// What a handler's commands come to: a shard, in whatever world it runs. (So that [`Control`] need
/// not name it.)
pub(super) trait Commands: Send + Sync {
    fn handle(&self) -> &Handle;
    fn is_mine(&self, id: SessionId) -> bool;
    fn send(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError>;
    fn kick(&mut self, id: SessionId, retry: RetryHint, detail: &str) -> Result<(), CommandError>;
}

/// What a [`Handler`] can do on its server. Commands to sessions of its own shard are carried out
/// at once, others by their shard.
pub struct Control<'a> {
    pub(super) state: &'a mut dyn Commands,
}

impl fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control<'_> {
    /// Sends `data` as one frame. It is copied, and written when this shard's turn ends.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing was sent then. A slow reader, whose queue has no room for it, is
    /// closed with that reason.
    pub fn send(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        if self.state.is_mine(id) {
            self.state.send(id, data)
        } else {
            self.handle().send(id, data)
        }
    }

    /// Sends `data` as one frame to every session of this server. Slow readers are closed.
    ///
    /// # Errors
    ///
    /// [`CommandError::TooLong`] before anything was sent; [`CommandError::Busy`] if some shard
    /// had no room for the command, whose sessions then get nothing. A server that has shut down has
    /// no session to send to, which is no error.
    pub fn broadcast(&mut self, data: &[u8]) -> Result<(), CommandError> {
        self.handle().broadcast(data)
    }

    /// Ends a session with [`Reason::Kicked`](crate::Reason::Kicked), and tells the client not to
    /// come back: see [`Handle::kick`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; the session is as it was.
    pub fn kick(&mut self, id: SessionId) -> Result<(), CommandError> {
        self.kick_with(id, RetryHint::Never, "")
    }

    /// Ends a session with [`Reason::Kicked`](crate::Reason::Kicked), and tells the client when to
    /// come back and why it had to go: see [`Handle::kick_with`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; the session is as it was.
    pub fn kick_with(
        &mut self,
        id: SessionId,
        retry: RetryHint,
        detail: &str,
    ) -> Result<(), CommandError> {
        if self.state.is_mine(id) {
            self.state.kick(id, retry, detail)
        } else {
            self.handle().kick_with(id, retry, detail)
        }
    }

    /// Sessions of the whole server.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.handle().count()
    }

    /// The server, for other threads. (Its [`Handle::list`] waits for this shard, so calling that
    /// from a handler would wait for itself.)
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.state.handle().clone()
    }
}
