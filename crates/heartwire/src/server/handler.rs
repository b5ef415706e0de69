//! Handlers: the application's code on a shard's thread.

use core::fmt;
use core::task::Waker;

use heartwire_core::v1::RetryHint;

use super::event::Event;
use super::id::SessionId;
use super::receipts::Receipt;
use super::{CommandError, Handle};

/// Receives the events of one shard, in order, on the shard's thread.
///
/// Data is borrowed from the shard's buffer: nothing is copied. In a session that [outlives its
/// connections](super::ServerConfig::resume) it counts as taken over when the handler returns.
///
/// While a handler runs, its shard does nothing else. A handler that takes longer than 250 ms
/// delays the shard's beats and verdicts, and is reported as a pause. For slow work use
/// [`Server::start_with_events`](super::Server::start_with_events).
pub trait Handler: Send {
    /// Handles one event.
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>);

    /// Whether this handler can take data now. The shard asks before it reads from a session.
    ///
    /// While the answer is `false`, the shard does not read from sessions: data waits in the
    /// kernel, and its senders are not declared dead. (Sessions that outlive their connections are
    /// read all the same, and their data is kept: at most a window of each.) The shard still sends
    /// beats, and still declares silent clients dead. The code that makes room must wake `shard`,
    /// from any thread: the shard then asks again. The waker can be cloned and kept.
    fn has_room(&mut self, shard: &Waker) -> bool {
        let _ = shard;
        true
    }

    /// Whether this handler can take a new client now: its `Online`, the data that comes with its
    /// first frame, and its `Offline`. The shard asks before it accepts clients, and before it
    /// reads from a client that is not online yet. Default: [`has_room`](Self::has_room).
    ///
    /// A handler that runs out of room for data should still have room for new clients, or one
    /// client that sends without end locks out all others.
    fn has_room_for_newcomers(&mut self, shard: &Waker) -> bool {
        self.has_room(shard)
    }
}

impl<F: FnMut(Event<&[u8]>, &mut Control<'_>) + Send> Handler for F {
    fn handle(&mut self, event: Event<&[u8]>, control: &mut Control<'_>) {
        self(event, control);
    }
}

/// The commands of a shard, as a trait so that [`Control`] need not name the shard's world.
pub(super) trait Commands: Send + Sync {
    fn handle(&self) -> &Handle;
    fn is_mine(&self, id: SessionId) -> bool;
    fn send(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError>;
    fn end(&mut self, id: SessionId) -> Result<(), CommandError>;
    fn kick(&mut self, id: SessionId, retry: RetryHint, detail: &str) -> Result<(), CommandError>;
    /// See [`Control::receipt`].
    fn receipt(&mut self) -> Option<Receipt>;
}

/// Commands for a [`Handler`]. Those to sessions of its own shard run at once; other shards run
/// theirs later.
pub struct Control<'a> {
    pub(super) state: &'a mut dyn Commands,
}

impl fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control<'_> {
    /// Sends `data` as one frame. The data is copied, and written when this shard's turn ends.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing was sent then. A slow reader, whose queue has no room for the
    /// frame, is disconnected. A session that outlives its connections is not, if it is of this
    /// handler's shard: the error is [`CommandError::Full`], and [`Event::Room`] follows.
    pub fn send(&mut self, id: SessionId, data: &[u8]) -> Result<(), CommandError> {
        if self.state.is_mine(id) {
            self.state.send(id, data)
        } else {
            self.handle().send(id, data)
        }
    }

    /// Ends this end's direction of a session, after the data that was sent: see [`Handle::end`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; the session is as it was.
    pub fn end(&mut self, id: SessionId) -> Result<(), CommandError> {
        if self.state.is_mine(id) { self.state.end(id) } else { self.handle().end(id) }
    }

    /// Makes the data that the handler is being told of, or the end of it
    /// ([`Event::Ended`]), count as taken over only when the receipt is dropped, in any thread, and
    /// not when the handler returns. `None` for all other events, for sessions that end with their
    /// connection, and if it was asked for before.
    ///
    /// A handler that passes data on to another thread keeps the receipt with it. So the client
    /// sends at most a [window](super::Resume::window) more than that thread has done with. A
    /// handler that keeps the receipts of data has to keep that of the end, too.
    pub fn receipt(&mut self) -> Option<Receipt> {
        self.state.receipt()
    }

    /// Sends `data` as one frame to every session of this server: see [`Handle::broadcast`].
    ///
    /// All shards do this later, also the handler's own. What the handler [sends](Self::send)
    /// meanwhile to sessions of its own shard arrives there first, and a session that is online by
    /// then gets the broadcast too.
    ///
    /// # Errors
    ///
    /// [`CommandError::TooLong`] before anything was sent; [`CommandError::Busy`] if a shard had no
    /// room for the command: its sessions get nothing. After a shutdown there is no session to send
    /// to, which is not an error.
    pub fn broadcast(&mut self, data: &[u8]) -> Result<(), CommandError> {
        self.handle().broadcast(data)
    }

    /// Disconnects a client ([`Reason::Kicked`](crate::Reason::Kicked)) and tells it not to
    /// reconnect: see [`Handle::kick`].
    ///
    /// # Errors
    ///
    /// [`CommandError`]; the session is as it was.
    pub fn kick(&mut self, id: SessionId) -> Result<(), CommandError> {
        self.kick_with(id, RetryHint::Never, "")
    }

    /// Disconnects a client ([`Reason::Kicked`](crate::Reason::Kicked)) and tells it when to
    /// reconnect and why: see [`Handle::kick_with`].
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

    /// The number of sessions of the whole server.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.handle().count()
    }

    /// A handle to the server, for other threads. Do not call its [`Handle::blocking_list`] from a
    /// handler: it would wait for its own shard.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.state.handle().clone()
    }
}
