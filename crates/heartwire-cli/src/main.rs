//! `heartwire`: keeps TCP connections open and detects a dead peer within a time known in advance.

#![forbid(unsafe_code)]

mod args;
mod checked;
mod connect;
mod demo;
#[cfg(test)]
mod documented;
mod environment;
mod exit;
mod health;
mod http_client;
mod log;
mod memory;
mod options;
mod output;
mod plan;
mod presence;
mod price;
mod reload;
mod serve;
mod settings;
mod shell;
mod signals;
mod stdin;
#[cfg_attr(not(target_os = "linux"), path = "systemd/absent.rs")]
mod systemd;
mod tips;
mod top;
#[cfg(unix)]
mod tunnel;
mod values;

use std::env;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use args::{Cli, Command};
use exit::{Exit, Usage};
use log::{JsonLog, Limit, Log};
use settings::Settings;
use values::Format;

fn main() -> ExitCode {
    let line: Vec<OsString> = env::args_os().collect();
    let (cli, settings) = match settings::parse(&line) {
        Ok(parsed) => parsed,
        Err(refused) => return refused.exit().into(),
    };
    let format = format(&cli.command);
    if let Err(error) = output::start_stderr(format) {
        output::complain(&anyhow::Error::new(error).context("cannot start a thread"));
        return Exit::Failure.into();
    }
    let exit = run(cli, format, &settings);
    output::flush_stderr();
    exit.into()
}

fn run(cli: Cli, format: Format, settings: &Settings) -> Exit {
    let filter = match log::filter(cli.log_level()) {
        Ok(filter) => filter,
        Err(error) => return fail(&error.into(), settings),
    };
    let limit = Limit::default();
    let in_text = || fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(Log);
    tracing_subscriber::registry()
        .with(log::filtering(filter))
        .with((format == Format::Text).then(in_text))
        .with((format == Format::Json).then_some(JsonLog))
        .with(limit.clone())
        .init();
    if let Some(options) = settings.overridden() {
        tracing::info!(%options, "other options exclude these, which are set as well");
    }
    let outcome = checked::run(&cli.command, settings, format)
        .unwrap_or_else(|| run_command(cli.command, settings));
    limit.tell();
    outcome.unwrap_or_else(|error| {
        if output::is_broken_pipe(&error) {
            return Exit::Success;
        }
        fail(&error, settings)
    })
}

fn run_command(command: Command, settings: &Settings) -> anyhow::Result<Exit> {
    match command {
        Command::Serve(args) => serve::run(&args, settings),
        Command::Connect(args) => connect::run(&args),
        #[cfg(unix)]
        Command::Tunnel(command) => tunnel::run(&command, settings),
        Command::Presence(command) => presence::run(&command),
        Command::Health(args) => health::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { directory } => shell::man(directory.as_deref()),
    }
}

/// The format of all that the command prints, on either stream.
fn format(command: &Command) -> Format {
    match command {
        Command::Serve(args) => args.format.format(),
        Command::Connect(args) => args.format.format(),
        Command::Plan(args) => args.format.format(),
        Command::Health(args) => args.format.format(),
        Command::Top(args) => args.format(),
        Command::Presence(command) => presence::format(command),
        #[cfg(unix)]
        Command::Tunnel(command) => tunnel::format(command),
        Command::Demo(_) | Command::Completions { .. } | Command::Man { .. } => Format::Text,
    }
}

fn fail(error: &anyhow::Error, settings: &Settings) -> Exit {
    output::complain(error);
    // A setting that contradicts another may be one that the user does not see.
    if error.is::<Usage>()
        && let Some(said) = settings.said(&error.to_string())
    {
        output::inform(said);
    }
    Exit::of(error)
}
