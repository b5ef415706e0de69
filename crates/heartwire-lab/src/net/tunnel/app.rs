//! The applications: Debian's clients, and the work that each one does.

use std::process::Command;

use clap::ValueEnum;

use super::carrier::{Carrier, proxy_command};
use super::files::{Files, HOST_KEY_ALIAS};
use super::seen::MARK;
use super::service::{Service, dump_args, postgres_args};
use super::trial::Trial;
use crate::local::without_settings;
use crate::net::namespace::Namespace;

/// The channel, or the beginning of a topic, of what is published.
pub(super) const CHANNEL: &str = "lab";

/// A client and its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum App {
    /// A shell on a terminal, in which a command is typed once its predecessor has answered.
    Ssh,
    /// A copy of a file to the server.
    Scp,
    /// Rows that are inserted in one transaction.
    Psql,
    /// A dump of a table.
    PgDump,
    /// All commands that the server gets.
    RedisMonitor,
    /// Messages on a channel.
    RedisPubsub,
    /// Messages from one client to another, both over the carrier.
    Mqtt,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// It answers each line that is typed with its number, and ends after the last one.
    Dialogue,
    /// It prints the numbers that another client sends.
    Feed,
    /// It copies a file to the server and ends.
    Upload,
    /// It prints something long and ends.
    Download,
}

impl App {
    /// As typed on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Scp => "scp",
            Self::Psql => "psql",
            Self::PgDump => "pg-dump",
            Self::RedisMonitor => "redis-monitor",
            Self::RedisPubsub => "redis-pubsub",
            Self::Mqtt => "mqtt",
        }
    }

    /// For a table.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Ssh => "ssh, interactive",
            Self::Scp => "scp",
            Self::Psql => "psql in a transaction",
            Self::PgDump => "pg_dump",
            Self::RedisMonitor => "redis-cli MONITOR",
            Self::RedisPubsub => "redis-cli SUBSCRIBE",
            Self::Mqtt => "mosquitto_pub to mosquitto_sub",
        }
    }

    pub(super) const fn service(self) -> Service {
        match self {
            Self::Ssh | Self::Scp => Service::Ssh,
            Self::Psql | Self::PgDump => Service::Postgres,
            Self::RedisMonitor | Self::RedisPubsub => Service::Redis,
            Self::Mqtt => Service::Mqtt,
        }
    }

    pub(super) const fn work(self) -> Work {
        match self {
            Self::Ssh | Self::Psql => Work::Dialogue,
            Self::Scp => Work::Upload,
            Self::PgDump => Work::Download,
            Self::RedisMonitor | Self::RedisPubsub | Self::Mqtt => Work::Feed,
        }
    }

    /// Whether it ends by itself after a while.
    pub(super) const fn is_transfer(self) -> bool {
        matches!(self.work(), Work::Upload | Work::Download)
    }

    /// The client over that carrier; an upload sends so many bytes a second.
    pub(super) fn client(
        self,
        namespace: &Namespace,
        trial: &Trial<'_>,
        carrier: Carrier,
        per_second: u64,
    ) -> Command {
        let (host, files) = (carrier.host(), trial.files);
        let program = match self {
            Self::Ssh => "ssh",
            Self::Scp => "scp",
            Self::Psql => "psql",
            Self::PgDump => "pg_dump",
            Self::RedisMonitor | Self::RedisPubsub => "redis-cli",
            Self::Mqtt => "mosquitto_sub",
        };
        let mut command = namespace.lasting_command(program);
        match self {
            Self::Ssh => {
                command.args(ssh_args(files));
                if carrier == Carrier::Tunnel {
                    // As people use it: no listener between the two.
                    let proxy = format!("ProxyCommand={}", proxy_command(trial));
                    without_settings(&mut command).args(["-o", &proxy]);
                }
                command.args(["-tt", &format!("root@{host}")]);
                command.arg("PS1= exec sh -i");
            }
            Self::Scp => {
                let kbit_per_second = (per_second * 8 / 1000).max(1);
                command.args(ssh_args(files)).args(["-q", "-l", &kbit_per_second.to_string()]);
                let to = files.path(&copy_name(carrier));
                command.arg(files.path("source")).arg(format!("root@{host}:{}", to.display()));
            }
            Self::Psql => {
                command.args(postgres_args(host)).args(["-X", "-q", "-A", "-t"]);
                command.args(["-v", "ON_ERROR_STOP=1", "-v"]);
                command.arg(format!("carrier={}", carrier.name()));
            }
            Self::PgDump => {
                command.args(dump_args(host));
            }
            Self::RedisMonitor => {
                command.args(["-h", host, "MONITOR"]);
            }
            Self::RedisPubsub => {
                command.args(["-h", host, "SUBSCRIBE", CHANNEL]);
            }
            Self::Mqtt => {
                command.args(["-h", host, "-t", &topic(carrier)]);
            }
        }
        command
    }

    /// The client that feeds it over the same carrier, if it has one of its own.
    pub(super) fn feeder(self, namespace: &Namespace, carrier: Carrier) -> Option<Command> {
        if self != Self::Mqtt {
            return None;
        }
        let mut command = namespace.lasting_command("mosquitto_pub");
        command.args(["-h", carrier.host(), "-l", "-t", &topic(carrier)]);
        Some(command)
    }

    /// What is typed before everything else.
    pub(super) const fn first_line(self) -> Option<&'static str> {
        if matches!(self, Self::Psql) { Some("BEGIN;") } else { None }
    }

    /// A line that is answered with that number, and nothing that is like it before.
    pub(super) fn question(self, number: u64) -> String {
        if self == Self::Psql {
            return format!(
                "INSERT INTO numbers VALUES (:'carrier', {number}) RETURNING '{MARK}' || number;"
            );
        }
        // The terminal shows what is typed.
        format!("echo {MARK}$(({number}))")
    }

    /// What is typed in the end.
    pub(super) const fn last_line(self) -> &'static str {
        if matches!(self, Self::Psql) { "COMMIT;" } else { "exit" }
    }
}

/// The name of the file that is copied over that carrier.
pub(super) fn copy_name(carrier: Carrier) -> String {
    format!("copy-{}", carrier.name())
}

fn topic(carrier: Carrier) -> String {
    format!("{CHANNEL}/{}", carrier.name())
}

/// Options of ssh: the lab's keys, and no files of the user.
pub(super) fn ssh_args(files: &Files) -> Vec<String> {
    let known_hosts = files.path("known_hosts");
    let mut args: Vec<String> = ["-F", "none", "-i"].map(str::to_owned).to_vec();
    args.push(files.path("client_key").display().to_string());
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        &format!("HostKeyAlias={HOST_KEY_ALIAS}"),
        &format!("UserKnownHostsFile={}", known_hosts.display()),
    ] {
        args.extend(["-o".to_owned(), option.to_owned()]);
    }
    args
}
