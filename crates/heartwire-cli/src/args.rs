//! The command line: the commands, and the options that all of them take.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::connect::{self, ConnectArgs};
use crate::demo::{self, DemoArgs};
use crate::exit::HELP;
use crate::health::{self, HealthArgs};
use crate::plan::{self, PlanArgs};
use crate::presence::{self, PresenceCommand};
use crate::serve::{self, ServeArgs};
use crate::top::{self, TopArgs};
#[cfg(unix)]
use crate::tunnel::{self, TunnelCommand};

/// Keep long-lived TCP connections open, and detect a dead peer within a time known in advance.
#[derive(Debug, Parser)]
#[command(name = "heartwire", version, after_help = HELP, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log on standard error: error, warn, info, debug or trace, or a filter such as
    /// `heartwire=debug`. At most one warning or error of each kind is logged per second; the
    /// others are counted.
    #[arg(
        long,
        global = true,
        help_heading = "Output",
        display_order = 1000,
        default_value = "warn",
        value_name = "FILTER"
    )]
    log_level: String,

    /// Log more: `-v` is --log-level info, `-vv` is debug.
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Output",
        display_order = 1001,
        action = ArgAction::Count,
        conflicts_with = "log_level"
    )]
    verbose: u8,

    /// Log errors only.
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Output",
        display_order = 1002,
        conflicts_with_all = ["verbose", "log_level"]
    )]
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
    /// Run a server and report clients as they connect, disconnect or die.
    #[command(after_help = serve::FIRST_EXAMPLES, after_long_help = serve::EXAMPLES)]
    Serve(ServeArgs),
    /// Connect to a server and keep the connection alive; sends stdin lines, prints received data.
    #[command(after_help = connect::FIRST_EXAMPLES, after_long_help = connect::EXAMPLES)]
    Connect(ConnectArgs),
    /// Carry the connections of other programs through outages: a sidecar at each end.
    #[cfg(unix)]
    #[command(subcommand, after_help = tunnel::EXAMPLES)]
    Tunnel(TunnelCommand),
    /// Ask the Redis that several servers share (serve --presence) who is online, and where.
    #[command(subcommand, after_help = presence::EXAMPLES)]
    Presence(PresenceCommand),
    /// Watch a server (serve --http) in a terminal: rates, lateness, and sessions that need a look.
    #[command(after_help = top::EXAMPLES)]
    Top(TopArgs),
    /// Ask a server (serve --http) whether it is ready for clients, or alive.
    #[command(after_help = health::EXAMPLES)]
    Health(HealthArgs),
    /// Run a 10-second demo: a server detects that one of its clients is frozen.
    #[command(after_help = demo::EXAMPLES)]
    Demo(DemoArgs),
    /// Predict how fast each failure is detected, or find settings for a target.
    // --nagle changes no prediction; it is accepted because --client and --server accept it.
    #[command(
        after_help = plan::FIRST_EXAMPLES,
        after_long_help = plan::EXAMPLES,
        mut_arg("nagle", |arg| arg.hide(true))
    )]
    Plan(PlanArgs),
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  heartwire completions bash > \
                      /etc/bash_completion.d/heartwire\n\n\
                      Exit codes: 0 done, 2 invalid arguments, 1 they could not be written.")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a directory.
    #[command(after_help = "Examples:\n  heartwire man | man -l -\n  \
                      heartwire man --directory /usr/local/share/man/man1\n\n\
                      Exit codes: 0 done, 2 invalid arguments, 1 they could not be written.")]
    Man {
        /// Where to write heartwire.1, heartwire-serve.1 and so on.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests;
