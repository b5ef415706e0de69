//! Standard output and standard error. Nothing else writes to either.

mod sink;
mod text;

use core::fmt;
use core::time::Duration;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use heartwire::v1::{Contract, Direction};
use heartwire::{Bound, LinkState, Policy, Reason, TICK, Verdict};
use serde_json::{Value, json};

use crate::values::{Format, typed};

pub(crate) use sink::{Queue, Sink, Target};
pub(crate) use text::Text;

/// How long the last lines may take at the end of the program: a busy machine runs the thread that
/// writes them late, and only where nothing reads them this is waited for.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Standard error, once its thread runs.
static STDERR: OnceLock<Sink<Text>> = OnceLock::new();

/// Starts the thread that writes to standard error.
pub(crate) fn start_stderr() -> io::Result<()> {
    let sink = Sink::start(Target::Stderr, Text::default())?;
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

/// Whether an error means that the reader of our output has exited, which is no failure.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
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

/// Prints a line for people on standard output, and waits for it: for commands that run nothing
/// else.
pub(crate) fn print_text(line: impl fmt::Display) -> anyhow::Result<()> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints bytes on standard output, as [`print_text`].
pub(crate) fn print_bytes(bytes: &[u8]) -> anyhow::Result<()> {
    Ok(sink::write_stdout(bytes)?)
}

/// A line of output, as text for people or as JSON for programs.
#[derive(Debug)]
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
    pub(crate) fn render(&self, time: SystemTime, format: Format) -> String {
        match format {
            Format::Text => {
                let time = humantime::format_rfc3339_millis(time);
                let text = shown_on_terminal(self.text.as_bytes(), true);
                format!("{time} {:<9} {text}", self.event)
            }
            Format::Json => {
                let time = humantime::format_rfc3339_micros(time).to_string();
                let object = json!({ "time": time, "event": self.event });
                escape_hidden_in_json(&with(object, self.fields.clone()).to_string())
            }
        }
    }
}

/// Milliseconds with three decimals, for objects.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// The round trip of a connection, as far as it is known.
pub(crate) fn round_trip(link: &LinkState) -> String {
    match (link.rtt, link.rtt_below) {
        (Some(rtt), _) => format!("{rtt:.1?}"),
        (None, Some(below)) => format!("under {below:?}"),
        (None, None) => "not known".to_owned(),
    }
}

/// The fields of a verdict.
pub(crate) fn verdict_fields(verdict: &Verdict) -> Value {
    json!({
        "cause": verdict.cause.name(),
        "silence_ms": millis(verdict.silence),
        "earliest_ms": verdict.bound.map(|bound| millis(bound.earliest)),
        "latest_ms": verdict.bound.map(|bound| millis(bound.latest)),
        "paused_ms": millis(verdict.paused),
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

/// A policy in a sentence or two; `peer` is "client" or "server".
pub(crate) fn describe_policy(policy: &Policy, peer: &str) -> String {
    let beats = match (policy.interval(), policy.echo()) {
        (Some(interval), _) if policy.timeout().is_none() => {
            format!("sends a heartbeat every {}", typed(interval))
        }
        (Some(interval), _) => {
            format!("sends a heartbeat when nothing was sent for {}", typed(interval))
        }
        (None, true) => format!("answers each heartbeat of the {peer}"),
        (None, false) => "sends no heartbeats".to_owned(),
    };
    let (Some(bound), Some(after_fault)) = (policy.bound(TICK), policy.bound_after_fault(TICK))
    else {
        return format!("{beats}; a silent {peer} is never declared dead");
    };
    let after_fault = match policy.peer_interval() {
        Some(peer_interval) => {
            format!(" ({after_fault} after the fault, if its interval is {})", typed(peer_interval))
        }
        None => String::new(),
    };
    format!("{beats}; a silent {peer} is declared dead {bound} after its last byte{after_fault}")
}

/// The rule of the protocol that the peer broke, as PROTOCOL.md names it.
pub(crate) fn violation(reason: Reason) -> Option<&'static str> {
    if let Reason::Protocol(violation) = reason { Some(violation.name()) } else { None }
}

/// The fields of a contract.
pub(crate) fn contract_fields(contract: &Contract) -> Value {
    let direction = |direction: &Direction| {
        json!({
            "interval_ms": direction.interval().map(millis),
            "timeout_ms": direction.timeout().map(millis),
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
        "interval_ms": policy.interval().map(millis),
        "timeout_ms": policy.timeout().map(millis),
        "peer_interval_ms": policy.peer_interval().map(millis),
        "echo": policy.echo(),
        "bound_ms": fields(policy.bound(TICK)),
        "bound_after_fault_ms": fields(policy.bound_after_fault(TICK)),
    })
}

/// How much of some data is printed.
pub(crate) const PREVIEW_LEN: usize = 64;

/// The beginning of some data, which has `len` bytes in all, safe to print: a peer cannot write
/// control characters to a terminal.
pub(crate) fn preview(beginning: &[u8], len: usize) -> String {
    let shown = beginning.get(..PREVIEW_LEN).unwrap_or(beginning);
    let dots = if len > PREVIEW_LEN { "…" } else { "" };
    format!("\"{}{dots}\"", String::from_utf8_lossy(shown).escape_debug())
}

/// Whether a terminal or an editor does something with this character instead of showing it:
/// control characters, and those that change the direction of text, end a line, or cannot be seen.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The same JSON, in which such characters are written as `\uXXXX`.
fn escape_hidden_in_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for char in json.chars() {
        if is_hidden(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(char);
        }
    }
    escaped
}

/// Data as a terminal can show it: what is no UTF-8 as `\u{fffd}`, and what a terminal would obey
/// as its number. Tabs stay, and so do line breaks where data comes without a form of its own.
pub(crate) fn shown_on_terminal(data: &[u8], keep_line_breaks: bool) -> String {
    let mut shown = String::with_capacity(data.len());
    for char in String::from_utf8_lossy(data).chars() {
        let stays = char == '\t' || keep_line_breaks && char == '\n';
        if is_hidden(char) && !stays {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// A number of things: `1 beat`, `2 beats`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hidden_character_leaves_as_it_is() {
        let evil = "\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{200b}\u{e0041}é\t\n€🦀";
        let fields = json!({ "agent": evil, "name": null });
        let line = Line { event: "online", text: String::new(), fields };
        let json = line.render(SystemTime::UNIX_EPOCH, Format::Json);
        assert!(!json.chars().any(is_hidden), "{json}");
        assert!(
            json.contains(r"[2J\u007f\u009b31m\u0085\u2028\u202e\u200b\udb40\udc41é"),
            "{json}"
        );
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["agent"], evil);

        let shown = shown_on_terminal(evil.as_bytes(), false);
        let expected = r"\u{1b}[2J\u{7f}\u{9b}31m\u{85}\u{2028}\u{202e}\u{200b}\u{e0041}é";
        assert_eq!(shown, format!("{expected}\t\\u{{a}}€🦀"));
        assert_eq!(shown_on_terminal(b"a\r\nb\xff", true), "a\\u{d}\nb\u{fffd}");
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "beat")), ["0 beats", "1 beat", "2 beats"]);
    }

    #[test]
    fn thousands_are_grouped() {
        let texts = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
