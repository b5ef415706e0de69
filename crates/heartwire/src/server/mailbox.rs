//! A shard's mailbox: a bounded queue of commands, and a waker.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use heartwire_core::v1::RetryHint;

use super::CommandError;
use super::admission::Claimant;
use super::id::SessionId;
use super::sender::Room;
use super::survey::Survey;

/// Maximum number of commands that wait for one shard. A shard takes as many in one turn, so the
/// queue is full only while the shard is paused or flooded.
pub(super) const MAX_COMMANDS: usize = 4096;

#[derive(Debug)]
pub(super) enum Command {
    Send {
        id: SessionId,
        data: Vec<u8>,
        /// It waits for room in the session.
        room: Option<Room>,
    },
    Broadcast {
        data: Arc<[u8]>,
    },
    /// The application sends no more to this session.
    End {
        id: SessionId,
    },
    Kick {
        id: SessionId,
        retry: RetryHint,
        detail: Box<str>,
    },
    /// Another session takes over this session's name.
    TakeOver {
        id: SessionId,
        /// It is one of the same client on another server.
        same_client: bool,
    },
    /// The name that this session waits for is free.
    Welcome {
        id: SessionId,
    },
    /// A newer session replaces one that waits for a name.
    Replaced {
        id: SessionId,
    },
    /// A client would be refused its name because of this session. Read it, because it may have
    /// closed; then the client claims the name again.
    LookFor {
        id: SessionId,
        claimer: SessionId,
        claimant: Claimant,
    },
    /// The session that holds the name was read: claim it again.
    ClaimAgain {
        id: SessionId,
        claimant: Claimant,
    },
    Survey(Survey),
}

/// The sending end, shared by all threads.
#[derive(Debug)]
pub(super) struct Mailbox {
    commands: SyncSender<Command>,
    waker: Waker,
    /// Not a command, because it must work when the queue is full.
    shutdown: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> (Self, Receiver<Command>) {
        let (commands, receiver) = sync_channel(MAX_COMMANDS);
        (Self { commands, waker, shutdown: AtomicBool::new(false) }, receiver)
    }

    pub(super) fn post(&self, command: Command) -> Result<(), CommandError> {
        self.offer(command).map_err(|(error, _)| error)
    }

    /// Posts a command, or gives it back.
    pub(super) fn offer(&self, command: Command) -> Result<(), (CommandError, Command)> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(command) => (CommandError::Busy, command),
            TrySendError::Disconnected(command) => (CommandError::Gone, command),
        })?;
        self.wake();
        Ok(())
    }

    pub(super) fn shutdown(&self) {
        self.shutdown.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_shutdown(&self) -> bool {
        self.shutdown.load(Ordering::Acquire)
    }

    pub(super) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(super) fn wake(&self) {
        self.waker.wake_by_ref();
    }
}
