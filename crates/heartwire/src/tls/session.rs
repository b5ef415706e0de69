//! One side of a TLS connection, between a socket and its driver.

use core::fmt;
use std::io::{self, Read, Write};

use super::diagnose;
use super::error::TlsError;
use super::fault::TlsFault;
use super::machine::{Machine, Next, Outgoing};
use super::{SharedClientTls, SharedServerTls};

/// Bytes that a record adds to its plaintext on the wire: a header of 5, a type of 1 and a tag of 16,
/// with every cipher of TLS 1.3 (RFC 8446, section 5.2).
pub(crate) const RECORD_OVERHEAD: usize = 22;

/// The longest plaintext of one record (RFC 8446, section 5.1).
pub(crate) const MAX_RECORD: usize = 16 * 1024;

/// The most that a peer can make a session keep: a record or a handshake message has to be whole
/// before it can be understood. A certificate chain is the longest message there is, and chains of
/// more than a few KiB are rare.
pub(crate) const MAX_PENDING: usize = 32 * 1024;

/// The shortest buffer that [`TlsSession::read`] takes: what was kept and what is read are put
/// behind room for the plaintext of one record.
pub(crate) const MIN_READ_LEN: usize = MAX_RECORD + MAX_PENDING;

/// One side of a TLS connection, for a driver that must not wait.
///
/// It holds no socket: each call is given it. The handshake has no calls of its own, it happens in
/// [`read`](Self::read) and [`flush`](Self::flush):
///
/// - When the socket is readable, [`read`](Self::read) until it has [`Received::Nothing`], or until
///   [`has_more`](Self::has_more) says that there is none.
/// - After reads, and when the socket is writable, [`flush`](Self::flush) if it
///   [`wants_write`](Self::wants_write). If that is not all, wait for the socket to be writable.
/// - [`write`](Self::write) what is to be sent, a frame at a time, so that each costs one record.
/// - At the end, [`close`](Self::close) and flush, so that the peer can tell it from a cut.
///
/// An idle session keeps no bytes. What is kept is bounded: [`MAX_PENDING`] of ciphertext that is not
/// whole yet, and of what the socket did not take, one record and a handshake.
pub(crate) struct TlsSession {
    machine: Machine,
    /// Ciphertext that came and cannot be understood before more of it comes.
    inbound: Vec<u8>,
    /// Ciphertext to be written, of which the first `written` bytes have been.
    outbound: Vec<u8>,
    written: usize,
    /// Whole records that have come, and then some: it counts steps, and starts over when it is full.
    progress: u32,
    /// The last read took as much as there was room for.
    filled: bool,
    /// The peer has been told, or is about to be, that nothing more comes.
    closed: bool,
    end: Option<Box<End>>,
}

/// What reading found that nothing can come after.
#[derive(Clone, Debug)]
enum End {
    Closed,
    Truncated,
    Failed { fault: TlsFault, detail: String },
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing is there.
    Nothing,
    /// Bytes came from the peer, and so many bytes of plaintext out of them, which are at the front of
    /// the buffer. None when it was the handshake, or a part of a record.
    Bytes(usize),
    /// The peer has said that it sends no more (`close_notify`).
    Closed,
    /// The connection was closed, and the peer did not say so: something on the way may have cut off
    /// what it sent.
    Truncated,
}

impl TlsSession {
    /// The server's side of a connection that was just accepted.
    ///
    /// # Errors
    ///
    /// [`TlsFault::Local`], when the system has no random bytes.
    pub(crate) fn server(tls: &SharedServerTls) -> Result<Self, TlsError> {
        Self::start(Machine::Server(tls.connection()?))
    }

    /// The client's side of a connection to `host`: a name, or an address, in brackets or not. It
    /// has something to write at once.
    ///
    /// # Errors
    ///
    /// [`TlsFault::Local`], when the system has no random bytes or `host` does not pass
    /// [`SharedClientTls::check_host`].
    pub(crate) fn client(tls: &SharedClientTls, host: &str) -> Result<Self, TlsError> {
        Self::start(Machine::Client(tls.connection(host)?))
    }

    /// A client has something to say at once.
    fn start(machine: Machine) -> Result<Self, TlsError> {
        let mut session = Self {
            machine,
            inbound: Vec::new(),
            outbound: Vec::new(),
            written: 0,
            progress: 0,
            filled: false,
            closed: false,
            end: None,
        };
        session.take_in(&mut [], 0, 0);
        match session.end.take() {
            None => Ok(session),
            Some(end) => end.tell().and(Ok(session)),
        }
    }

    /// Reads once from the socket, and takes in everything that came. Plaintext ends up at the front
    /// of `buffer`, whose other bytes are used too; it has to have [`MIN_READ_LEN`] at least.
    ///
    /// Plaintext that came before an end is told first, and the end by the next call, which does not
    /// touch the socket then.
    ///
    /// # Errors
    ///
    /// [`TlsError::Fault`] when the peer is not to be understood or not to be trusted. It is told again
    /// by each further call. An alert for the peer may be there to [`flush`](Self::flush).
    /// [`TlsError::Socket`] when the socket fails, and for a buffer that is too short
    /// ([`io::ErrorKind::InvalidInput`]).
    pub(crate) fn read(
        &mut self,
        socket: &mut impl Read,
        buffer: &mut [u8],
    ) -> Result<Received, TlsError> {
        if let Some(end) = &self.end {
            self.filled = false;
            return end.tell();
        }
        if buffer.len() < MIN_READ_LEN {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        // The ciphertext begins behind room for a record's plaintext. What comes out of a record is
        // shorter than the record, so from then on there is always room in front of what is left.
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

    /// Whether another [`read`](Self::read) would find something at once, as far as is known: the last
    /// one was as long as its buffer, or found an end after plaintext. Meant for drivers that are told
    /// only once that a socket has something.
    #[must_use]
    pub(crate) const fn has_more(&self) -> bool {
        self.filled || self.end.is_some()
    }

    /// Whether nothing more will come, though the end may not have been told yet.
    #[must_use]
    pub(crate) const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the peer has begun something that is not whole yet.
    #[must_use]
    pub(crate) fn has_partial(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// Changes when something that the peer had begun is whole: so a driver can tell a peer that goes on
    /// from one that does not get on.
    #[must_use]
    pub(crate) const fn progress(&self) -> u32 {
        self.progress
    }

    /// Whether the handshake is not over. Nothing can be written before it is.
    #[must_use]
    pub(crate) fn is_handshaking(&self) -> bool {
        self.machine.is_handshaking()
    }

    /// Whether ciphertext waits for the socket to take it.
    #[must_use]
    pub(crate) fn wants_write(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// How much ciphertext waits for the socket to take it.
    #[must_use]
    pub(crate) fn queued(&self) -> usize {
        self.outbound.len() - self.written
    }

    /// How many bytes of memory hold ciphertext.
    pub(crate) fn held(&self) -> usize {
        self.inbound.capacity() + self.outbound.capacity()
    }

    /// Encrypts the beginning of `plain`, up to [`MAX_RECORD`] bytes, as one record, and writes as much
    /// of it as the socket takes. The rest is kept, and is written first by the next call.
    ///
    /// Returns how many bytes of `plain` that was; they are not to be written again.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] during the handshake, and while the socket has not taken what was
    /// encrypted before; nothing of `plain` was taken then. [`io::ErrorKind::BrokenPipe`] after a fault
    /// and after [`close`](Self::close). Otherwise what the socket said, and the connection is over.
    pub(crate) fn write(&mut self, socket: &mut impl Write, plain: &[u8]) -> io::Result<usize> {
        if !self.flush(socket)? || self.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let record = plain.get(..MAX_RECORD).unwrap_or(plain);
        if record.is_empty() {
            return Ok(0);
        }
        if !self.encrypt(Outgoing::Data(record))? {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.flush(socket)?;
        Ok(record.len())
    }

    /// Writes what waits, as far as the socket takes it. Returns whether that was all.
    ///
    /// # Errors
    ///
    /// What the socket said, other than that it takes no more for now.
    pub(crate) fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while let Some(waiting) = self.outbound.get(self.written..).filter(|w| !w.is_empty()) {
            match socket.write(waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.outbound.drain(..self.written);
                    self.written = 0;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        // An idle session keeps no memory for it.
        self.outbound = Vec::new();
        self.written = 0;
        Ok(true)
    }

    /// Tells the peer that nothing more will come (`close_notify`), with the next
    /// [`flush`](Self::flush). During a handshake, and after an end for which there was an alert, there
    /// is nothing to tell.
    pub(crate) fn close(&mut self) {
        // If it cannot be told, closing the connection tells it, though not as clearly.
        let _ = self.encrypt(Outgoing::CloseNotify);
        self.closed = true;
    }

    fn encrypt(&mut self, outgoing: Outgoing<'_>) -> io::Result<bool> {
        if self.closed || self.end.as_deref().is_some_and(End::is_fault) {
            return Ok(false);
        }
        self.machine
            .encrypt(outgoing, &mut self.inbound, &mut self.outbound)
            .map_err(|error| io::Error::other(error.to_string()))
    }

    fn read_socket(
        &self,
        socket: &mut impl Read,
        space: &mut [u8],
    ) -> Result<Option<usize>, TlsError> {
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the list of error kinds is open")]
            return match socket.read(space) {
                Ok(len) => Ok(Some(len)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => Ok(None),
                    // A server without TLS closes a connection that begins with a handshake. Whether
                    // it had read all of it, and so what its system says, is up to chance.
                    io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
                        if self.is_handshaking() =>
                    {
                        let detail = error.to_string();
                        Err(TlsError::Fault { fault: TlsFault::Unfinished, detail })
                    }
                    _ => Err(TlsError::Socket(error)),
                },
            };
        }
    }

    /// The connection was closed without a word.
    fn handle_closed(&mut self) -> Result<Received, TlsError> {
        self.filled = false;
        let end = if self.is_handshaking() {
            End::Failed { fault: TlsFault::Unfinished, detail: String::new() }
        } else {
            End::Truncated
        };
        self.end.insert(Box::new(end)).tell()
    }

    /// Takes in the ciphertext at `start..end` of the buffer, as far as it is whole, and keeps the rest.
    /// Plaintext goes to the front of the buffer. Returns how much that is.
    fn take_in(&mut self, buffer: &mut [u8], mut start: usize, end: usize) -> usize {
        let mut plain = 0;
        self.end = loop {
            let (front, rest) = buffer.split_at_mut_checked(start).unwrap_or_default();
            let ciphertext = rest.get_mut(..end - start).unwrap_or_default();
            let room = front.get_mut(plain..).unwrap_or_default();
            let step = self.machine.step(ciphertext, room, &mut self.outbound);
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

impl End {
    const fn is_fault(&self) -> bool {
        match self {
            Self::Closed | Self::Truncated => false,
            Self::Failed { .. } => true,
        }
    }

    fn tell(&self) -> Result<Received, TlsError> {
        match self {
            Self::Closed => Ok(Received::Closed),
            Self::Truncated => Ok(Received::Truncated),
            Self::Failed { fault, detail } => {
                Err(TlsError::Fault { fault: *fault, detail: detail.clone() })
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
