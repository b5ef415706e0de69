//! The server that is looked after: `heartwire serve --http` on loopback, and its verdicts.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::local::without_settings;
use crate::process::Usage;

/// Timeout of the server: longer than it takes to connect all clients between two beats.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How long its shutdown may take.
pub(super) const DRAIN: Duration = Duration::from_secs(3);

const TOKEN: &str = "the-one-who-may-drain-it";

/// A server process. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    pub(super) http: SocketAddr,
    lateness: Arc<Mutex<Vec<f64>>>,
    _folder: TempDir,
}

impl Server {
    /// Returns when it listens.
    pub(super) fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("no folder for the token")?;
        let token = folder.path().join("http.token");
        fs::write(&token, format!("{TOKEN}\n"))?;
        only_ours(&token)?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--format", "json", "--quiet", "--interval", "off"]);
        command.args(["--timeout", &seconds(TIMEOUT), "--drain", &seconds(DRAIN)]);
        command.arg("--http-token").arg(token);
        without_settings(&mut command).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("no output")?;
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut server = Self {
            child,
            address: nowhere,
            http: nowhere,
            lateness: Arc::default(),
            _folder: folder,
        };
        let mut output = BufReader::new(stdout);
        let mut first = String::new();
        output.read_line(&mut first)?;
        let first: Value =
            serde_json::from_str(&first).context("the server ended instead of listening")?;
        let text = |pointer| first.pointer(pointer).and_then(Value::as_str);
        server.address = text("/addresses/0").context("no address")?.parse()?;
        let http = text("/http").and_then(|http| http.strip_prefix("http://"));
        server.http = http.context("no address of HTTP")?.parse()?;
        server.listen_to(output)?;
        Ok(server)
    }

    fn listen_to(&self, output: BufReader<ChildStdout>) -> anyhow::Result<()> {
        let lateness = Arc::clone(&self.lateness);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // Most lines are of clients that come and go.
                if !line.contains("\"verdict\"") {
                    continue;
                }
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                if let Some(late) = event.get("late_ms").and_then(Value::as_f64) {
                    lateness.lock().unwrap_or_else(PoisonError::into_inner).push(late);
                }
            }
        })?;
        Ok(())
    }

    /// How late its verdicts were since the last call, in ms.
    pub(super) fn take_lateness(&self) -> Vec<f64> {
        core::mem::take(&mut *self.lateness.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The processor time that it has used.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Duration::from_nanos(Usage::of(self.child.id())?.cpu_ns))
    }

    /// Whether it has exited.
    pub(super) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The header of a request that changes something.
    pub(super) fn authorization() -> String {
        format!("Authorization: Bearer {TOKEN}\r\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that others can read holds no secret.
fn only_ours(file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o600))?)
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}
