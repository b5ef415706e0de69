//! The log on standard error.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::output::print_stderr;

/// Hands each line to the thread that writes to standard error, so that no thread that logs ever waits: a
/// server that strangers can make log must go on when nothing reads that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

/// Each event is formatted as a whole, and then written at one go.
impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        print_stderr(text.to_vec());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
