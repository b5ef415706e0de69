//! The real programs between network namespaces, and every fault that one machine can make.

use std::process::ExitCode;

/// What can be typed after `net`.
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
