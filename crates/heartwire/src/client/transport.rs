//! The transport of a connection: its socket, and TLS if configured.

use std::io::{self, IoSlice, Read};

use super::inbox::Inbox;
use super::runtime::Stream;
use crate::tls::{MIN_READ_LEN, RECORD_OVERHEAD, Received, TlsFailure, TlsSession};
use crate::world::Socket;

/// A socket with or without TLS. Nothing here blocks, unless stated.
#[derive(Debug)]
pub(super) struct Transport<S> {
    pub(super) socket: S,
    tls: Option<Box<TlsSession>>,
}

impl<S: Socket> Transport<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self { socket, tls: None }
    }

    /// The shortest buffer for a read.
    pub(super) const fn min_read_len(&self) -> usize {
        if self.tls.is_some() { MIN_READ_LEN } else { 1 }
    }

    /// Reads what the runtime knows to be in the socket.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Received, TlsFailure> {
        let read = Self::read_from(self.tls.as_deref_mut(), &mut self.socket, buffer);
        self.say_why(read)
    }

    /// Reads what the kernel has.
    pub(super) fn read_now(&mut self, buffer: &mut [u8]) -> Result<Received, TlsFailure> {
        let read = Self::read_from(self.tls.as_deref_mut(), Now(&mut self.socket), buffer);
        self.say_why(read)
    }

    /// Sends the TLS alert after a fault, if the socket takes it now, so that the server learns why
    /// the connection ends.
    fn say_why(&mut self, read: Result<Received, TlsFailure>) -> Result<Received, TlsFailure> {
        if let Err(TlsFailure::Fault { .. }) = read {
            let _ = self.flush();
        }
        read
    }

    fn read_from(
        tls: Option<&mut TlsSession>,
        mut socket: impl Read,
        buffer: &mut [u8],
    ) -> Result<Received, TlsFailure> {
        if let Some(tls) = tls {
            return tls.read(&mut socket, buffer);
        }
        match socket.read(buffer) {
            Ok(0) => Ok(Received::Closed),
            Ok(len) => Ok(Received::Bytes(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there may be more to read, after a read that has filled its buffer or not.
    pub(super) fn has_more(&self, is_full: bool) -> bool {
        self.tls.as_deref().map_or(is_full, TlsSession::has_more)
    }

    /// Whether TLS knows the end, which only has to be read.
    pub(super) fn has_ended(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_ended())
    }

    /// Whether a read would find anything, even an end.
    pub(super) fn has_something(&mut self) -> bool {
        let is_empty = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.has_ended() || !self.socket.peek().is_err_and(is_empty)
    }

    /// Whether the connection uses TLS and has no incomplete record.
    pub(super) fn ends_between_records(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.has_partial())
    }

    /// Writes bytes from the front. Returns how many were taken; with TLS, what the kernel has not
    /// taken of its records is [flushed](Self::flush) later.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write_vectored(slices) };
        tls.write_vectored(&mut self.socket, slices)
    }

    /// Writes TLS records that the kernel has not taken yet.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.flush(&mut self.socket)?;
        }
        Ok(())
    }

    /// Whether there is something to [flush](Self::flush).
    pub(super) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Sends `close_notify`, with TLS, and returns its length in bytes; 0 the next time.
    pub(super) fn close(&mut self) -> io::Result<usize> {
        let queued = |tls: &Option<Box<TlsSession>>| tls.as_deref().map_or(0, TlsSession::queued);
        let before = queued(&self.tls);
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        let len = queued(&self.tls).saturating_sub(before);
        self.flush()?;
        Ok(len)
    }

    /// Bytes that TLS adds to each write.
    pub(super) const fn overhead(&self) -> usize {
        if self.tls.is_some() { RECORD_OVERHEAD } else { 0 }
    }
}

impl Transport<Stream> {
    /// Starts TLS, and waits until the handshake is complete. Returns data that came right after
    /// it.
    pub(super) async fn secure(&mut self, tls: TlsSession) -> Result<Vec<u8>, TlsFailure> {
        self.tls = Some(Box::new(tls));
        let mut inbox = Inbox::default();
        loop {
            self.flush()?;
            let flushed = !self.wants_write();
            let read = self.read(inbox.space(MIN_READ_LEN))?;
            let is_handshaking = self.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
            match read {
                Received::Bytes(len) if !is_handshaking => {
                    inbox.filled(len);
                    return Ok(inbox.bytes().to_vec());
                }
                // `read` reports an end during the handshake as a fault.
                Received::Bytes(_) | Received::Closed | Received::Truncated => continue,
                Received::Nothing => inbox.rest(),
            }
            let socket = &self.socket;
            if flushed {
                socket.readable().await?;
            } else {
                tokio::select! {
                    readable = socket.readable() => readable?,
                    writable = socket.writable() => writable?,
                }
            }
        }
    }
}

/// A socket that is read with `read_now`.
struct Now<'a, S>(&'a mut S);

impl<S: Socket> Read for Now<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_now(buffer)
    }
}
