//! Runs other programs, and reports their errors.

use core::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// Runs a command to its end and returns what it printed.
pub(super) fn run(command: &mut Command) -> anyhow::Result<String> {
    finish(command.stdin(Stdio::null()), None)
}

/// Runs a command that reads `input`, and returns what it printed.
pub(super) fn feed(command: &mut Command, input: &str) -> anyhow::Result<String> {
    finish(command.stdin(Stdio::piped()), Some(input))
}

/// Whether a program is installed.
pub(super) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program is, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian's directories for most of these programs, which may not be in a user's PATH.
    let more = ["/usr/sbin", "/sbin"].map(Into::into);
    let mut places = std::env::split_paths(&path).chain(more).map(|place| place.join(program));
    places.find(|place| place.is_file())
}

fn finish(command: &mut Command, input: Option<&str>) -> anyhow::Result<String> {
    command.env("LC_ALL", "C").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", shown(command, None)))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A program that stops reading has failed, and its own error is better than a broken pipe.
        let _ = stdin.write_all(input.as_bytes());
    }
    let Output { status, stdout, stderr } = child.wait_with_output()?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!("{}: {status}: {}", shown(command, input), said.trim());
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// The command as one would type it.
fn shown(command: &Command, input: Option<&str>) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        // Writing into text cannot fail.
        let _ = write!(text, " {}", arg.to_string_lossy());
    }
    if let Some(input) = input {
        let _ = write!(text, " <<< {}", input.trim());
    }
    text
}

#[cfg(test)]
mod tests;
