//! One event as one line: text for people, or a JSON object for programs.

use core::fmt::Display;
use std::time::SystemTime;

use serde::Serialize;

use super::escape::{escape_hidden_in_json, shown_on_terminal};
use crate::values::Format;

/// An event as it is printed. Its text begins with its kind, and each line of it gets the time, so
/// that a journal, which keeps lines, knows the time of each.
pub(crate) fn render(
    event: &(impl Display + Serialize),
    time: SystemTime,
    format: Format,
) -> String {
    match format {
        Format::Text => {
            let time = humantime::format_rfc3339_millis(time);
            let text = shown_on_terminal(event.to_string().as_bytes(), true);
            format!("{time} {}", text.replace('\n', &format!("\n{time} ")))
        }
        Format::Json => timed_json(event, time),
    }
}

/// An event as JSON.
pub(crate) fn timed_json(event: &impl Serialize, time: SystemTime) -> String {
    #[derive(Serialize)]
    struct Timed<'a, E> {
        time: String,
        #[serde(flatten)]
        event: &'a E,
    }
    let time = humantime::format_rfc3339_micros(time).to_string();
    to_json(&Timed { time, event })
}

/// A JSON object on one line.
pub(crate) fn to_json(object: &impl Serialize) -> String {
    // The keys of our objects are text, and nothing else can fail in memory.
    escape_hidden_in_json(&serde_json::to_string(object).unwrap_or_default())
}
