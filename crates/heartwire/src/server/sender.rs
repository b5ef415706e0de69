//! Sends to one session from a task, which waits while there is no room.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::id::SessionId;
use super::mailbox::Command;
use super::{CommandError, Handle};

/// Bytes that may wait besides the window: enough to fill it while the task that sends waits for
/// its turn.
const ROOM: u32 = 64 * 1024;

/// Sends to one session in order, and waits while it has no room: from
/// [`Handle::sender`](super::Handle::sender).
#[derive(Debug)]
pub struct Sender {
    handle: Handle,
    id: SessionId,
    room: Arc<Semaphore>,
}

impl Sender {
    pub(super) fn new(handle: Handle, id: SessionId) -> Self {
        let room = Semaphore::new(usize::try_from(ROOM).unwrap_or(usize::MAX));
        Self { handle, id, room: Arc::new(room) }
    }

    /// Sends `data` as one frame, after what was sent before. Waits while 64 KiB of earlier data
    /// have not found room: in the session's [window](super::Resume::window), if it can be
    /// [resumed](super::ServerConfig::resume); otherwise in the mailbox of its shard. If the future
    /// is dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// [`CommandError::TooLong`]; nothing was sent then. [`CommandError::Gone`] when the session
    /// has ended: what was sent since may be lost, and [`Event::Offline`](super::Event::Offline)
    /// counts what of it had found room.
    pub async fn send(&mut self, data: Vec<u8>) -> Result<(), CommandError> {
        let len = self.handle.frame_len(&data)?;
        let cost = u32::try_from(len).unwrap_or(u32::MAX).min(ROOM);
        let room = Arc::clone(&self.room).acquire_many_owned(cost).await;
        let room = Room(room.map_err(|_| CommandError::Gone)?);
        let mut command = Command::Send { id: self.id, data, room: Some(room) };
        let mailbox = self.handle.mailbox(self.id.shard()).ok_or(CommandError::Gone)?;
        // The shard takes thousands of commands in a turn, so its mailbox is rarely full.
        while let Err((error, refused)) = mailbox.offer(command) {
            if error != CommandError::Busy {
                return Err(error);
            }
            command = refused;
            tokio::time::sleep(crate::TICK).await;
        }
        Ok(())
    }

    /// Says that this end sends no more, after what was sent: see
    /// [`Handle::end`](super::Handle::end).
    ///
    /// # Errors
    ///
    /// [`CommandError::Gone`].
    pub async fn end(&mut self) -> Result<(), CommandError> {
        loop {
            match self.handle.end(self.id) {
                Err(CommandError::Busy) => tokio::time::sleep(crate::TICK).await,
                done => return done,
            }
        }
    }
}

/// The room of data that a [`Sender`] has sent, until it is in the session's queue.
#[derive(Debug)]
pub(super) struct Room(OwnedSemaphorePermit);

impl Room {
    /// The session has ended: its sender waits no more.
    pub(super) fn close(&self) {
        self.0.semaphore().close();
    }
}
