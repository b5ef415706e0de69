//! `--check-config` and `--print-config`.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use crate::args::Command;
use crate::exit::{Exit, Usage};
use crate::output::{print_bytes, print_text, timed_json};
use crate::settings::{ConfigArgs, Settings};
#[cfg(unix)]
use crate::tunnel;
use crate::values::Format;
use crate::{connect, serve};

/// The options are right.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "checked")]
struct Checked<'a> {
    file: Option<PathBuf>,
    options: Vec<&'a str>,
}

/// Checks or prints the options instead of running the command, if that is wanted.
pub(crate) fn run(
    command: &Command,
    settings: &Settings,
    format: Format,
) -> Option<anyhow::Result<Exit>> {
    let config = config(command)?;
    if let Some(which) = config.print_config {
        let printed = settings.print(which).map_err(Into::into);
        return Some(printed.and_then(|file| print_bytes(file.as_bytes())).map(|()| Exit::Success));
    }
    config.check_config.then(|| {
        // Whatever is wrong, a program could not start with these options.
        check(command).map_err(|error| Usage(format!("{error:#}")))?;
        let options = settings.given.keys().map(String::as_str).collect();
        let checked = Checked { file: settings.file.clone(), options };
        match format {
            Format::Text => print_text("OK")?,
            Format::Json => print_text(timed_json(&checked, SystemTime::now()))?,
        }
        Ok(Exit::Success)
    })
}

fn config(command: &Command) -> Option<&ConfigArgs> {
    match command {
        Command::Serve(args) => Some(&args.config),
        Command::Connect(args) => Some(&args.config),
        #[cfg(unix)]
        Command::Tunnel(command) => Some(tunnel::config(command)),
        _ => None,
    }
}

/// Checks all that can be wrong before the command does anything.
fn check(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve::check(args),
        Command::Connect(args) => connect::check(args),
        #[cfg(unix)]
        Command::Tunnel(command) => tunnel::check(command),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::expect_documented;

    #[test]
    fn keys_of_a_check_are_the_documented_ones_in_their_order() {
        expect_documented("Checking", &[Checked { file: None, options: Vec::new() }]);
    }
}
