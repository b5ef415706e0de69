//! `heartwire`: keeps TCP connections open and detects a dead peer within a time known in advance.

#![forbid(unsafe_code)]

mod args;
mod connect;
mod demo;
mod exit;
mod log;
mod options;
mod output;
mod plan;
mod serve;
mod shell;
mod signals;
mod stdin;
mod values;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use args::{Cli, Command};
use exit::{Exit, Usage};
use log::{Limit, Log};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = output::start_stderr() {
        output::complain(&anyhow::Error::new(error).context("cannot start a thread"));
        return Exit::Failure.into();
    }
    let exit = run(cli);
    output::flush_stderr();
    exit.into()
}

fn run(cli: Cli) -> Exit {
    let filter = match EnvFilter::try_new(cli.log_level()) {
        Ok(filter) => filter,
        Err(error) => {
            // The message repeats the value, which may come from the environment.
            let why =
                format!("--log-level (or HEARTWIRE_LOG_LEVEL) is `{}`: {error}", cli.log_level());
            output::complain(&Usage(why).into());
            return Exit::Usage;
        }
    };
    let limit = Limit::default();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(Log)
        .finish()
        .with(limit.clone())
        .init();
    let outcome = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Connect(args) => connect::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { directory } => shell::man(directory.as_deref()),
    };
    limit.tell();
    outcome.unwrap_or_else(|error| {
        if output::is_broken_pipe(&error) {
            return Exit::Success;
        }
        output::complain(&error);
        Exit::of(&error)
    })
}
