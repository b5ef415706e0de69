//! Crowds that want nothing: connections that say nothing, and handshakes with wrong tokens, on a real
//! server that has honest clients. Nobody of those may be called dead, or have to wait to get in, and
//! the server's memory has to stay in its bounds.

use std::process::ExitCode;

mod args;
mod crowd;
mod honest;
mod report;
mod run;
mod server;

pub use self::args::Args;

/// Runs it.
///
/// # Errors
///
/// When something failed that the command needs.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    run::run(args)
}
