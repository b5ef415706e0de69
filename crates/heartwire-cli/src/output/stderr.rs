//! What goes to standard error.

use core::fmt;
use core::time::Duration;
use std::io::{self, Write};
use std::sync::OnceLock;

use super::sink::{Sink, Target};
use super::text::Text;

/// How long the last lines may take at the end of the program: a busy machine runs the thread that
/// writes them late, and only where nothing reads them this is waited for.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Standard error, once its thread runs.
static STDERR: OnceLock<Sink<Text>> = OnceLock::new();

/// Starts the thread that writes to standard error.
pub(crate) fn start_stderr() -> io::Result<()> {
    // An error has nowhere to be reported.
    let sink = Sink::start(Target::Stderr, Text::default(), |_| {})?;
    // A second call changes nothing.
    let _ = STDERR.set(sink);
    Ok(())
}

/// Waits a moment until standard error is written.
pub(crate) fn flush_stderr() {
    if let Some(stderr) = STDERR.get() {
        stderr.flush(FLUSH_WITHIN);
    }
}

/// Prints an error on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    say(format_args!("heartwire: {error:#}"));
}

/// Prints a line on standard error. Never waits: while nothing reads it, the oldest lines are
/// dropped, and counted.
pub(crate) fn say(line: impl fmt::Display) {
    print_stderr(format!("{line}\n").into_bytes());
}

/// Prints whole lines on standard error, as [`say`].
pub(crate) fn print_stderr(lines: Vec<u8>) {
    match STDERR.get() {
        Some(stderr) => stderr.put(|text| text.push(lines)),
        // An error has nowhere to be reported.
        None => drop(io::stderr().write_all(&lines)),
    }
}
