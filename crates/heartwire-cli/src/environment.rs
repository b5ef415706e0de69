//! Options from environment variables: `HEARTWIRE_MAX_SESSIONS` for `--max-sessions`.

use std::collections::HashSet;
use std::env;
use std::ffi::OsString;
use std::process;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches, Id};

use crate::args::Cli;
use crate::tips;
use crate::values::{flag, number};

const PREFIX: &str = "HEARTWIRE_";

/// What help says: the rule instead of a line for each option, which the man pages have.
const HELP: &str = "\
Each option can come from an environment variable: --max-sessions from HEARTWIRE_MAX_SESSIONS. The
command line overrides the environment. Flags take true or false; lists use commas.";

/// What the environment contributes to one run.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// The variables that set an option.
    pub(crate) used: Vec<String>,
    /// The variables of options that the command line excludes.
    pub(crate) overridden: Vec<String>,
}

/// The variable of an option; `None` for positional arguments, `--help` and `--version`.
pub(crate) fn variable(arg: &Arg) -> Option<String> {
    use ArgAction::{Help, HelpLong, HelpShort, Version};
    if matches!(arg.get_action(), Help | HelpLong | HelpShort | Version) {
        return None;
    }
    Some(format!("{PREFIX}{}", arg.get_long()?.to_uppercase().replace('-', "_")))
}

/// The command line as the man pages and the completions describe it: with all variables.
pub(crate) fn described() -> Command {
    fn with_variables(command: Command) -> Command {
        let describe = |arg: Arg| match variable(&arg) {
            Some(name) => arg.env(name),
            None => arg,
        };
        command.mut_args(describe).mut_subcommands(with_variables)
    }
    with_variables(command())
}

/// The command line with what its help says about variables.
fn command() -> Command {
    fn add(command: Command) -> Command {
        let with_rule = |help: Option<&StyledStr>| {
            let before = help.map(|help| format!("{help}\n\n")).unwrap_or_default();
            format!("{before}{HELP}")
        };
        let short = with_rule(command.get_after_help());
        let long = command.get_after_long_help().map(|help| with_rule(Some(help)));
        let command = command.after_help(short);
        let command = if let Some(long) = long { command.after_long_help(long) } else { command };
        command.mut_subcommands(add)
    }
    add(Cli::command())
}

/// Has another `heartwire` take its settings from its command line alone.
pub(crate) fn remove_from(command: &mut process::Command) -> &mut process::Command {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            command.env_remove(name);
        }
    }
    command
}

/// Parses the command line, and takes from the environment what the command line leaves open.
pub(crate) fn parse(line: &[OsString]) -> Result<(Cli, Environment), clap::Error> {
    let mut environment = Environment::default();
    let mut command = command();
    let typed = Typed::read(&command, line);
    let add = |arg| typed.add_variable(arg, |name| env::var_os(name), &mut environment);
    command = typed.mut_options(command, add);
    let parsed = command.try_get_matches_from_mut(line);
    let find = |command, name: &String| Command::find_subcommand(command, name);
    let subcommand = typed.path.iter().try_fold(&command, find);
    let mut matches = parsed.map_err(|error| {
        let error = name_variables(error, subcommand.unwrap_or(&command), &environment);
        tips::add(error, &typed.path.join(" "))
    })?;
    Cli::from_arg_matches_mut(&mut matches).map(|cli| (cli, environment))
}

/// What is on the command line.
#[derive(Default)]
struct Typed {
    /// The subcommand, and its own.
    path: Vec<String>,
    options: HashSet<Id>,
    /// The options that one of those excludes. clap would report a conflict with a variable, and
    /// the variable would make the command line impossible.
    excluded: HashSet<Id>,
}

impl Typed {
    /// As far as the line can be read: errors are reported when it is parsed in full.
    fn read(command: &Command, line: &[OsString]) -> Self {
        let mut command = command.clone().ignore_errors(true);
        let Ok(matches) = command.try_get_matches_from_mut(line) else { return Self::default() };
        let (mut matches, mut command, mut path) = (&matches, &command, Vec::new());
        while let Some((name, of_it)) = matches.subcommand()
            && let Some(subcommand) = command.find_subcommand(name)
        {
            (matches, command) = (of_it, subcommand);
            path.push(name.to_owned());
        }
        if path.is_empty() {
            return Self::default();
        }
        let (typed, others): (Vec<_>, Vec<_>) = command.get_arguments().partition(|arg| {
            matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        });
        let excludes = |one: &Arg, other: &Arg| {
            command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
        };
        let is_excluded =
            |other: &&Arg| typed.iter().any(|one| excludes(one, other) || excludes(other, one));
        Self {
            path,
            excluded: others.into_iter().filter(is_excluded).map(|a| a.get_id().clone()).collect(),
            options: typed.iter().map(|arg| arg.get_id().clone()).collect(),
        }
    }

    /// Changes the options of the subcommand, and those of all commands.
    fn mut_options(&self, command: Command, mut change: impl FnMut(Arg) -> Arg) -> Command {
        fn of(command: Command, path: &[String], change: &mut dyn FnMut(Arg) -> Arg) -> Command {
            let command = command.mut_args(&mut *change);
            match path {
                [name, path @ ..] => {
                    command.mut_subcommand(name, |command| of(command, path, change))
                }
                [] => command,
            }
        }
        of(command, &self.path, &mut change)
    }

    /// Gives the option its variable, unless the variable changes nothing.
    fn add_variable(
        &self,
        arg: Arg,
        value_of: impl Fn(&str) -> Option<OsString>,
        environment: &mut Environment,
    ) -> Arg {
        let Some(name) = variable(&arg) else { return arg };
        // Unit files and Compose files leave a variable empty for the default.
        let value = value_of(&name).filter(|value| !value.is_empty());
        let Some(value) = value.filter(|_| !self.options.contains(arg.get_id())) else {
            return arg;
        };
        let is_flag = matches!(arg.get_action(), ArgAction::SetTrue);
        // To clap a flag that is false conflicts with others all the same.
        if is_flag && value.to_str().is_some_and(|value| flag(value) == Ok(false)) {
            return arg;
        }
        if self.excluded.contains(arg.get_id()) {
            environment.overridden.push(name);
            return arg;
        }
        environment.used.push(name.clone());
        let arg = arg.env(name).hide_env(true);
        if is_flag {
            arg.value_parser(flag)
        } else if matches!(arg.get_action(), ArgAction::Count) {
            arg.value_parser(number::<u8>(0..=255))
        } else {
            arg
        }
    }
}

/// Has an error name the variable where the option is not on the command line.
fn name_variables(
    mut error: clap::Error,
    command: &Command,
    environment: &Environment,
) -> clap::Error {
    let name = |option: &str| {
        let of = |arg: &&Arg| arg.get_env().is_some() && arg.to_string() == option;
        command.get_arguments().find(of).and_then(variable).unwrap_or_else(|| option.to_owned())
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
    if error.kind() == ErrorKind::MissingRequiredArgument && !environment.used.is_empty() {
        let tip = StyledStr::from(environment.said());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

impl Environment {
    /// Which variables set options, for people who have forgotten them.
    pub(crate) fn said(&self) -> String {
        format!("the environment sets {}", self.used.join(", "))
    }
}

#[cfg(test)]
mod tests;
