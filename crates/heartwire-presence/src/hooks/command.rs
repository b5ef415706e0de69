//! Deliveries to a command.

use core::time::Duration;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use super::item::Batch;
use super::lanes::Failure;

/// How much of the end of the command's standard error is kept, to find its last line.
const MAX_STDERR: usize = 4 * 1024;

/// How long the end of it is waited for, after the command has ended.
const MAX_DRAIN: Duration = Duration::from_millis(200);

/// How much of that line is told, in characters.
const MAX_LINE: usize = 200;

/// A command that takes batches on standard input.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl Program {
    /// Runs it once. Dropping this future kills it, with all processes of its group.
    pub(super) async fn send(&self, batch: &Batch) -> Result<(), Failure> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        let spawned = command.spawn();
        let mut child = spawned.map_err(|error| Failure::new(format!("does not run: {error}")))?;
        // After the child, to be dropped before it: until the child is waited for, no other process
        // can have its id.
        let group = Group::of(&child);
        let (stdin, mut stderr) = (child.stdin.take(), child.stderr.take());
        let mut tail = Tail::default();
        let status = {
            let run = async { tokio::join!(write(stdin, batch), child.wait()) };
            tokio::pin!(run);
            let (written, status) = tokio::select! {
                done = &mut run => done,
                () = tail.drain(&mut stderr) => run.await,
            };
            written.and(status).map_err(|error| Failure::new(error.to_string()))?
        };
        // What it has started and left behind would pile up, batch by batch.
        drop(group);
        // A process that has left the group can keep this open.
        let _ = tokio::time::timeout(MAX_DRAIN, tail.drain(&mut stderr)).await;
        if status.success() {
            return Ok(());
        }
        let line = tail.last_line();
        let colon = if line.is_empty() { "" } else { ": " };
        Err(Failure::new(format!("{status}{colon}{line}")))
    }
}

async fn write(stdin: Option<ChildStdin>, batch: &Batch) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(&batch.body()).await {
        // The command need not read everything, or anything.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// The processes of a command, killed when this is dropped.
struct Group(#[cfg(unix)] Option<rustix::process::Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        #[cfg(unix)]
        {
            let id = child.id().and_then(|id| i32::try_from(id).ok());
            Self(id.and_then(rustix::process::Pid::from_raw))
        }
        #[cfg(not(unix))]
        {
            let _ = child;
            Self()
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(id) = self.0 {
            // It fails if there is no process left in it.
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

/// The end of what a command wrote to standard error.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Reads to the end. What was read before this future is dropped is kept.
    async fn drain(&mut self, stderr: &mut Option<ChildStderr>) {
        let mut buffer = [0; MAX_STDERR];
        while let Some(open) = stderr {
            match open.read(&mut buffer).await {
                Ok(len @ 1..) => {
                    self.0.extend(buffer.iter().take(len));
                    let excess = self.0.len().saturating_sub(MAX_STDERR);
                    self.0.drain(..excess);
                }
                Ok(0) | Err(_) => *stderr = None,
            }
        }
    }

    /// The last line with something in it, or its beginning.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        line.unwrap_or_default().chars().take(MAX_LINE).collect()
    }
}
