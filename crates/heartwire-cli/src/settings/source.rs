//! An option that a variable or the file sets.

use core::fmt;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;

use super::{Decided, Value};
use crate::environment::variable;

#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Its name, without dashes. That of an unknown key is an unknown option to clap, too.
    pub(super) option: String,
    /// What it is on a command line; none for a flag that is false.
    pub(super) words: Vec<OsString>,
    pub(super) source: Source,
}

impl Setting {
    pub(super) fn is_off(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether it comes from the file.
    pub(super) const fn is_in_file(&self) -> bool {
        matches!(self.source, Source::File { .. })
    }
}

/// As errors name it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Variable(name) => f.write_str(name),
            Source::File { path, line } => write!(f, "{}:{line}: {}", path.display(), self.option),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Variable(String),
    File { path: PathBuf, line: usize },
}

/// What variables set, unless the command line does.
pub(super) fn variables(
    decided: &Decided<'_>,
    value_of: impl Fn(&str) -> Option<OsString>,
    errors: &mut Vec<clap::Error>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    for arg in decided.command.get_arguments() {
        let Some((name, option)) = variable(arg).zip(arg.get_long()) else { continue };
        let Some(value) = value_of(&name) else { continue };
        if decided.options.contains(option) {
            continue;
        }
        let shown = value.to_string_lossy().into_owned();
        match Value::of_variable(arg, value) {
            Ok(value) => {
                let (option, words) = (option.to_owned(), value.words(option));
                settings.push(Setting { option, words, source: Source::Variable(name) });
            }
            Err(error) => {
                let what = format!("invalid value '{shown}' for '{name}': {error}\n");
                errors.push(clap::Error::raw(ErrorKind::ValueValidation, what));
            }
        }
    }
    settings
}
