//! Standard output and standard error: the only place that writes to either.

use core::fmt;
use std::io::{self, Write};

/// Whether an error is a broken pipe: the reader of our output has closed it, which is no failure.
#[must_use]
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a line to standard error. A failure cannot be reported.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints a line on standard output.
///
/// # Errors
///
/// When standard output takes no more, see [`is_broken_pipe`].
pub fn print(line: impl fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// Replaces the current line of standard error, which is a terminal.
pub fn redraw(line: impl fmt::Display) {
    let mut err = io::stderr().lock();
    // To the line's start, and whatever was longer is wiped. Nothing can be done if it fails.
    let _ = write!(err, "\r\x1b[K{line}");
    let _ = err.flush();
}
