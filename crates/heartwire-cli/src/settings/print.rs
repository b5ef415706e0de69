//! Writes a configuration file.

use core::fmt::Write as _;

use clap::builder::PossibleValue;
use clap::{Arg, Command};

use super::value::{Kind, number_or_text};
use super::{Printed, Settings, options};
use crate::environment::command;
use crate::exit::Usage;
use crate::reload::Reload;
use crate::serve;
#[cfg(unix)]
use crate::tunnel;

/// Maximum length of a line of a comment, as in this project's own files.
const WIDTH: usize = 100;

impl Settings {
    /// The file that these options amount to.
    pub(crate) fn print(&self, which: Printed) -> Result<String, Usage> {
        let mut command = command();
        command.build();
        let command = self.subcommand(&command);
        let mut file = format!("# For `heartwire {} --config FILE`.\n", self.path.join(" "));
        let mut heading = None;
        let mut options: Vec<_> = options(command).filter(|(arg, _)| !arg.is_hide_set()).collect();
        options.sort_by_key(|(arg, _)| order(command, arg));
        for (arg, name) in options {
            let given = self.given.get(name).map(|value| {
                let value = value.without_secrets(name);
                value.in_file().ok_or_else(|| Usage(format!("--{name} is not UTF-8, as a file is")))
            });
            let given = given.transpose()?;
            if which == Printed::Given {
                if let Some(value) = given {
                    // Writing to a string never fails.
                    let _ = writeln!(file, "{name} = {value}");
                }
                continue;
            }
            if heading != arg.get_help_heading() {
                heading = arg.get_help_heading();
                let _ = write!(file, "\n\n## {}\n", heading.unwrap_or("Other"));
            }
            let _ = match given {
                Some(value) => writeln!(file, "\n{}{name} = {value}", self.described(arg, name)),
                None => writeln!(file, "\n{}#{name} = {}", self.described(arg, name), default(arg)),
            };
        }
        Ok(file)
    }

    /// The description of an option, as a comment.
    fn described(&self, arg: &Arg, name: &str) -> String {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
        let mut text = help.unwrap_or_default();
        let words = arg.get_possible_values();
        if Kind::of(arg) != Kind::Flag && !words.is_empty() {
            let words: Vec<_> = words.iter().map(PossibleValue::get_name).collect();
            let _ = write!(text, "\n\nValues: {}", words.join(", "));
        }
        if self.reloadable().contains(&name) {
            text.push_str("\n\nSIGHUP takes over a change.");
        }
        comment(&text)
    }

    /// The options that can change while the program runs.
    pub(super) fn reloadable(&self) -> &'static [&'static str] {
        let path: Vec<_> = self.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["serve"] => serve::Running::RELOADABLE,
            #[cfg(unix)]
            ["tunnel", "serve"] => tunnel::Running::RELOADABLE,
            _ => &[],
        }
    }
}

/// Where help has an option: its heading's first option first.
fn order(command: &Command, arg: &Arg) -> usize {
    let of_heading = |other: &Arg| other.get_help_heading() == arg.get_help_heading();
    command.get_arguments().position(of_heading).unwrap_or(usize::MAX)
}

/// The value by default, or an example of one.
fn default(arg: &Arg) -> toml::Value {
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let defaults = defaults.flat_map(|value| {
        let parts = value.split(|char| arg.get_value_delimiter() == Some(char));
        parts.map(number_or_text).collect::<Vec<_>>()
    });
    let mut defaults: Vec<_> = defaults.collect();
    let placeholder = || {
        let names = arg.get_value_names().and_then(<[_]>::first);
        names.map_or_else(|| "VALUE".into(), |name| toml::Value::from(name.as_str()))
    };
    match Kind::of(arg) {
        Kind::Flag => false.into(),
        Kind::Count => 0.into(),
        Kind::One => defaults.pop().unwrap_or_else(placeholder),
        Kind::Many if defaults.is_empty() => vec![placeholder()].into(),
        Kind::Many => defaults.into(),
    }
}

/// A text as lines of a comment.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = String::from("#");
        for word in paragraph.split(' ') {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(lines, "{line}");
                "#".clone_into(&mut line);
            }
            let _ = write!(line, " {word}");
        }
        let _ = writeln!(lines, "{}", line.trim_end());
    }
    lines
}
