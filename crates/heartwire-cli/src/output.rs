//! Standard output and standard error. Nothing else writes to either.

mod escape;
pub(crate) mod fields;
mod line;
mod message;
mod sink;
mod stderr;
mod text;
mod words;

use core::fmt;
use std::io;

use anyhow::Context;

pub(crate) use escape::{PREVIEW_LEN, preview, shown_on_terminal};
pub(crate) use fields::Millis;
pub(crate) use line::{render, timed_json, to_json};
pub(crate) use message::Message;
pub(crate) use sink::{Queue, Sink, Target};
pub(crate) use stderr::{
    complain, flush_stderr, inform, print_event, print_stderr, say_with, start_stderr, warn,
};
pub(crate) use text::Text;
pub(crate) use words::{counted, describe_policy, describe_replayed, grouped, round_trip};

/// Starts a thread that writes to standard output, and reports on standard error what fails.
pub(crate) fn start_stdout<Q: Queue>(target: Target, queue: Q) -> io::Result<Sink<Q>> {
    Sink::start(target, queue, |what| warn(format_args!("standard output {what}")))
}

/// Prints a line for people on standard output, and waits for it: for commands that run nothing
/// else.
pub(crate) fn print_text(line: impl fmt::Display) -> anyhow::Result<()> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints bytes on standard output, as [`print_text`].
pub(crate) fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    sink::write_stdout(bytes).context("cannot write to standard output")
}

/// Whether an error means that the reader of our output has exited, which is no failure.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
