//! One end of a TLS connection, between a socket and its driver.

mod writing;

use core::fmt;
use std::io::{self, Read};

use super::diagnose;
use super::error::TlsFailure;
use super::fault::TlsFault;
use super::machine::{Machine, Next};
use super::store::Tickets;
use super::validity::{self, not_after};
use super::{SharedClientTls, SharedServerTls};
use crate::server::{Ended, Until};

/// Bytes that a record adds to its plaintext on the wire: a header of 5, a type of 1 and a tag of
/// 16, with every cipher of TLS 1.3 (RFC 8446, section 5.2).
pub(crate) const RECORD_OVERHEAD: usize = 22;

/// The longest plaintext of one record (RFC 8446, section 5.1).
pub(crate) const MAX_RECORD: usize = 16 * 1024;

/// The longest plaintext that is encrypted and written at once: four full records. A peer that
/// keeps up sleeps until the next system call, and each of them takes the time to wake it.
pub(crate) const MAX_WRITE: usize = 4 * MAX_RECORD;

/// Maximum bytes that a peer can make a session keep: a record or a handshake message can only be
/// processed when it is complete. The longest message is a certificate chain, and chains of more
/// than a few KiB are rare.
pub(crate) const MAX_PENDING: usize = 32 * 1024;

/// The shortest buffer that [`TlsSession::read`] takes: kept and new bytes go behind room for the
/// plaintext of one record.
pub(crate) const MIN_READ_LEN: usize = MAX_RECORD + MAX_PENDING;

/// One end of a TLS connection, for a driver that must not block.
///
/// It holds no socket: each call takes one. The handshake happens in [`read`](Self::read) and
/// [`flush`](Self::flush):
///
/// - When the socket is readable, [`read`](Self::read) until it has [`Received::Nothing`], or until
///   [`has_more`](Self::has_more) says that there is none.
/// - After reads, and when the socket is writable, [`flush`](Self::flush) if it
///   [`wants_write`](Self::wants_write). If that is not all, wait for the socket to be writable.
/// - [`write`](Self::write) what is to be sent, as much at a time as there is: that takes the
///   fewest records and system calls.
/// - At the end, [`close`](Self::close) and flush, so that the peer can tell a close from a cut.
///
/// An idle session keeps no bytes. Kept bytes are bounded: at most [`MAX_PENDING`] of incomplete
/// ciphertext, and of what the socket did not take, a handshake and the records of one write.
pub(crate) struct TlsSession {
    machine: Machine,
    /// Received ciphertext that is incomplete.
    inbound: Vec<u8>,
    /// Ciphertext to write, of which `written` bytes have been written.
    outbound: Vec<u8>,
    written: usize,
    /// Counts steps, at least one per complete record; it wraps.
    progress: u32,
    /// The last read filled its buffer.
    filled: bool,
    /// [`close`](Self::close) was called.
    closed: bool,
    /// How often the server's settings had changed when it began; it wraps.
    changes: u32,
    end: Option<Box<End>>,
}

/// The end that a read found.
#[derive(Clone, Debug)]
enum End {
    Closed,
    Truncated,
    Failed { fault: TlsFault, detail: String },
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing to read.
    Nothing,
    /// Bytes came from the peer, and so many bytes of plaintext are at the front of the buffer: 0
    /// during the handshake, or for a part of a record.
    Bytes(usize),
    /// The peer sent `close_notify`.
    Closed,
    /// The connection was closed without `close_notify`: the path may have cut off data.
    Truncated,
}

impl TlsSession {
    /// The server's end of a connection that was just accepted.
    ///
    /// # Errors
    ///
    /// [`TlsFault::Local`] if the system has no random bytes.
    pub(crate) fn server(tls: &SharedServerTls) -> Result<Self, TlsFailure> {
        // Before the settings are read, which are not older then.
        let changes = wrapped(tls.changes());
        let mut session = Self::start(Machine::Server(tls.connection()?))?;
        session.changes = changes;
        Ok(session)
    }

    /// The client's end of a connection to `host`: a name, or an address with or without brackets.
    /// It has something to write at once, and offers one of the tickets.
    ///
    /// # Errors
    ///
    /// [`TlsFault::Local`] if the system has no random bytes or `host` does not pass
    /// [`SharedClientTls::check_host`].
    pub(crate) fn client(
        tls: &SharedClientTls,
        host: &str,
        tickets: &mut Tickets,
    ) -> Result<Self, TlsFailure> {
        Self::start(Machine::Client(tls.connection(host, tickets)?))
    }

    /// Starts a session. A client has something to write at once.
    fn start(machine: Machine) -> Result<Self, TlsFailure> {
        let mut session = Self {
            machine,
            inbound: Vec::new(),
            outbound: Vec::new(),
            written: 0,
            progress: 0,
            filled: false,
            closed: false,
            changes: 0,
            end: None,
        };
        session.take_in(&mut [], 0, 0);
        match session.end.take() {
            None => Ok(session),
            Some(end) => end.tell().and(Ok(session)),
        }
    }

    /// Reads once from the socket and processes everything that came. Plaintext goes to the front
    /// of `buffer`, whose other bytes are overwritten; it needs at least [`MIN_READ_LEN`] bytes.
    ///
    /// Plaintext before an end is returned first, and the end by the next call, which does not read
    /// the socket.
    ///
    /// # Errors
    ///
    /// [`TlsFailure::Fault`] if the peer breaks the protocol or is not trusted; further calls
    /// return it again. An alert for the peer may wait to be [flushed](Self::flush).
    /// [`TlsFailure::Socket`] if the socket fails, and for a buffer that is too short
    /// ([`io::ErrorKind::InvalidInput`]).
    pub(crate) fn read(
        &mut self,
        socket: &mut impl Read,
        buffer: &mut [u8],
    ) -> Result<Received, TlsFailure> {
        if let Some(end) = &self.end {
            self.filled = false;
            return end.tell();
        }
        if buffer.len() < MIN_READ_LEN {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        // The ciphertext begins behind room for one record's plaintext. Plaintext is shorter than
        // its record, so from then on there is always room in front of the remaining ciphertext.
        let kept = MAX_RECORD + self.inbound.len();
        let space = buffer.get_mut(kept..).unwrap_or_default();
        let room = space.len();
        let len = match self.read_socket(socket, space)? {
            None => {
                self.filled = false;
                return Ok(Received::Nothing);
            }
            Some(0) => return self.handle_closed(),
            Some(len) => len,
        };
        self.filled = len == room;
        if let Some(front) = buffer.get_mut(MAX_RECORD..kept) {
            front.copy_from_slice(&self.inbound);
        }
        let plain = self.take_in(buffer, MAX_RECORD, kept + len);
        match &self.end {
            Some(end) if plain == 0 => end.tell(),
            _ => Ok(Received::Bytes(plain)),
        }
    }

    /// Whether another [`read`](Self::read) may find something at once: the last one filled its
    /// buffer, or found an end after plaintext. For edge-triggered drivers.
    #[must_use]
    pub(crate) const fn has_more(&self) -> bool {
        self.filled || self.end.is_some()
    }

    /// Whether nothing more will come, even if the end was not returned yet.
    #[must_use]
    pub(crate) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether an incomplete record or message has arrived.
    #[must_use]
    pub(crate) fn has_partial(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// Changes when a record or message of the peer is complete, so that a driver can detect a peer
    /// that makes no progress.
    #[must_use]
    pub(crate) const fn progress(&self) -> u32 {
        self.progress
    }

    /// Whether the handshake is still going on. Nothing can be written before it ends.
    #[must_use]
    pub(crate) fn is_handshaking(&self) -> bool {
        self.machine.is_handshaking()
    }

    /// Whether the handshake is over, and the client returned with a ticket.
    pub(crate) fn has_resumed(&self) -> bool {
        self.machine.has_resumed()
    }

    /// Whether the server's settings have changed since it began.
    pub(crate) fn is_outdated(&self, tls: &SharedServerTls) -> bool {
        self.changes != wrapped(tls.changes())
    }

    /// When the client's certificate expires, if it has one: it is valid in that second.
    pub(crate) fn certificate_until(&self) -> Option<Until> {
        let certificate = self.machine.certificates().first()?;
        let not_after = not_after(certificate);
        Some(not_after.map_or(Until::NEVER, |secs| Until::at(secs.saturating_add(1))))
    }

    /// Checks the client's certificate again, at so many seconds since 1970.
    pub(crate) fn check_again(&self, tls: &SharedServerTls, wall: u64) -> Result<(), Ended> {
        tls.check_again(self.machine.certificates(), wall)
    }

    /// Memory allocated for ciphertext, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.inbound.capacity() + self.outbound.capacity()
    }

    fn read_socket(
        &self,
        socket: &mut impl Read,
        space: &mut [u8],
    ) -> Result<Option<usize>, TlsFailure> {
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the list of error kinds is open")]
            return match socket.read(space) {
                Ok(len) => Ok(Some(len)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => Ok(None),
                    // A server without TLS closes a connection that begins with a TLS handshake.
                    // Whether it had read everything, which decides between a close and a reset, is
                    // chance.
                    io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
                        if self.is_handshaking() =>
                    {
                        let detail = error.to_string();
                        Err(TlsFailure::Fault { fault: TlsFault::Unfinished, detail })
                    }
                    _ => Err(TlsFailure::Socket(error)),
                },
            };
        }
    }

    /// Handles the end of the connection without `close_notify`.
    fn handle_closed(&mut self) -> Result<Received, TlsFailure> {
        self.filled = false;
        let end = if self.is_handshaking() {
            End::Failed { fault: TlsFault::Unfinished, detail: String::new() }
        } else {
            End::Truncated
        };
        self.end.insert(Box::new(end)).tell()
    }

    /// Processes the complete ciphertext at `start..end` of the buffer, and keeps the rest.
    /// Plaintext goes to the front of the buffer. Returns its length.
    fn take_in(&mut self, buffer: &mut [u8], mut start: usize, end: usize) -> usize {
        let mut plain = 0;
        self.end = loop {
            let (front, rest) = buffer.split_at_mut_checked(start).unwrap_or_default();
            let ciphertext = rest.get_mut(..end - start).unwrap_or_default();
            let room = front.get_mut(plain..).unwrap_or_default();
            let was_handshaking = self.is_handshaking();
            let mut step = self.machine.step(ciphertext, room, &mut self.outbound);
            if was_handshaking && self.machine.has_resumed() {
                if let Err(error) = validity::check(self.machine.certificates()) {
                    // What came is not for an unknown peer's driver, and what waits to be written
                    // is a new ticket, with which it would come back.
                    (step.plain, plain, step.next) = (0, 0, Next::Failed(error));
                    self.outbound.clear();
                }
            }
            self.progress = self.progress.wrapping_add(u32::from(step.used > 0));
            start += step.used;
            plain += step.plain;
            match step.next {
                Next::Step => {}
                Next::Bytes => break None,
                Next::Closed => break Some(Box::new(End::Closed)),
                Next::Failed(error) => {
                    self.machine.last_words(&mut self.outbound);
                    let unknown = buffer.get(start..end).unwrap_or_default();
                    break Some(Box::new(self.failed(&error, unknown)));
                }
            }
        };
        let rest = buffer.get(start..end).unwrap_or_default();
        if self.end.is_none() && rest.len() >= MAX_PENDING {
            let detail = format!("{} bytes and still not a whole message", rest.len());
            self.end = Some(Box::new(End::Failed { fault: TlsFault::TooMuch, detail }));
        }
        if rest.is_empty() || self.end.is_some() {
            self.inbound = Vec::new();
        } else {
            self.inbound.clear();
            self.inbound.extend_from_slice(rest);
        }
        plain
    }

    fn failed(&self, error: &rustls::Error, unknown: &[u8]) -> End {
        match diagnose::not_tls(unknown) {
            Some(fault) if self.progress == 0 => End::Failed { fault, detail: String::new() },
            _ => End::Failed { fault: diagnose::fault(error), detail: diagnose::detail(error) },
        }
    }
}

fn wrapped(changes: u64) -> u32 {
    u32::try_from(changes & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

impl End {
    const fn is_fault(&self) -> bool {
        match self {
            Self::Closed | Self::Truncated => false,
            Self::Failed { .. } => true,
        }
    }

    fn tell(&self) -> Result<Received, TlsFailure> {
        match self {
            Self::Closed => Ok(Received::Closed),
            Self::Truncated => Ok(Received::Truncated),
            Self::Failed { fault, detail } => {
                Err(TlsFailure::Fault { fault: *fault, detail: detail.clone() })
            }
        }
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession")
            .field("is_handshaking", &self.is_handshaking())
            .field("inbound", &self.inbound.len())
            .field("queued", &self.queued())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
