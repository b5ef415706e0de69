//! The socket of a connection, and TLS on it where that is asked for.

use std::io::{self, IoSlice, Read, Write};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::tls::{READ_LEN_MIN, RECORD_MAX, RECORD_OVERHEAD, Received, TlsError, TlsSession};

/// What a connection is made of. Nothing in here waits, but where it says so.
#[derive(Debug)]
pub(super) struct Transport {
    stream: TcpStream,
    tls: Option<Box<TlsSession>>,
}

impl Transport {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, tls: None }
    }

    /// Has the server speak TLS from now on, and waits until both ends are through with the handshake.
    /// Returns what the server said right after it.
    pub(super) async fn secure(&mut self, tls: TlsSession) -> Result<Vec<u8>, TlsError> {
        let tls = self.tls.insert(Box::new(tls));
        let mut buffer = vec![0; READ_LEN_MIN];
        loop {
            let flushed = tls.flush(&mut Nonblocking(&self.stream))?;
            match tls.read(&mut Nonblocking(&self.stream), &mut buffer)? {
                Received::Bytes(len) if !tls.is_handshaking() => {
                    buffer.truncate(len);
                    return Ok(buffer);
                }
                // An end before the handshake is over is a fault.
                Received::Bytes(_) | Received::Closed | Received::Truncated => {}
                Received::Nothing if flushed => self.stream.readable().await?,
                Received::Nothing => tokio::select! {
                    readable = self.stream.readable() => readable?,
                    writable = self.stream.writable() => writable?,
                },
            }
        }
    }

    /// The shortest buffer for a read.
    pub(super) const fn read_len_min(&self) -> usize {
        if self.tls.is_some() { READ_LEN_MIN } else { 1 }
    }

    /// Reads if the runtime has seen bytes arrive.
    pub(super) fn try_read(&mut self, buffer: &mut [u8]) -> Result<Received, TlsError> {
        Self::read_from(self.tls.as_deref_mut(), Nonblocking(&self.stream), buffer)
    }

    /// Reads whatever the kernel has: what the runtime knows of that is as old as its last turn.
    pub(super) fn read_past_runtime(&mut self, buffer: &mut [u8]) -> Result<Received, TlsError> {
        let socket = SockRef::from(&self.stream);
        Self::read_from(self.tls.as_deref_mut(), &*socket, buffer)
    }

    fn read_from(
        tls: Option<&mut TlsSession>,
        mut socket: impl Read,
        buffer: &mut [u8],
    ) -> Result<Received, TlsError> {
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

    /// Whether the end is known, and only has to be read.
    pub(super) fn has_ended(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_ended())
    }

    /// Whether the peer speaks TLS and has begun nothing that is not whole.
    pub(super) fn ends_between_records(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.has_partial())
    }

    /// Writes the beginning of this, as one record where there is TLS. Returns how much that was; what the
    /// kernel has not taken of it then is [flushed](Self::flush) later.
    pub(super) fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.try_write_vectored(slices) };
        let mut record = Vec::new();
        for slice in slices {
            let room = RECORD_MAX - record.len();
            record.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        tls.write(&mut Nonblocking(&self.stream), &record)
    }

    /// Writes what TLS has made and the kernel has not taken yet.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.flush(&mut Nonblocking(&self.stream))?;
        }
        Ok(())
    }

    /// Whether there is something to [flush](Self::flush).
    pub(super) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Nothing more will be written. Says so in the way of TLS, and returns how many bytes that takes; none
    /// the next time.
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

    /// What comes on top of whatever is written at a time.
    pub(super) const fn overhead(&self) -> usize {
        if self.tls.is_some() { RECORD_OVERHEAD } else { 0 }
    }

    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// A socket of the runtime, for whoever reads and writes in the ordinary way.
struct Nonblocking<'a>(&'a TcpStream);

impl Read for Nonblocking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Nonblocking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
