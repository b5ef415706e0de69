//! One direction of a connection, in memory.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Like a socket that does not block: it takes what it has room for, and gives what it has.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) bytes: VecDeque<u8>,
    /// How many bytes it holds at most.
    pub(super) capacity: usize,
    /// How many bytes it takes or gives at a time.
    pub(super) portion: usize,
    /// How often something was written.
    pub(super) writes: usize,
    /// The writer has closed it.
    pub(super) closed: bool,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity: usize::MAX,
            portion: usize::MAX,
            writes: 0,
            closed: false,
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.portion).min(self.bytes.len());
        if len == 0 && !self.closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(self.bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.portion).min(self.capacity - self.bytes.len());
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.writes += 1;
        self.bytes.extend(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
