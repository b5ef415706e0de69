//! Closing a connection, from the end of its session to the close of its socket.

use core::time::Duration;
use std::io;

use heartwire_core::Instant;

use super::Link;
use crate::reason::Reason;
use crate::world::{Socket, World};

/// The state of a connection that is being closed.
///
/// A socket that is closed at once can lose the last bytes: the client's next beat meets a closed
/// socket, the kernel answers with a reset, and drops what it had not delivered.
#[derive(Debug)]
pub(in crate::server) struct Parting {
    /// When the socket is closed at the latest.
    pub(in crate::server) until: Instant,
    /// Why the session ended, until that is reported.
    pub(in crate::server) untold: Option<Reason>,
    /// When the last byte was written and the sending half closed.
    said_all_at: Option<Instant>,
    /// How many of the last bytes are only `close_notify` and the end of the stream.
    end_len: usize,
    /// The client has closed its side.
    client_closed: bool,
}

/// The result of a step of closing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Parted {
    Done,
    /// Not finished. `unread`: more bytes have come than could be discarded in one turn.
    NotYet {
        unread: bool,
    },
}

/// How long a client that has acknowledged everything has to close its side: a round trip on any
/// path with one lost packet. Until then received bytes are discarded, because a reset could
/// overtake the last bytes.
pub(in crate::server) const LINGER: Duration = Duration::from_secs(1);

impl<S: Socket> Link<S> {
    /// Begins to close: queued bytes are still sent, and received ones discarded.
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

    /// Goes on closing, with `waiting` bytes still to be written: closes the sending half after the
    /// last of them, and discards received bytes in at most `reads` reads. Returns whether more
    /// have come. An error ends the connection.
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
                self.stream.as_mut().map_or(Ok(()), Socket::shutdown_writing)?;
            }
        }
        for _ in 0..reads {
            if self.parting().is_none_or(|parting| parting.client_closed) {
                return Ok(false);
            }
            let Some(stream) = &mut self.stream else { return Ok(false) };
            match stream.read(buffer) {
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

    /// Whether the socket can be closed: the client has received everything, and has closed its
    /// side or had [`LINGER`] to do so.
    pub(in crate::server) fn has_parted(&self, world: &impl World) -> bool {
        let Some(parting) = self.parting() else { return true };
        let Some(said_all_at) = parting.said_all_at else { return false };
        let has_lingered = || world.now().saturating_since(said_all_at) >= LINGER;
        self.is_acknowledged() && (parting.client_closed || has_lingered())
    }

    /// Whether the client has acknowledged all written bytes, and none wait. It need not have
    /// acknowledged the end: a client that closes first often does not read it.
    pub(in crate::server) fn is_acknowledged(&self) -> bool {
        let Some(parting) = self.parting() else { return false };
        let has_all = match self.stream.as_ref().and_then(Socket::unacknowledged) {
            Some(bytes) => bytes <= parting.end_len,
            None => parting.client_closed,
        };
        has_all && parting.said_all_at.is_some()
    }

    /// When to check again, if nothing comes before.
    pub(in crate::server) fn part_again_at(&self, now: Instant) -> Instant {
        let said_all_at = self.parting().and_then(|parting| parting.said_all_at);
        let lingered = said_all_at.map(|at| at.saturating_add(LINGER)).filter(|&at| at > now);
        lingered.unwrap_or_else(|| now.saturating_add(LINGER / 4))
    }

    /// Sends `close_notify` if the socket accepts it.
    fn close_tls(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        let Some(tls) = &mut extra.tls else { return };
        let before = tls.queued();
        tls.close();
        if let Some(parting) = &mut extra.parting {
            parting.end_len += tls.queued().saturating_sub(before);
        }
        // If it cannot be sent, the end of the connection still ends it, only less clearly.
        let _ = self.stream.as_mut().map(|stream| tls.flush(stream));
    }
}
