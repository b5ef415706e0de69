//! Writing: records of plaintext, and the ciphertext that a socket has not taken yet.

use std::io::{self, IoSlice, Write};

use super::{End, MAX_RECORD, MAX_WRITE, RECORD_OVERHEAD, TlsSession};
use crate::tls::machine::Outgoing;

impl TlsSession {
    /// Whether ciphertext waits to be written.
    #[must_use]
    pub(crate) fn wants_write(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// Bytes of ciphertext that wait to be written.
    #[must_use]
    pub(crate) fn queued(&self) -> usize {
        self.outbound.len() - self.written
    }

    /// Encrypts up to [`MAX_WRITE`] bytes from the front of `plain`, in records that are as long as
    /// possible, and writes as much of them as the socket takes. The rest is kept, and the next
    /// call writes it first.
    ///
    /// Returns how many bytes of `plain` were taken; do not pass them again.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] during the handshake, and while the socket has not taken the
    /// last records; nothing of `plain` was taken then. [`io::ErrorKind::BrokenPipe`] after a fault
    /// and after [`close`](Self::close). Otherwise the socket's error, which ends the connection.
    pub(crate) fn write(&mut self, socket: &mut impl Write, plain: &[u8]) -> io::Result<usize> {
        let plain = plain.get(..MAX_WRITE).unwrap_or(plain);
        self.begin_write(socket, plain.len())?;
        for record in plain.chunks(MAX_RECORD) {
            self.seal(record)?;
        }
        self.end_write(socket, plain.len())
    }

    /// The same for several slices: their bytes in a row, in as few records.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub(crate) fn write_vectored(
        &mut self,
        socket: &mut impl Write,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let len = slices.iter().map(|slice| slice.len()).sum::<usize>().min(MAX_WRITE);
        self.begin_write(socket, len)?;
        let mut record = Vec::with_capacity(len.min(MAX_RECORD));
        let mut left = len;
        for slice in slices {
            let mut plain = slice.get(..left).unwrap_or(slice);
            left -= plain.len();
            while !plain.is_empty() {
                let (part, rest) = plain.split_at(plain.len().min(MAX_RECORD - record.len()));
                record.extend_from_slice(part);
                plain = rest;
                if record.len() == MAX_RECORD {
                    self.seal(&record)?;
                    record.clear();
                }
            }
        }
        if !record.is_empty() {
            self.seal(&record)?;
        }
        self.end_write(socket, len)
    }

    /// Makes room for records with `len` bytes of plaintext, once the last ones were written.
    fn begin_write(&mut self, socket: &mut impl Write, len: usize) -> io::Result<()> {
        if !self.flush(socket)? || self.is_handshaking() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.outbound.reserve_exact(len + len.div_ceil(MAX_RECORD) * RECORD_OVERHEAD);
        Ok(())
    }

    /// Writes sealed records with `len` bytes of plaintext. If the socket takes a part and fails,
    /// the peer may receive some of them: then all counts as taken, and the next call fails.
    fn end_write(&mut self, socket: &mut impl Write, len: usize) -> io::Result<usize> {
        match self.flush(socket) {
            Err(error) if self.written == 0 => Err(error),
            Ok(_) | Err(_) => Ok(len),
        }
    }

    fn seal(&mut self, record: &[u8]) -> io::Result<()> {
        if self.encrypt(Outgoing::Data(record))? {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    /// Writes waiting ciphertext as far as the socket takes it. Returns whether that was all.
    ///
    /// # Errors
    ///
    /// The socket's error, except `WouldBlock`.
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
        // An idle session keeps no buffer.
        self.outbound = Vec::new();
        self.written = 0;
        Ok(true)
    }

    /// Queues `close_notify` for the next [`flush`](Self::flush). Does nothing during a handshake,
    /// and after an alert.
    pub(crate) fn close(&mut self) {
        // If `close_notify` cannot be sent, closing the connection still ends it, only less
        // clearly.
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
}
