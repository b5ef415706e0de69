//! Programs that end when the lab does, however it ends: Ctrl-C, a signal to it alone, or SIGKILL.
//!
//! The kernel kills a process when its parent dies, if that process asks for it; only the process
//! itself can. So the lab runs its own program, which asks, and then becomes the other program.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::local::run_by;

/// Arguments of `tied`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The process that it ends with.
    #[arg(value_name = "PID")]
    parent: i32,

    /// The program, and its arguments.
    #[arg(
        value_name = "PROGRAM",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    program: Vec<OsString>,
}

/// The same command, for a process that ends when the thread that starts it does.
pub(crate) fn tied(command: &Command) -> io::Result<Command> {
    let mut tied = Command::new(env::current_exe()?);
    tied.arg("tied").arg(std::process::id().to_string());
    Ok(run_by(tied, command))
}

/// Becomes the program.
///
/// # Errors
///
/// When the program cannot run.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot be tied to the lab")?;
    // It may have ended before the kernel was asked for that.
    if getppid() != Pid::from_raw(args.parent) {
        return Ok(ExitCode::FAILURE);
    }
    let (program, rest) = args.program.split_first().context("no program")?;
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
