//! Reads the configuration file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Arg, Command};
use toml::de::{DeTable, DeValue};

use super::source::{Setting, Source};
use super::value::Kind;
use super::{Value, options};

/// Maximum length of a file, in bytes: all options with their descriptions take a twentieth. An
/// endless file, such as a device, must not fill the memory.
const MAX_LEN: u64 = 1024 * 1024;

/// No option has such a long name, and looking for the nearest to one takes long.
const MAX_NAME: usize = 64;

/// Faults that are told. One that is open can open many others.
const MAX_FAULTS: usize = 5;

/// Reads the settings of a file for a command.
pub(super) fn read(path: &Path, command: &Command, errors: &mut Vec<clap::Error>) -> Vec<Setting> {
    let mut settings = Vec::new();
    let text = match text(path) {
        Ok(text) => text,
        Err(error) => {
            let what = format!("cannot read the configuration file {}: {error}\n", path.display());
            errors.push(clap::Error::raw(ErrorKind::Io, what));
            return settings;
        }
    };
    let mut wrong = |at: usize, what: &str| {
        let line = line(&text, at);
        let what = format!("{}:{line}: {what}\n", path.display());
        errors.push(clap::Error::raw(ErrorKind::ValueValidation, what));
    };
    let (table, faults) = DeTable::parse_recoverable(&text);
    for fault in faults.iter().take(MAX_FAULTS) {
        let at = fault.span().map_or(0, |span| span.start);
        wrong(at, &fault.message().replace('\n', ", "));
    }
    if !faults.is_empty() {
        return settings;
    }
    let mut keys: Vec<_> = table.into_inner().into_iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in keys {
        let (at, key) = (key.span().start, key.into_inner().into_owned());
        let source = Source::File { path: path.to_owned(), line: line(&text, at) };
        match words(command, &key, value.get_ref()) {
            Ok(words) => settings.push(Setting { option: key, words, source }),
            Err(what) => wrong(at, &format!("{}: {what}", shown(&key))),
        }
    }
    settings
}

/// What a key and its value are on a command line.
fn words(command: &Command, key: &str, value: &DeValue<'_>) -> Result<Vec<OsString>, &'static str> {
    if let Some((arg, _)) = options(command).find(|&(_, name)| name == key) {
        return Ok(self::value(arg, value)?.words(key));
    }
    // Those about files, and --help.
    if command.get_arguments().any(|arg| arg.get_long() == Some(key)) {
        return Err("this option cannot be in a file");
    }
    if matches!(value, DeValue::Table(_)) {
        return Err("there are no sections: each key is an option's name");
    }
    if !is_name(key) {
        return Err("there is no such option");
    }
    // An unknown option to clap, which knows the nearest name.
    Ok(vec![OsString::from(format!("--{key}"))])
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_LEN + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_LEN {
        return Err(io::Error::other(format!("it has more than {MAX_LEN} bytes")));
    }
    Ok(text)
}

/// The number of the line at a byte.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count()
}

/// Whether a command line could have such an option.
fn is_name(key: &str) -> bool {
    (1..=MAX_NAME).contains(&key.len())
        && !key.starts_with('-')
        && key.chars().all(|char| char.is_alphanumeric() || char == '-' || char == '_')
}

/// A key as it fits into a line.
fn shown(key: &str) -> String {
    key.chars().take(MAX_NAME).flat_map(char::escape_debug).collect()
}

/// What the value of a key is to its option.
fn value(arg: &Arg, value: &DeValue<'_>) -> Result<Value, &'static str> {
    match (Kind::of(arg), value) {
        (Kind::Flag, DeValue::Boolean(is_on)) => Ok(Value::Flag(*is_on)),
        (Kind::Flag, _) => Err("write true or false"),
        (Kind::Count, DeValue::Integer(count)) => {
            count.as_str().parse().map(Value::Count).map_err(|_| "write a number from 0 to 255")
        }
        (Kind::Count, _) => Err("write a number from 0 to 255"),
        (Kind::Many, DeValue::Array(values)) => {
            let values = values.iter().map(|value| scalar(value.get_ref()));
            Ok(Value::Many(values.collect::<Result<_, _>>()?))
        }
        (Kind::One, DeValue::Array(_)) => Err("it takes one value, not a list"),
        (Kind::One | Kind::Many, value) => scalar(value).map(Value::One),
    }
}

/// A number or a text, as a command line has it.
fn scalar(value: &DeValue<'_>) -> Result<OsString, &'static str> {
    match value {
        DeValue::String(text) => Ok(OsString::from(&**text)),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().into()),
        DeValue::Float(number) => Ok(number.as_str().into()),
        DeValue::Integer(_) => Err("write a decimal number"),
        DeValue::Boolean(_) => Err("it is no flag: write its value, not true or false"),
        DeValue::Datetime(_) => Err("put the value in quotation marks"),
        DeValue::Array(_) => Err("write a list of values, not of lists"),
        DeValue::Table(_) => Err("write a value, not a table"),
    }
}
