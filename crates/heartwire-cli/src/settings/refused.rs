//! Options that are refused.

use std::ffi::OsString;

use serde_json::Map;

use crate::exit::Exit;
use crate::output::{Message, print_stderr};

/// What is wrong with the options.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(super) errors: Vec<clap::Error>,
    as_json: bool,
}

impl Refused {
    pub(super) fn new(errors: Vec<clap::Error>, words: &[OsString]) -> Self {
        Self { errors, as_json: is_check_in_json(words) }
    }

    /// The errors in one line.
    pub(crate) fn in_line(&self) -> String {
        self.errors.iter().map(text).collect::<Vec<_>>().join("; ")
    }

    #[cfg(test)]
    pub(super) const fn is_json(&self) -> bool {
        self.as_json
    }

    /// Prints what is wrong, or the help that was asked for.
    pub(crate) fn exit(self) -> Exit {
        let mut exit = Exit::Success;
        for error in &self.errors {
            if error.use_stderr() {
                exit = Exit::Usage;
            }
            if self.as_json && error.use_stderr() {
                let (target, message) = ("heartwire".to_owned(), text(error));
                let message = Message { level: "error", target, message, fields: Map::new() };
                print_stderr(message.to_line());
            } else {
                // An error has nowhere to be reported.
                let _ = error.print();
            }
        }
        exit
    }
}

/// An error in one line: without what clap says about usage.
fn text(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or(&text);
    let text = text.split("\n\nFor more").next().unwrap_or(text);
    let words = text.trim_start_matches("error: ").split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// Whether the options are checked, for a program that reads JSON. Otherwise errors about options
/// are text, because `--format` may be among them.
fn is_check_in_json(words: &[OsString]) -> bool {
    let is_format = |pair: &[OsString]| pair == ["--format", "json"];
    let is_json = words.iter().any(|word| word == "--json" || word == "--format=json");
    words.iter().any(|word| word == "--check-config")
        && (is_json || words.windows(2).any(is_format))
}
