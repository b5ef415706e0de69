//! The server that is flooded: `heartwire serve` on loopback, its events, memory and processor
//! time.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::args::Transport;
use crate::local::without_settings;
use crate::process::{Memory, Usage};

/// The valid token.
pub(super) const TOKEN: &str = "honest-clients-have-this";

/// Interval and timeout of both ends.
pub(super) const BEAT: Duration = Duration::from_secs(1);
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// Files for one server: its tokens, and over TLS its certificate.
pub(super) struct Files {
    folder: TempDir,
    transport: Transport,
}

impl Files {
    pub(super) fn new(transport: Transport) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("no folder for tokens and certificates")?;
        fs::write(folder.path().join("tokens"), format!("{TOKEN}\n"))?;
        if transport == Transport::Tls {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
            fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
            fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        }
        Ok(Self { folder, transport })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The CA that clients have to trust, with TLS.
    pub(super) fn roots(&self) -> Option<PathBuf> {
        (self.transport == Transport::Tls).then(|| self.path("cert.pem"))
    }
}

/// A server process. It is killed when this is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

/// The server's events so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) verdicts: u64,
    pub(super) online: u64,
    pub(super) pauses: u64,
    /// The counters of its `stopped` event.
    pub(super) stopped: Option<Value>,
}

impl Server {
    /// Returns when it listens.
    pub(super) fn start(program: &Path, files: &Files) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--format", "json"]);
        command.args(["--interval", &seconds(BEAT), "--timeout", &seconds(TIMEOUT)]);
        command.arg("--tokens").arg(files.path("tokens"));
        if files.transport == Transport::Tls {
            command.arg("--tls-cert").arg(files.path("cert.pem"));
            command.arg("--tls-key").arg(files.path("key.pem"));
        }
        // It would log each rejected client otherwise.
        command.arg("--quiet");
        without_settings(&mut command).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("no output")?;
        let mut server =
            Self { child, address: SocketAddr::from(([0; 4], 0)), told: Arc::default() };
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next().context("the server ended instead of listening")??;
        let first: Value = serde_json::from_str(&first)?;
        let address = first.pointer("/addresses/0").and_then(Value::as_str);
        server.address = address.context("the server does not say where it listens")?.parse()?;
        server.listen_to(lines)?;
        Ok(server)
    }

    fn listen_to(&self, lines: Lines<BufReader<ChildStdout>>) -> anyhow::Result<()> {
        let told = Arc::clone(&self.told);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                match event.get("event").and_then(Value::as_str) {
                    Some("verdict") => told.verdicts += 1,
                    Some("online") => told.online += 1,
                    Some("paused") => told.pauses += 1,
                    Some("stopped") => told.stopped = Some(event),
                    Some(_) | None => {}
                }
            }
        })?;
        Ok(())
    }

    pub(super) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its own pages, in bytes.
    pub(super) fn memory(&self) -> anyhow::Result<u64> {
        Ok(Memory::of(self.child.id())?.user)
    }

    /// The processor time that it has used.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(Duration::from_nanos(Usage::of(self.child.id())?.cpu_ns))
    }

    /// Stops it, and waits for its `stopped` event.
    pub(super) fn stop(&mut self) -> anyhow::Result<Told> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        for _ in 0..100 {
            let told = self.told();
            if told.stopped.is_some() {
                return Ok(told);
            }
            // Its output is read on another thread.
            thread::sleep(Duration::from_millis(20));
        }
        Ok(self.told())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn seconds(time: Duration) -> String {
    format!("{}s", time.as_secs())
}
