//! Discards received bytes, at a limited rate.

use core::time::Duration;
use std::io;

use heartwire_core::Instant;

use super::Inbox;
use crate::world::Socket;

/// Number of reads of [`READ_LEN`] between two pauses of [`PAUSE`]. It limits a server that sends
/// as fast as it can to 64 MB/s, which costs next to nothing, and is more than what is in flight to
/// a client that closes.
const READS_AT_ONCE: u32 = 4;
const READ_LEN: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(1);

/// Reads until the peer has closed its side.
#[derive(Debug, Default)]
pub(super) struct Discard {
    reads: u32,
    pause_until: Option<Instant>,
    has_ended: bool,
}

impl Discard {
    /// Whether the peer has closed its side.
    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether to go on when the socket is readable.
    pub(super) const fn wants_read(&self) -> bool {
        !self.has_ended && self.pause_until.is_none()
    }

    /// When its pause ends, during one.
    pub(super) const fn resumes_at(&self) -> Option<Instant> {
        self.pause_until
    }

    /// Reads until the socket is empty, or up to the next pause.
    pub(super) fn run(
        &mut self,
        socket: &mut impl Socket,
        inbox: &mut Inbox,
        now: Instant,
    ) -> io::Result<()> {
        self.pause_until = self.pause_until.filter(|&at| now < at);
        while self.wants_read() {
            let space = inbox.space(READ_LEN).get_mut(..READ_LEN);
            match socket.read(space.unwrap_or_default()) {
                Ok(0) => self.has_ended = true,
                Ok(_) => {
                    self.reads += 1;
                    if self.reads >= READS_AT_ONCE {
                        self.reads = 0;
                        self.pause_until = Some(now.saturating_add(PAUSE));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
