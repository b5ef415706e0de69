//! A flood of silent connections and of handshakes with wrong tokens on a real server with honest
//! clients. None of those may be declared dead or have to wait for its connection, and the server's
//! memory must stay within its bound.

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
/// When the command cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    run::run(args)
}
