//! Servers of other projects, for `bench --compare`: each is started on loopback with settings as
//! near to the timeout as it permits, and spoken to in its own protocol.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::net::find;

mod speech;
mod start;

pub(super) use self::start::{Start, wait_until_listening};

/// Where `.ci/run` installs `ws`, unless `NODE_PATH` says otherwise.
const NODE_PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/interop/node_modules");

/// Where Debian has Netty, and which of its archives `Idle.java` needs.
const JARS: &str = "/usr/share/java";
const NETTY: [&str; 6] = ["common", "buffer", "transport", "resolver", "codec", "handler"];

/// How many pings NATS sends to a silent client before it closes the connection.
const NATS_PINGS: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Mosquitto,
    Nats,
    Redis,
    /// The package `ws` on Node.
    Ws,
    Netty,
    Erlang,
}

impl Peer {
    pub(super) const ALL: [Self; 6] =
        [Self::Mosquitto, Self::Nats, Self::Redis, Self::Ws, Self::Netty, Self::Erlang];

    /// As typed after `--only`.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats",
            Self::Redis => "redis",
            Self::Ws => "ws",
            Self::Netty => "netty",
            Self::Erlang => "erlang",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto, PINGREQ",
            Self::Nats => "nats-server, PING",
            Self::Redis => "redis-server, PING",
            Self::Ws => "Node `ws`, pings",
            Self::Netty => "Netty, `IdleStateHandler`",
            Self::Erlang => "Erlang, a process and `after` each",
        }
    }

    /// What to install where it is missing: Debian's packages, and npm's.
    pub(super) const fn packages(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats-server",
            Self::Redis => "redis-server",
            Self::Ws => "nodejs, and `npm install --prefix target/interop ws@8`",
            Self::Netty => "default-jdk-headless, libnetty-java",
            Self::Erlang => "erlang-base",
        }
    }

    /// Whether it answers each beat.
    pub(super) const fn answers(self) -> bool {
        match self {
            Self::Mosquitto | Self::Nats | Self::Redis | Self::Ws => true,
            Self::Netty | Self::Erlang => false,
        }
    }

    /// The version that is installed here; `None` if something is missing.
    pub(super) fn version(self) -> Option<String> {
        match self {
            Self::Mosquitto => first_line("mosquitto", &["-h"]),
            Self::Nats => first_line("nats-server", &["--version"]),
            Self::Redis => {
                let line = first_line("redis-server", &["--version"])?;
                let version =
                    line.split_ascii_whitespace().find_map(|word| word.strip_prefix("v="));
                Some(format!("redis-server {}", version?))
            }
            Self::Ws => {
                let script = "console.log(`ws ${require('ws/package.json').version}, Node \
                              ${process.versions.node}`)";
                first_line("node", &["-e", script])
            }
            Self::Netty => {
                let java = first_line("javac", &["-version"])?;
                find("java")?;
                let is_there = |name| Path::new(JARS).join(format!("netty-{name}.jar")).is_file();
                let netty = netty_version();
                NETTY.into_iter().all(is_there).then(|| format!("Netty {netty}, {java}"))
            }
            Self::Erlang => {
                find("erlc")?;
                let script = "io:format(\"Erlang/OTP ~s~n\", [erlang:system_info(otp_release)]), \
                              halt().";
                first_line("erl", &["-noshell", "-eval", script])
            }
        }
    }

    /// The shortest silence after which it closes a connection by its own rule, with the settings
    /// that are nearest to `wanted`.
    pub(super) fn timeout(self, wanted: Duration) -> Duration {
        match self {
            Self::Mosquitto => Duration::from_secs(u64::from(keep_alive(wanted))) * 3 / 2,
            Self::Nats => ping_interval(wanted) * (NATS_PINGS + 1),
            Self::Redis => Duration::from_secs(whole_secs(wanted)),
            Self::Ws | Self::Netty | Self::Erlang => millis(wanted),
        }
    }

    /// Its rule, in words.
    pub(super) fn rule(self, wanted: Duration) -> String {
        let timeout = self.timeout(wanted);
        match self {
            Self::Mosquitto => format!(
                "closes a client after 1.5 × its keep-alive of {} s, in whole seconds",
                keep_alive(wanted)
            ),
            Self::Nats => {
                let every = ping_interval(wanted);
                format!(
                    "sends a PING each {every:?} to a client that was silent for so long, and \
                     closes it when {} were not answered: after {timeout:?} to {:?}",
                    NATS_PINGS,
                    timeout + every
                )
            }
            Self::Redis => format!("closes a client that is idle for more than {timeout:?}"),
            Self::Ws => format!(
                "pings each {timeout:?}, and terminates a client that has not answered the last \
                 one, as the README of `ws` has it: after {timeout:?} to {:?}",
                timeout * 2
            ),
            Self::Netty => format!("closes when its reader is idle for {timeout:?}"),
            Self::Erlang => format!("closes when a process has received nothing for {timeout:?}"),
        }
    }
}

/// The keep-alive of MQTT, in seconds; the server waits half as long again.
fn keep_alive(wanted: Duration) -> u16 {
    u16::try_from((wanted * 2 / 3).as_secs()).unwrap_or(u16::MAX).max(1)
}

fn ping_interval(wanted: Duration) -> Duration {
    millis(wanted / (NATS_PINGS + 1))
}

/// Rounded up; 0 would be none at all.
fn whole_secs(wanted: Duration) -> u64 {
    wanted.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
}

/// Without what is finer than a millisecond.
fn millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// Which one Debian has: `netty-common.jar` has a second name with its version.
fn netty_version() -> String {
    let names = fs::read_dir(JARS).into_iter().flatten().flatten();
    let mut versions = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_prefix("netty-common-")?.strip_suffix(".jar")?.to_owned())
    });
    versions.next().unwrap_or_else(|| "of an unknown version".to_owned())
}

fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(find(program)?);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null());
    with_node_path(&mut command);
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

fn with_node_path(command: &mut Command) {
    if std::env::var_os("NODE_PATH").is_none() {
        command.env("NODE_PATH", NODE_PATH);
    }
}

#[cfg(test)]
mod tests;
