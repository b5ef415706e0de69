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

#[cfg(test)]
mod tests {
    use core::fmt;

    use super::*;

    /// What a peer says of itself.
    #[derive(Serialize)]
    struct Said {
        agent: &'static str,
    }

    impl Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.agent)
        }
    }

    #[test]
    fn text_of_a_peer_is_escaped_and_each_line_has_its_time() {
        let said = Said { agent: "\u{9b}31m\u{85}\u{7f}\nb" };
        let line = |format| render(&said, SystemTime::UNIX_EPOCH, format);
        let json = r#"{"time":"1970-01-01T00:00:00.000000Z","agent":"\u009b31m\u0085\u007f\nb"}"#;
        assert_eq!(line(Format::Json), json);
        let text =
            [r"1970-01-01T00:00:00.000Z \u{9b}31m\u{85}\u{7f}", "1970-01-01T00:00:00.000Z b"];
        assert_eq!(line(Format::Text), text.join("\n"));
    }
}
