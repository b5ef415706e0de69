//! How other threads reach a shard: a bounded queue and one waker.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use heartwire_core::v1::RetryHint;
use tokio::sync::mpsc::UnboundedSender;

use super::CommandError;
use super::admission::Principal;
use super::event::SessionInfo;
use super::id::SessionId;

/// Commands that can wait for one shard. A shard takes as many once per turn, so the queue is full
/// only while a shard is paused or flooded.
pub(super) const MAX_COMMANDS: usize = 4096;

#[derive(Debug)]
pub(super) enum Command {
    Send {
        id: SessionId,
        data: Vec<u8>,
    },
    Broadcast {
        data: Arc<[u8]>,
    },
    Kick {
        id: SessionId,
        retry: RetryHint,
        detail: Box<str>,
    },
    /// Another session has this one's name now.
    TakeOver {
        id: SessionId,
    },
    /// Nobody has the name any more that this session waits for.
    Welcome {
        id: SessionId,
    },
    /// A session that waited for a name will not get it.
    Replaced {
        id: SessionId,
    },
    /// A client would be refused because of this session. It may have closed, and its end may not have been
    /// read: then the client is to claim the name again.
    LookFor {
        id: SessionId,
        claimer: SessionId,
        principal: Principal,
    },
    /// What there was to read of the session that holds the name has been read.
    ClaimAgain {
        id: SessionId,
        principal: Principal,
    },
    List {
        reply: UnboundedSender<Vec<SessionInfo>>,
    },
}

/// The sending end, shared by all threads.
#[derive(Debug)]
pub(super) struct Mailbox {
    commands: SyncSender<Command>,
    waker: Waker,
    /// Not a command, because it must get through when the queue is full.
    shutdown: AtomicBool,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> (Self, Receiver<Command>) {
        let (commands, receiver) = sync_channel(MAX_COMMANDS);
        (Self { commands, waker, shutdown: AtomicBool::new(false) }, receiver)
    }

    pub(super) fn post(&self, command: Command) -> Result<(), CommandError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Disconnected(_) => CommandError::Gone,
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
