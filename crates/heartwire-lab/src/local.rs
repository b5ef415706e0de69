//! Descriptors, and how programs are started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use rustix::process::{Resource, getrlimit, setrlimit};

/// How many descriptors this process may have, after raising the limit as far as possible.
pub(crate) fn descriptors() -> anyhow::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    Ok(limit.current.unwrap_or(u64::MAX))
}

/// The server's program: the one that was named, or the one that was built beside this one.
pub(crate) fn program(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let program = match named {
        Some(program) => program.to_owned(),
        None => std::env::current_exe()
            .context("cannot tell where this program is")?
            .with_file_name("heartwire"),
    };
    anyhow::ensure!(
        program.is_file(),
        "there is no program {}; build it with `cargo build --release -p heartwire-cli`, or name \
         one with --bin",
        program.display()
    );
    Ok(program)
}

/// `front`, which becomes `command` or runs it, with the same environment.
pub(crate) fn run_by(mut front: Command, command: &Command) -> Command {
    front.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => front.env(name, value),
            None => front.env_remove(name),
        };
    }
    front
}

/// Has `heartwire` take its settings from its command line alone, and none from the environment.
pub(crate) fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"HEARTWIRE_") {
            command.env_remove(name);
        }
    }
    command
}
