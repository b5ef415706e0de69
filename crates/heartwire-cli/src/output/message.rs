//! Messages beside the events: warnings, errors, and the log.

use core::fmt;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

use super::line::timed_json;
use crate::values::Format;

/// A message as JSON: an event like the others, so that a stream has one format.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "log")]
pub(crate) struct Message {
    pub(crate) level: &'static str,
    /// The part of the library that it is from; of the program itself, its name.
    pub(crate) target: String,
    pub(crate) message: String,
    pub(crate) fields: Map<String, Value>,
}

impl Message {
    pub(crate) fn to_line(&self) -> Vec<u8> {
        format!("{}\n", timed_json(self, SystemTime::now())).into_bytes()
    }
}

/// The line of a message of this program. In the text, the fields are part of the message.
pub(super) fn line(
    format: Format,
    level: &'static str,
    message: fmt::Arguments<'_>,
    fields: Map<String, Value>,
) -> Vec<u8> {
    match format {
        Format::Text => format!("heartwire: {message}\n").into_bytes(),
        Format::Json => {
            let (target, message) = ("heartwire".to_owned(), message.to_string());
            Message { level, target, message, fields }.to_line()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::expect_documented;

    #[test]
    fn keys_of_a_message_are_the_documented_ones_in_their_order() {
        let (target, message) = ("heartwire".to_owned(), String::new());
        let message = Message { level: "warn", target, message, fields: Map::new() };
        expect_documented("Messages", &[message]);
    }
}
