//! The value of an option, as a command line and a file write it.

use core::fmt;
use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, ArgMatches};

use crate::values::{flag, number, without_secrets};

/// Options whose values may contain a password: URLs.
const WITH_SECRETS: [&str; 2] = ["hook", "presence"];

/// Displayed as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Flag(bool),
    /// How often an option is given.
    Count(u8),
    One(OsString),
    Many(Vec<OsString>),
}

/// What kind of value an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    Count,
    One,
    Many,
}

impl Kind {
    pub(super) fn of(arg: &Arg) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others take one value")]
        match arg.get_action() {
            ArgAction::SetTrue => Self::Flag,
            ArgAction::Count => Self::Count,
            ArgAction::Append => Self::Many,
            _ => Self::One,
        }
    }
}

impl Value {
    /// The value of a variable.
    pub(super) fn of_variable(arg: &Arg, value: OsString) -> Result<Self, String> {
        let text = || value.to_str().unwrap_or_default();
        match Kind::of(arg) {
            Kind::Flag => Ok(Self::Flag(flag(text())?)),
            Kind::Count => Ok(Self::Count(number(0..=255)(text())?)),
            // clap splits a list at its separators.
            Kind::One | Kind::Many => Ok(Self::One(value)),
        }
    }

    /// The value of an option that was given.
    pub(super) fn given(arg: &Arg, matches: &ArgMatches) -> Self {
        let id = arg.get_id().as_str();
        let values = || matches.get_raw(id).into_iter().flatten().map(OsStr::to_owned);
        match Kind::of(arg) {
            Kind::Flag => Self::Flag(matches.get_flag(id)),
            Kind::Count => Self::Count(matches.get_count(id)),
            Kind::One => Self::One(values().next().unwrap_or_default()),
            Kind::Many => Self::Many(values().collect()),
        }
    }

    /// As words of a command line.
    pub(super) fn words(&self, option: &str) -> Vec<OsString> {
        let alone = || OsString::from(format!("--{option}"));
        let with = |value: &OsString| {
            let mut word = OsString::from(format!("--{option}="));
            word.push(value);
            word
        };
        match self {
            Self::Flag(is_on) => is_on.then(alone).into_iter().collect(),
            Self::Count(count) => (0..*count).map(|_| alone()).collect(),
            Self::One(value) => vec![with(value)],
            Self::Many(values) => values.iter().map(with).collect(),
        }
    }

    /// The value of an option as it may be printed.
    pub(crate) fn without_secrets(&self, option: &str) -> Self {
        match self {
            Self::One(value) if WITH_SECRETS.contains(&option) => {
                Self::One(without_secrets(&value.to_string_lossy()).into())
            }
            Self::Flag(_) | Self::Count(_) | Self::One(_) | Self::Many(_) => self.clone(),
        }
    }

    /// As a file writes it; `None` if it is not UTF-8.
    pub(super) fn in_file(&self) -> Option<toml::Value> {
        Some(match self {
            Self::Flag(is_on) => (*is_on).into(),
            Self::Count(count) => i64::from(*count).into(),
            Self::One(value) => number_or_text(value.to_str()?),
            Self::Many(values) => {
                let values = values.iter().map(|value| value.to_str().map(number_or_text));
                toml::Value::Array(values.collect::<Option<_>>()?)
            }
        })
    }
}

/// As a file has it, in JSON.
impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        value.in_file().and_then(|value| serde_json::to_value(value).ok()).unwrap_or_default()
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.in_file() {
            Some(value) => value.fmt(f),
            None => write!(f, "{self:?}"),
        }
    }
}

/// A number without quotation marks, if it is then read as the same text.
pub(super) fn number_or_text(text: &str) -> toml::Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => number.into(),
        Ok(_) | Err(_) => text.into(),
    }
}
