//! What is between the client and the service.

use core::net::SocketAddr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::local::without_settings;

/// A relay in two processes, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relay {
    Direct,
    Socat {
        /// Its buffer, if not the usual one of 8 KiB.
        block: Option<u32>,
        tls: bool,
    },
    Tunnel {
        bin: PathBuf,
        tls: bool,
    },
}

/// A relay that runs. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Running {
    /// Where the client connects.
    pub(super) address: SocketAddr,
    /// The near end and the far end.
    pub(super) ends: Vec<End>,
}

/// A process of a relay.
#[derive(Debug)]
pub(super) struct End(Child);

impl End {
    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // It may have ended, as socat does after its connection.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A certificate for localhost.
#[derive(Debug)]
pub(super) struct Identity(TempDir);

impl Identity {
    pub(super) fn new() -> anyhow::Result<Self> {
        let files = TempDir::new().context("no folder for a certificate")?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(files.path().join("cert.pem"), made.cert.pem())?;
        fs::write(files.path().join("key.pem"), made.signing_key.serialize_pem())?;
        Ok(Self(files))
    }

    fn certificate(&self) -> String {
        self.0.path().join("cert.pem").display().to_string()
    }

    fn key(&self) -> String {
        self.0.path().join("key.pem").display().to_string()
    }
}

/// Whether there is a socat on this machine.
pub(super) fn has_socat() -> bool {
    let mut socat = Command::new("socat");
    let run = socat.arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

impl Relay {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Socat { block: None, .. } => "socat",
            Self::Socat { block: Some(_), .. } => "socat -b",
            Self::Tunnel { .. } => "tunnel",
        }
    }

    /// Starts it in front of a service. A socat takes one connection.
    pub(super) fn start(
        &self,
        identity: &Identity,
        service: SocketAddr,
    ) -> anyhow::Result<Running> {
        match self {
            Self::Direct => Ok(Running { address: service, ends: Vec::new() }),
            Self::Socat { block, tls } => start_socats(*block, *tls, identity, service),
            Self::Tunnel { bin, tls } => start_tunnel(bin, *tls, identity, service),
        }
    }
}

fn start_socats(
    block: Option<u32>,
    tls: bool,
    identity: &Identity,
    service: SocketAddr,
) -> anyhow::Result<Running> {
    let start = |from: &str, to: &str| {
        let mut command = Command::new("socat");
        command.args(["-d", "-d"]);
        if let Some(block) = block {
            command.args(["-b", &block.to_string()]);
        }
        command.args([from, to]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start socat")?;
        let log = child.stderr.take().context("no standard error")?;
        let address = first(log, |line| {
            let address = line.split("listening on ").nth(1)?.split_whitespace().last()?;
            address.parse().ok()
        });
        anyhow::Ok((End(child), address.context("socat does not listen")?))
    };
    let listen = "bind=127.0.0.1,nodelay";
    let (certificate, key) = (identity.certificate(), identity.key());
    let from = if tls {
        format!("OPENSSL-LISTEN:0,{listen},cert={certificate},key={key},verify=0")
    } else {
        format!("TCP-LISTEN:0,{listen}")
    };
    let (far, far_address): (End, SocketAddr) = start(&from, &format!("TCP:{service},nodelay"))?;
    let to = if tls {
        format!("OPENSSL:{far_address},nodelay,cafile={certificate},commonname=localhost")
    } else {
        format!("TCP:{far_address},nodelay")
    };
    let (near, address) = start(&format!("TCP-LISTEN:0,{listen}"), &to)?;
    Ok(Running { address, ends: vec![near, far] })
}

fn start_tunnel(
    bin: &Path,
    tls: bool,
    identity: &Identity,
    service: SocketAddr,
) -> anyhow::Result<Running> {
    let start = |args: &[&str]| {
        let mut command = Command::new(bin);
        without_settings(&mut command).arg("tunnel").args(args).args(["--format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start heartwire")?;
        let events = child.stderr.take().context("no standard error")?;
        let address = first(events, |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            event.get("addresses")?.get(0)?.as_str()?.parse().ok()
        });
        anyhow::Ok((End(child), address.context("the tunnel does not listen")?))
    };
    let (certificate, key) = (identity.certificate(), identity.key());
    let (service, most) = (format!("it={service}"), "--max-connections=100000");
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--service", &service, most];
    if tls {
        args.extend(["--tls-cert", &certificate, "--tls-key", &key]);
    }
    let (far, far_address): (End, SocketAddr) = start(&args)?;
    let target = far_address.to_string();
    let mut args = vec!["connect", &target, "it", "--listen", "127.0.0.1:0", most];
    if tls {
        args.extend(["--tls-ca", &certificate, "--tls-server-name", "localhost"]);
    }
    let (near, address) = start(&args)?;
    Ok(Running { address, ends: vec![near, far] })
}

/// What `find` finds in the first line where it finds anything. What follows is discarded.
fn first<T>(
    lines: impl Read + Send + 'static,
    find: impl Fn(&str) -> Option<T>,
) -> anyhow::Result<T> {
    let mut lines = BufReader::new(lines);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        if let Some(found) = find(&line) {
            thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            return Ok(found);
        }
        line.clear();
    }
    anyhow::bail!("it has ended")
}
