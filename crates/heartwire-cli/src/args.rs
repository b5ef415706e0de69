//! What can be typed: the commands, and what all have in common.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::connect::{self, ConnectArgs};
use crate::demo::{self, DemoArgs};
use crate::exit::HELP;
use crate::plan::{self, PlanArgs};
use crate::serve::{self, ServeArgs};

/// Keeps long-lived TCP connections alive and says, within a stated bound, when one is dead.
#[derive(Debug, Parser)]
#[command(name = "heartwire", version, after_help = HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log on standard error: error, warn, info, debug or trace, or a filter such as
    /// `heartwire=debug`. Of each kind of warning and error one a second is logged, and the others
    /// are counted.
    #[arg(
        long,
        global = true,
        default_value = "warn",
        env = "HEARTWIRE_LOG_LEVEL",
        value_name = "FILTER"
    )]
    log_level: String,

    /// Log more: `-v` is --log-level info, `-vv` is debug.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Log errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

impl Cli {
    /// What to log.
    pub(crate) fn log_level(&self) -> &str {
        match self.verbose {
            _ if self.quiet => "error",
            0 => &self.log_level,
            1 => "info",
            2 => "debug",
            _ => "trace",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold many clients, and report each as online, offline or dead.
    #[command(after_help = serve::EXAMPLES)]
    Serve(ServeArgs),
    /// Hold a connection to a server: lines of standard input become data, data goes to standard
    /// output.
    #[command(after_help = connect::EXAMPLES)]
    Connect(ConnectArgs),
    /// Show the job in 15 seconds: a server, some clients, one of them frozen, and the verdict.
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArgs),
    /// Say when each end finds each kind of fault, and by what; or which settings find all in time.
    // No fault is found sooner or later for --nagle; it is taken where `serve` takes it.
    #[command(after_help = plan::EXAMPLES, mut_arg("nagle", |arg| arg.hide(true)))]
    Plan(PlanArgs),
    /// Print completions for a shell.
    #[command(
        after_help = "Example:\n  heartwire completions bash > /etc/bash_completion.d/heartwire"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a directory.
    #[command(
        after_help = "Examples:\n  heartwire man | man -l -\n  heartwire man --directory /usr/local/share/man/man1"
    )]
    Man {
        /// Where to write heartwire.1, heartwire-serve.1 and so on.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests;
