//! Very many clients that come back at once after an outage.

use std::process::ExitCode;

/// What can be typed after `storm`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {}

/// Runs it.
///
/// # Errors
///
/// When something failed that the command needs.
pub fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("there is nothing here yet")
}
