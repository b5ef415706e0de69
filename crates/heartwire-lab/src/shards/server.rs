//! `heartwire serve` with a number of shards, by itself or under valgrind.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::Context;

use super::trace;
use crate::bench::listening_address;
use crate::local::{program, without_settings};
use crate::net::find;
use crate::tied::tied;

/// A running server. Dropping it kills it, and so does the end of this process.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) target: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one that reads its clients' beats as it does by default.
    pub(super) fn start(
        bin: Option<&Path>,
        shards: u16,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program(bin)?);
        Self::listening(spawn(&mut command, Stdio::inherit(), shards, timeout)?)
    }

    /// Starts one whose threads are traced, and gives the trace to `read` before it is known where
    /// the server listens, because valgrind waits for its reader.
    pub(super) fn start_traced(
        bin: Option<&Path>,
        shards: u16,
        timeout: Duration,
        read: impl FnOnce(ChildStderr) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(find("valgrind").context("valgrind is not installed")?);
        command.args(trace::OPTIONS).arg(program(bin)?);
        let trace = Stdio::piped();
        let mut child = spawn(&mut command, trace, shards, timeout)?;
        read(child.stderr.take().context("no trace")?)?;
        Self::listening(child).context(
            "valgrind needs a program that was built with `cargo build --release -p heartwire-cli \
             --features rustix/use-libc-auxv`",
        )
    }

    fn listening(mut child: Child) -> anyhow::Result<Self> {
        let stdout = child.stdout.take().context("no output")?;
        // From here on dropping this value kills it.
        let mut server = Self { child, target: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        server.target =
            listening_address(&line).context("the server did not say where it listens")?;
        Ok(server)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn spawn(
    command: &mut Command,
    stderr: Stdio,
    shards: u16,
    timeout: Duration,
) -> anyhow::Result<Child> {
    let timeout = humantime::format_duration(timeout).to_string().replace(' ', "");
    let command = without_settings(command)
        .args(["serve", "--listen", "127.0.0.1:0", "--format", "json", "--interval", "off"])
        .args(["--threads", &shards.to_string(), "--timeout", &timeout])
        // Only its first line is read.
        .args(["--events", "verdict"])
        .args(["--accept-rate-per-address", "off", "--accept-rate", "off"])
        .args(["--handshake-timeout", "off", "--max-sessions", "1000000"]);
    tied(command)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))
}
