//! Where options get their values: from the command line, environment variables, and a file.
//!
//! What variables and the file add is put on the command line, so that clap checks all values and
//! relations in one place; errors name the source. A stronger source replaces a weaker one: the
//! command line the environment, the environment the file.

mod explain;
mod file;
mod print;
mod refused;
mod source;
mod value;

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use crate::args::Cli;
use crate::environment::{command, variable};

use refused::Refused;
use source::Setting;
pub(crate) use value::Value;

/// The options about the file itself, which it cannot contain.
const OWN: [&str; 3] = ["config", "check-config", "print-config"];

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Configuration file")]
pub(crate) struct ConfigArgs {
    /// Read options from this file (TOML): `max-sessions = 5000` is --max-sessions 5000.
    ///
    /// The command line and the environment override it. Flags are true or false, lists are
    /// arrays, numbers can do without quotation marks, and all else is text as it is typed on a
    /// command line. Relative paths in it start from the working directory, as they do there.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Check the options, wherever they come from, and the files that they name, and exit: with
    /// code 0 if the program could start, and otherwise 2.
    #[arg(long, conflicts_with = "print_config")]
    pub(crate) check_config: bool,

    /// Print the file that the options amount to, and exit.
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "given"
    )]
    pub(crate) print_config: Option<Printed>,
}

/// Which options a printed file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Printed {
    /// Those that were given.
    Given,
    /// All, with their descriptions; those that were not given are comments.
    All,
}

/// The options of one run, and where they came from.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The subcommand, and its own.
    path: Vec<String>,
    /// What variables and the file set.
    used: Vec<Setting>,
    /// What they set that options of stronger sources exclude.
    overridden: Vec<Setting>,
    /// The configuration file.
    pub(crate) file: Option<PathBuf>,
    /// All options that are set, wherever they come from, without those about the file.
    pub(crate) given: BTreeMap<String, Value>,
}

/// Parses the command line, and takes from the environment what the command line leaves open, and
/// from the file what both do.
pub(crate) fn parse(line: &[OsString]) -> Result<(Cli, Settings), Refused> {
    parse_with(line, |name| env::var_os(name))
}

fn parse_with(
    line: &[OsString],
    variable_of: impl Fn(&str) -> Option<OsString>,
) -> Result<(Cli, Settings), Refused> {
    let mut settings = Settings::default();
    let mut command = command();
    let mut errors = settings.gather(&command, line, variable_of);
    let parsed = loop {
        match command.try_get_matches_from_mut(settings.words(line)) {
            Ok(matches) if errors.is_empty() => break Some(matches),
            Ok(_) => break None,
            Err(error) => {
                // One that follows from another would mislead.
                let is_first = errors.is_empty();
                let source = settings.source_of(&error);
                if source.is_some() || is_first {
                    errors.push(settings.explain(error));
                }
                // Without it further ones are found.
                let Some(at) = source else { break None };
                settings.used.remove(at);
            }
        }
    };
    let refused = |errors, settings: &Settings| Refused::new(errors, &settings.words(line));
    let Some(mut matches) = parsed else { return Err(refused(errors, &settings)) };
    settings.given = given(settings.subcommand(&command), leaf(&matches).1);
    let cli = Cli::from_arg_matches_mut(&mut matches);
    cli.map_err(|error| refused(vec![error], &settings)).map(|cli| (cli, settings))
}

/// The path of the subcommand, and what matches its options and those of all commands.
fn leaf(mut matches: &ArgMatches) -> (Vec<String>, &ArgMatches) {
    let mut path = Vec::new();
    while let Some((name, of_it)) = matches.subcommand() {
        path.push(name.to_owned());
        matches = of_it;
    }
    (path, matches)
}

fn is_given(arg: &Arg, matches: &ArgMatches) -> bool {
    matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
}

fn given(command: &Command, matches: &ArgMatches) -> BTreeMap<String, Value> {
    let options = options(command).filter(|(arg, _)| is_given(arg, matches));
    options.map(|(arg, name)| (name.to_owned(), Value::given(arg, matches))).collect()
}

/// The options of a command that can come from a file, with their names.
fn options(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    let options = command.get_arguments().filter(|arg| variable(arg).is_some());
    let named = options.filter_map(|arg| Some((arg, arg.get_long()?)));
    named.filter(|(_, name)| !OWN.contains(name))
}

/// What the sources so far have decided.
struct Decided<'a> {
    command: &'a Command,
    options: HashSet<&'a str>,
    /// Those of them that can exclude others. To clap a flag that is false would as well.
    active: Vec<&'a Arg>,
}

impl<'a> Decided<'a> {
    fn excludes(&self, other: &Arg) -> bool {
        let conflict = |one: &Arg, other: &Arg| {
            let conflicts = self.command.get_arg_conflicts_with(one);
            conflicts.iter().any(|arg| arg.get_id() == other.get_id())
        };
        self.active.iter().any(|one| conflict(one, other) || conflict(other, one))
    }
}

impl Settings {
    /// Takes what other sources add to the command line, except what cannot be read.
    fn gather(
        &mut self,
        command: &Command,
        line: &[OsString],
        variable_of: impl Fn(&str) -> Option<OsString>,
    ) -> Vec<clap::Error> {
        let mut errors = Vec::new();
        let mut command = command.clone().ignore_errors(true);
        // As far as the line can be read: errors are reported when it is parsed in full.
        let Ok(matches) = command.try_get_matches_from_mut(line) else { return errors };
        let (path, matches) = leaf(&matches);
        if path.is_empty() {
            return errors;
        }
        self.path = path;
        let command = self.subcommand(&command);
        let active: Vec<&Arg> =
            command.get_arguments().filter(|arg| is_given(arg, matches)).collect();
        let options = active.iter().filter_map(|arg| arg.get_long()).collect();
        let mut decided = Decided { command, options, active };
        // Unit files and Compose files leave a variable empty for the default.
        let value_of = |name: &str| variable_of(name).filter(|value| !value.is_empty());
        self.add(source::variables(&decided, value_of, &mut errors), &mut decided);
        if let Some(config) = command.get_arguments().find(|arg| arg.get_long() == Some("config")) {
            let typed = matches.get_raw("config").and_then(|mut values| values.next());
            let from_variable = || variable(config).and_then(|name| value_of(&name));
            self.file = typed.map(OsString::from).or_else(from_variable).map(PathBuf::from);
        }
        if let Some(file) = &self.file {
            self.add(file::read(file, command, &mut errors), &mut decided);
        }
        errors
    }

    /// The command line with what other sources add to it.
    fn words(&self, line: &[OsString]) -> Vec<OsString> {
        let mut words = line.to_vec();
        let at = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.splice(at..at, self.used.iter().flat_map(|setting| setting.words.iter().cloned()));
        words
    }

    fn subcommand<'a>(&self, command: &'a Command) -> &'a Command {
        let find = |command: &'a Command, name| command.find_subcommand(name).unwrap_or(command);
        self.path.iter().fold(command, find)
    }

    /// Adds the settings of a source that is weaker than those before.
    fn add(&mut self, settings: Vec<Setting>, decided: &mut Decided<'_>) {
        let find = |name: &str| {
            let mut options = decided.command.get_arguments();
            options.find(|arg| arg.get_long() == Some(name))
        };
        let is_open = |setting: &Setting| !decided.options.contains(setting.option.as_str());
        let is_excluded = |setting: &Setting| {
            !setting.is_off() && find(&setting.option).is_some_and(|arg| decided.excludes(arg))
        };
        let open = settings.into_iter().filter(is_open);
        let (overridden, used): (Vec<_>, Vec<_>) = open.partition(is_excluded);
        let newly: Vec<_> = used
            .iter()
            .filter_map(|setting| Some((find(&setting.option)?, setting.is_off())))
            .collect();
        decided.options.extend(newly.iter().filter_map(|(arg, _)| arg.get_long()));
        decided.active.extend(newly.iter().filter(|(_, is_off)| !is_off).map(|(arg, _)| *arg));
        self.used.extend(used);
        self.overridden.extend(overridden);
    }
}

#[cfg(test)]
mod tests;
