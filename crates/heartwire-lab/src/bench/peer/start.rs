//! Starts a peer, with files of its own in a folder that goes with it.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::{JARS, NATS_PINGS, NETTY, Peer, ping_interval, whole_secs, with_node_path};
use crate::net::find;

/// How long a peer may take to start: a virtual machine on a busy one.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// More connections than the clients' that a peer must permit.
const OTHER_CONNECTIONS: u32 = 100;

const NODE: &str = include_str!("../../../peers/idle.js");
const JAVA: &str = include_str!("../../../peers/Idle.java");
const ERLANG: &str = include_str!("../../../peers/idle.erl");

/// A peer that can be started.
#[derive(Debug)]
pub(in crate::bench) struct Start {
    pub(in crate::bench) command: Command,
    /// Where it will listen; if not here, its first line says so.
    pub(in crate::bench) address: Option<SocketAddr>,
    /// Its files.
    pub(in crate::bench) folder: TempDir,
}

impl Peer {
    pub(in crate::bench) fn start(
        self,
        wanted: Duration,
        connections: u32,
    ) -> anyhow::Result<Start> {
        let folder = TempDir::new().context("no folder for a peer")?;
        let files = folder.path();
        let connections = connections.saturating_add(OTHER_CONNECTIONS);
        let millis = self.timeout(wanted).as_millis().to_string();
        let (command, address) = match self {
            Self::Mosquitto => {
                let address = own_address()?;
                // A process that gives up root's rights is no longer killed when the lab ends.
                let config = format!(
                    "listener {} {}\nallow_anonymous true\nmax_connections -1\n\
                     persistence false\nlog_dest none\nuser root\n",
                    address.port(),
                    address.ip()
                );
                let mut command = program("mosquitto")?;
                command.arg("-c").arg(written(files, "mosquitto.conf", &config)?);
                (command, Some(address))
            }
            Self::Nats => {
                let address = own_address()?;
                let config = format!(
                    "listen: \"{address}\"\nmax_connections: {connections}\n\
                     ping_interval: \"{}ms\"\nping_max: {NATS_PINGS}\nlog_file: \"{}\"\n",
                    ping_interval(wanted).as_millis(),
                    files.join("log").display()
                );
                let mut command = program("nats-server")?;
                command.arg("-c").arg(written(files, "nats.conf", &config)?);
                (command, Some(address))
            }
            Self::Redis => {
                let address = own_address()?;
                let mut command = program("redis-server")?;
                command
                    .args(["--bind", &address.ip().to_string()])
                    .args(["--port", &address.port().to_string()])
                    .args(["--timeout", &whole_secs(wanted).to_string()])
                    .args(["--maxclients", &connections.to_string()])
                    // For it only 127.0.0.1 is this machine, and clients come from more addresses.
                    .args(["--protected-mode", "no"])
                    .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
                    .arg("--dir")
                    .arg(files);
                (command, Some(address))
            }
            Self::Ws => {
                let mut command = program("node")?;
                command.arg(written(files, "idle.js", NODE)?).args(["0", &millis]);
                with_node_path(&mut command);
                (command, None)
            }
            Self::Netty => {
                let jars = NETTY.map(|name| format!("{JARS}/netty-{name}.jar")).join(":");
                let mut compiler = program("javac")?;
                compiler.args(["-cp", &jars, "-d"]).arg(files);
                finish(compiler.arg(written(files, "Idle.java", JAVA)?))?;
                let mut command = program("java")?;
                command.args(["-cp", &format!("{}:{jars}", files.display())]);
                command.args(["Idle", "0", &millis]);
                (command, None)
            }
            Self::Erlang => {
                let mut compiler = program("erlc")?;
                finish(compiler.arg("-o").arg(files).arg(written(files, "idle.erl", ERLANG)?))?;
                let mut command = program("erl")?;
                // As many processes and ports as there may be descriptors.
                command.args(["-noshell", "+P", "1048576", "+Q", "1048576", "-pa"]).arg(files);
                command.args(["-run", "idle", "start", "0", &millis]);
                (command, None)
            }
        };
        Ok(Start { command, address, folder })
    }
}

/// Waits until a peer accepts connections.
pub(in crate::bench) fn wait_until_listening(
    child: &mut Child,
    address: SocketAddr,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("it has ended: {status}");
        }
        ensure!(began.elapsed() < STARTS_WITHIN, "it does not listen on {address}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A free port of a loopback address that is made of this process's id, so that no other program
/// takes it before the peer does. Not the peer's usual one: a server on all addresses may have it.
fn own_address() -> io::Result<SocketAddr> {
    // An id has 22 bits at most.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    TcpListener::bind((Ipv4Addr::new(127, 64 | high, middle, low), 0))?.local_addr()
}

fn program(name: &str) -> anyhow::Result<Command> {
    Ok(Command::new(find(name).with_context(|| format!("{name} is not installed"))?))
}

fn written(folder: &Path, name: &str, text: &str) -> anyhow::Result<std::path::PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn finish(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", command.get_program().display());
    Ok(())
}
