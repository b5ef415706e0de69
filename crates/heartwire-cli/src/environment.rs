//! Options from environment variables: `HEARTWIRE_MAX_SESSIONS` for `--max-sessions`.

use std::env;
use std::process;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::args::Cli;
use crate::systemd;

const PREFIX: &str = "HEARTWIRE_";

/// What help says: the rule instead of a line for each option, which the man pages have.
const HELP: &str = "\
Each option can come from an environment variable: --max-sessions from HEARTWIRE_MAX_SESSIONS. The
command line overrides the environment. Flags take true or false; lists use commas.";

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
pub(crate) fn command() -> Command {
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

/// Has another `heartwire` take its settings from its command line alone, and tell the service
/// manager nothing.
pub(crate) fn remove_from(command: &mut process::Command) -> &mut process::Command {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            command.env_remove(name);
        }
    }
    for name in systemd::VARIABLES {
        command.env_remove(name);
    }
    command
}
