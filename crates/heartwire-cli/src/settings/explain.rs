//! Errors about options name the variable, or the file and its line, that set them.

use std::path::Path;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Settings;
use super::source::{Setting, Source};
use crate::tips;

impl Settings {
    /// Has an error name the source of an option that is not on the command line.
    pub(super) fn explain(&self, error: clap::Error) -> clap::Error {
        let mut error = tips::add(error, &self.path.join(" "));
        let source = self.source_of(&error).and_then(|at| self.used.get(at));
        if let Some(setting) = source
            .filter(|setting| setting.is_in_file() && error.kind() == ErrorKind::UnknownArgument)
        {
            return unknown_key(&error, setting);
        }
        let name = |option: &str| {
            let setting = self.position(option).and_then(|at| self.used.get(at));
            setting.map_or_else(|| option.to_owned(), Setting::to_string)
        };
        for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
            let named = match error.get(kind) {
                Some(ContextValue::String(option)) => ContextValue::String(name(option)),
                Some(ContextValue::Strings(options)) => {
                    ContextValue::Strings(options.iter().map(|option| name(option)).collect())
                }
                _ => continue,
            };
            error.insert(kind, named);
        }
        if error.kind() == ErrorKind::MissingRequiredArgument
            && let Some(said) = self.said(&error.to_string())
        {
            let tip = StyledStr::from(said);
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
        error
    }

    /// The setting of an option as clap writes it: `--timeout <TIME>`.
    fn position(&self, option: &str) -> Option<usize> {
        let name = option.strip_prefix("--")?;
        let name = name.split([' ', '=', '[', '.']).next()?;
        self.used.iter().position(|setting| setting.option == name)
    }

    /// The setting that an error is about.
    pub(super) fn source_of(&self, error: &clap::Error) -> Option<usize> {
        match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => self.position(option),
            _ => None,
        }
    }

    /// Which options come from variables or the file, for people who have forgotten them: those
    /// that an error names, or all if it names none.
    pub(crate) fn said(&self, error: &str) -> Option<String> {
        let named: Vec<_> =
            self.used.iter().filter(|setting| error.contains(&setting.option)).collect();
        let said = if named.is_empty() { self.used.iter().collect() } else { named };
        let variables: Vec<_> =
            said.iter().filter(|setting| !setting.is_in_file()).map(ToString::to_string).collect();
        let keys: Vec<_> = said.iter().filter_map(|setting| key(setting)).collect();
        let from = |source: &str, names: Vec<String>| {
            (!names.is_empty()).then(|| format!("{source} sets {}", names.join(", ")))
        };
        let file = self.file.as_deref().unwrap_or(Path::new("")).display().to_string();
        let parts = [from("the environment", variables), from(&file, keys)];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", and "))
    }

    /// What is set and has no effect, because the command line or the environment excludes it.
    pub(crate) fn overridden(&self) -> Option<String> {
        let names: Vec<_> = self.overridden.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

fn key(setting: &Setting) -> Option<String> {
    match &setting.source {
        Source::Variable(_) => None,
        Source::File { line, .. } => Some(format!("{} (line {line})", setting.option)),
    }
}

fn unknown_key(error: &clap::Error, setting: &Setting) -> clap::Error {
    let tip = match (error.get(ContextKind::SuggestedArg), error.get(ContextKind::Suggested)) {
        (Some(ContextValue::String(option)), _) => {
            format!("the nearest one is {}", option.trim_start_matches('-'))
        }
        // Not clap's own, which is about command lines.
        (None, Some(ContextValue::StyledStrs(tips))) if error.get(ContextKind::Usage).is_none() => {
            tips.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        _ => "--help lists all options".to_owned(),
    };
    let what = format!("{setting}: there is no such option\n\n  tip: {tip}\n");
    clap::Error::raw(ErrorKind::UnknownArgument, what)
}
