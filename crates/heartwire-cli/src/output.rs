//! Standard output and standard error: the only place that writes to either.

use core::fmt;
use core::time::Duration;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::sync::mpsc;
use std::thread;
use std::time::SystemTime;

use heartwire::v1::{Contract, Direction};
use heartwire::{Bound, Policy, Reason, TICK, Verdict};
use serde_json::{Value, json};

use crate::args::Format;

/// Whether an error means that nobody reads our output any more, which is no failure.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Says on standard error what went wrong.
pub(crate) fn complain(error: &anyhow::Error) {
    say(format_args!("heartwire: {error:#}"));
}

/// Writes a line to standard error. There is nowhere to complain if that fails.
pub(crate) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Says something on the way out. Nobody may be reading standard error either, and the lock on it
/// may be held by a thread that waits for that, so this waits for a moment only.
pub(crate) fn say_in_leaving(line: &'static str) {
    let (said, wait) = mpsc::channel();
    thread::spawn(move || {
        say(line);
        // The program may have left meanwhile.
        let _ = said.send(());
    });
    let _ = wait.recv_timeout(Duration::from_millis(100));
}

/// Prints a line for people on standard output.
pub(crate) fn print_text(line: impl fmt::Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// Something to be printed, as text for people or as an object for programs.
pub(crate) struct Line {
    /// The kind of event, the first word of the text and the field `event` of the object.
    pub(crate) event: &'static str,
    /// The rest of the text.
    pub(crate) text: String,
    /// The further fields of the object; it must be an object itself.
    pub(crate) fields: Value,
}

impl Line {
    /// The line as it is printed.
    pub(crate) fn render(self, time: SystemTime, format: Format) -> String {
        match format {
            Format::Text => {
                let time = humantime::format_rfc3339_millis(time);
                format!("{time} {:<9} {}", self.event, self.text)
            }
            Format::Json => {
                let time = humantime::format_rfc3339_micros(time).to_string();
                with(json!({ "time": time, "event": self.event }), self.fields).to_string()
            }
        }
    }
}

/// Standard output, buffered while more is coming.
pub(crate) struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    format: Format,
}

impl Printer {
    pub(crate) fn new(format: Format) -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), format }
    }

    pub(crate) fn print(&mut self, time: SystemTime, line: Line) -> io::Result<()> {
        writeln!(self.out, "{}", line.render(time, self.format))
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Milliseconds with three decimals, for objects.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The fields of a verdict.
pub(crate) fn verdict_fields(verdict: &Verdict) -> Value {
    json!({
        "cause": verdict.cause.name(),
        "silence_ms": millis(verdict.silence),
        "earliest_ms": verdict.bound.map(|bound| millis(bound.earliest)),
        "latest_ms": verdict.bound.map(|bound| millis(bound.latest)),
        "stalled_ms": millis(verdict.stalled),
        "late_ms": millis(verdict.late),
    })
}

/// One object with the fields of two.
pub(crate) fn with(mut object: Value, more: Value) -> Value {
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

/// What a policy promises, in a sentence or two; `peer` is "client" or "server".
pub(crate) fn describe_policy(policy: &Policy, peer: &str) -> String {
    let beats = match (policy.beat(), policy.echo()) {
        (Some(beat), _) => format!("beats when nothing was sent for {beat:?}"),
        (None, true) => format!("answers each beat of the {peer}"),
        (None, false) => "sends no beats".to_owned(),
    };
    let (Some(bound), Some(after_fault)) = (policy.bound(TICK), policy.bound_after_fault(TICK))
    else {
        return format!("{beats}; a silent {peer} is never called dead");
    };
    let after_fault = match policy.peer_beat() {
        Some(peer_beat) => {
            format!(" ({after_fault} after the fault, if it beats every {peer_beat:?})")
        }
        None => String::new(),
    };
    format!("{beats}; a silent {peer} is called dead {bound} after its last byte{after_fault}")
}

/// Which rule of the wire the peer broke, as PROTOCOL.md names it.
pub(crate) fn violation(reason: Reason) -> Option<&'static str> {
    if let Reason::Protocol(violation) = reason { Some(violation.name()) } else { None }
}

/// The fields of a contract.
pub(crate) fn contract_fields(contract: &Contract) -> Value {
    let direction = |direction: &Direction| {
        json!({
            "beat_ms": direction.beat().map(millis),
            "limit_ms": direction.limit().map(millis),
        })
    };
    json!({
        "to_server": direction(&contract.to_server),
        "to_client": direction(&contract.to_client),
        "wake_bytes": contract.wake_bytes,
    })
}

/// The fields of a policy.
pub(crate) fn policy_fields(policy: &Policy) -> Value {
    let fields = |bound: Option<Bound>| {
        bound.map(|bound| json!([millis(bound.earliest), millis(bound.latest)]))
    };
    json!({
        "beat_ms": policy.beat().map(millis),
        "limit_ms": policy.limit().map(millis),
        "peer_beat_ms": policy.peer_beat().map(millis),
        "echo": policy.echo(),
        "bound_ms": fields(policy.bound(TICK)),
        "bound_after_fault_ms": fields(policy.bound_after_fault(TICK)),
    })
}

/// The beginning of some data, safe to print: a peer cannot write control characters to a terminal.
pub(crate) fn preview(data: &[u8]) -> String {
    const SHOWN: usize = 64;
    let shown = data.get(..SHOWN).unwrap_or(data);
    let dots = if data.len() > SHOWN { "…" } else { "" };
    format!("\"{}{dots}\"", String::from_utf8_lossy(shown).escape_debug())
}
