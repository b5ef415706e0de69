//! What becomes of a connection between the end of its session and the close of its socket.

use core::time::Duration;
use std::io;

use heartwire_core::Instant;

use super::Link;
use crate::reason::Reason;
use crate::world::{Socket, World};

/// What is left to do for a session that has ended.
///
/// A socket that is closed at once takes what was just written with it: the next beat of the client
/// meets a closed socket, the kernel answers with a reset, and drops what it had not delivered.
#[derive(Debug)]
pub(in crate::server) struct Parting {
    /// When it is over at the latest.
    pub(in crate::server) until: Instant,
    /// Why the session ended, while the application has not been told.
    pub(in crate::server) untold: Option<Reason>,
    /// When the last word was written, and the sending half closed behind it.
    said_all_at: Option<Instant>,
    /// How many of the last bytes only say that nothing more comes: TLS's goodbye, and the end
    /// itself.
    end_len: usize,
    /// Nothing more comes from the client.
    client_closed: bool,
}

/// How far a connection has come with [parting](Parting).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Parted {
    Done,
    /// It goes on. `unread`: more has come than could be discarded in one turn.
    NotYet {
        unread: bool,
    },
}

/// How long a client that has acknowledged everything has for closing its side. Until then what
/// still comes is discarded: a reset would reach it among the last words. A round trip on any path,
/// with one lost packet.
pub(in crate::server) const LINGER: Duration = Duration::from_secs(1);

impl<S: Socket> Link<S> {
    /// Begins to part: what is queued is still sent, and what comes is discarded.
    pub(in crate::server) fn begin_parting(&mut self, until: Instant, reason: Reason) {
        let untold = Some(reason);
        let parting =
            Parting { until, untold, said_all_at: None, end_len: 1, client_closed: false };
        let extra = self.extra.get_or_insert_default();
        extra.inbound = Vec::new();
        extra.parting = Some(Box::new(parting));
    }

    pub(in crate::server) fn parting_mut(&mut self) -> Option<&mut Parting> {
        self.extra.as_mut()?.parting.as_deref_mut()
    }

    pub(in crate::server) fn parting(&self) -> Option<&Parting> {
        self.extra.as_ref()?.parting.as_deref()
    }

    /// Goes on with parting, when so many bytes still wait to be written: closes the sending half
    /// behind the last of them, and discards what has come, in `reads` reads at most. Returns
    /// whether more has come than that. An error is the end of the connection.
    pub(in crate::server) fn part(
        &mut self,
        waiting: usize,
        buffer: &mut [u8],
        reads: usize,
        now: Instant,
    ) -> io::Result<bool> {
        if waiting == 0 {
            self.close_tls();
        }
        if waiting + self.sealed() == 0 {
            let parting = self.parting_mut();
            if let Some(parting) = parting.filter(|parting| parting.said_all_at.is_none()) {
                parting.said_all_at = Some(now);
                self.stream.shutdown_writing()?;
            }
        }
        for _ in 0..reads {
            if self.parting().is_none_or(|parting| parting.client_closed) {
                return Ok(false);
            }
            match self.stream.read(buffer) {
                Ok(0) => {
                    if let Some(parting) = self.parting_mut() {
                        parting.client_closed = true;
                    }
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether nothing is left to wait for: the client has everything, and has closed its side, or
    /// had [`LINGER`] to do it.
    pub(in crate::server) fn has_parted(&self, world: &impl World) -> bool {
        let Some(parting) = self.parting() else { return true };
        let Some(said_all_at) = parting.said_all_at else { return false };
        let has_lingered = || world.now().saturating_since(said_all_at) >= LINGER;
        self.is_acknowledged() && (parting.client_closed || has_lingered())
    }

    /// Whether the client is known to have all that was written, and nothing waits to be. That
    /// nothing more comes need not have reached it: a client that closes first often does not look.
    pub(in crate::server) fn is_acknowledged(&self) -> bool {
        let Some(parting) = self.parting() else { return false };
        let has_all = match self.stream.unacknowledged() {
            Some(bytes) => bytes <= parting.end_len,
            None => parting.client_closed,
        };
        has_all && parting.said_all_at.is_some()
    }

    /// When to look at it again, if nothing comes before.
    pub(in crate::server) fn part_again_at(&self, now: Instant) -> Instant {
        let said_all_at = self.parting().and_then(|parting| parting.said_all_at);
        let lingered = said_all_at.map(|at| at.saturating_add(LINGER)).filter(|&at| at > now);
        lingered.unwrap_or_else(|| now.saturating_add(LINGER / 4))
    }

    /// Says in the way of TLS that nothing more will come, as far as the socket takes it.
    fn close_tls(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        let Some(tls) = &mut extra.tls else { return };
        let before = tls.queued();
        tls.close();
        if let Some(parting) = &mut extra.parting {
            parting.end_len += tls.queued().saturating_sub(before);
        }
        // The end of the connection will say it too, though not as clearly.
        let _ = tls.flush(&mut self.stream);
    }
}
