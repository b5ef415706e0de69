//! Both ends of a connection over simulated links, on a virtual clock.

use std::process::ExitCode;

/// What can be typed after `sim`.
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
