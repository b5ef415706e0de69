//! What goes to standard error.

use core::fmt::{self, Display};
use core::time::Duration;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

use super::line::render;
use super::message;
use super::sink::{Sink, Target};
use super::text::Text;
use crate::values::Format;

/// How long the last lines may take at the end of the program: a busy machine runs the thread that
/// writes them late, and only where nothing reads them this is waited for.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Standard error and its format, once its thread runs.
static STDERR: OnceLock<(Sink<Text>, Format)> = OnceLock::new();

/// Starts the thread that writes to standard error.
pub(crate) fn start_stderr(format: Format) -> io::Result<()> {
    // An error has nowhere to be reported.
    let sink = Sink::start(Target::Stderr, Text::new(format), |_| {})?;
    // A second call changes nothing.
    let _ = STDERR.set((sink, format));
    Ok(())
}

/// Waits a moment until standard error is written.
pub(crate) fn flush_stderr() {
    if let Some((stderr, _)) = STDERR.get() {
        stderr.flush(FLUSH_WITHIN);
    }
}

/// Prints an error.
pub(crate) fn complain(error: &anyhow::Error) {
    say("error", format_args!("{error:#}"));
}

/// Prints what needs attention.
pub(crate) fn warn(message: impl Display) {
    say("warn", format_args!("{message}"));
}

/// Prints what is as it should be.
pub(crate) fn inform(message: impl Display) {
    say("info", format_args!("{message}"));
}

fn say(level: &'static str, text: fmt::Arguments<'_>) {
    say_with(level, text, Map::new());
}

/// Prints a message of this level (see [`Message`](super::Message)) with what it is about.
pub(crate) fn say_with(level: &'static str, message: impl Display, fields: Map<String, Value>) {
    print_stderr(message::line(format(), level, format_args!("{message}"), fields));
}

/// Prints an event that happens now.
pub(crate) fn print_event(event: &(impl Display + Serialize)) {
    print_stderr(format!("{}\n", render(event, SystemTime::now(), format())).into_bytes());
}

/// Prints whole lines. Never waits: while nothing reads them, the oldest lines are dropped, and
/// counted.
pub(crate) fn print_stderr(lines: Vec<u8>) {
    match STDERR.get() {
        Some((stderr, _)) => stderr.put(|text| text.push(lines)),
        // An error has nowhere to be reported.
        None => drop(io::stderr().write_all(&lines)),
    }
}

fn format() -> Format {
    STDERR.get().map_or(Format::Text, |(_, format)| *format)
}
