//! The servers: Debian's, each with its own files, in the server's namespace.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::args::Args;
use super::carrier::Carrier;
use super::files::Files;
use super::process::Running;
use super::seen::read_all;
use crate::net::command::{feed, find, run};
use crate::net::namespace::Namespace;

/// What is reached over each carrier, at the port that it has everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Service {
    Ssh,
    Postgres,
    Redis,
    Mqtt,
}

/// How long a server may take to start.
pub(super) const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// PostgreSQL refuses to run as root.
const POSTGRES: &str = "postgres";

/// Where Debian has its programs, in a folder for each version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// About the length of a row of the table that is dumped.
const ROW_LEN: u64 = 1024 + 8;

impl Service {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Mqtt => "mqtt",
        }
    }

    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Ssh => 22,
            Self::Postgres => 5432,
            Self::Redis => 6379,
            Self::Mqtt => 1883,
        }
    }

    /// The programs of both ends, and where Debian has them.
    const fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Ssh => &[
                ("sshd", "openssh-server"),
                ("ssh", "openssh-client"),
                ("scp", "openssh-client"),
                ("ssh-keygen", "openssh-client"),
            ],
            Self::Postgres => &[("psql", "postgresql"), ("pg_dump", "postgresql")],
            Self::Redis => &[("redis-server", "redis-server"), ("redis-cli", "redis-tools")],
            Self::Mqtt => &[
                ("mosquitto", "mosquitto"),
                ("mosquitto_pub", "mosquitto-clients"),
                ("mosquitto_sub", "mosquitto-clients"),
            ],
        }
    }

    /// Starts it. It may not listen yet.
    pub(super) fn start(
        self,
        namespace: &Namespace,
        files: &Files,
        log: PathBuf,
    ) -> anyhow::Result<Running> {
        match self {
            Self::Ssh => {
                // Its folder for unprivileged processes, in a /run that only it sees.
                const START: &str = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && \
                                     exec \"$0\" -D -e -f \"$1\"";
                let mut command = namespace.lasting_command("sh");
                command.args(["-c", START]).arg(program("sshd")?).arg(files.path("sshd_config"));
                Running::server(&mut command, log)
            }
            Self::Postgres => start_postgres(namespace, files, log),
            Self::Redis => {
                let mut command = namespace.lasting_command("redis-server");
                command.args(["--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]);
                command.args(["--port", &self.port().to_string(), "--dir"]).arg(files.path(""));
                Running::server(&mut command, log)
            }
            Self::Mqtt => {
                let config = files.path("mosquitto.conf");
                // Not as another user, who may not read that.
                let text = format!("listener {}\nallow_anonymous true\nuser root\n", self.port());
                fs::write(&config, text)?;
                let mut command = namespace.lasting_command(program("mosquitto")?);
                Running::server(command.arg("-c").arg(config), log)
            }
        }
    }
}

fn start_postgres(namespace: &Namespace, files: &Files, log: PathBuf) -> anyhow::Result<Running> {
    // A new one for each trial, because the trials leave transactions open.
    let data = files.path("postgres");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    fs::create_dir(&data)?;
    let user = |field| run(Command::new("id").args([field, POSTGRES]));
    let [uid, gid] = ["-u", "-g"].map(|field| user(field).map(|id| id.trim().parse().ok()));
    chown(&data, uid?, gid?)?;
    let as_user = ["--reuid", POSTGRES, "--regid", POSTGRES, "--clear-groups"];
    let programs = postgres_programs().context("there is no PostgreSQL")?;
    let mut initdb = namespace.command("setpriv");
    initdb.args(as_user).arg(programs.join("initdb")).arg("-D").arg(&data).current_dir("/");
    run(initdb.args(["-A", "trust", "-U", POSTGRES, "--no-sync", "-E", "UTF8", "--locale=C"]))?;
    let access = data.join("pg_hba.conf");
    let trusted = fs::read_to_string(&access)? + "host all all 0.0.0.0/0 trust\n";
    fs::write(&access, trusted)?;
    let mut command = namespace.lasting_command("setpriv");
    // Another user's process is no longer killed with its parent, unless it asks for it again.
    command.args(as_user).args(["--pdeathsig", "INT", "--"]).arg(programs.join("postgres"));
    command.arg("-D").arg(&data).args(["-c", "listen_addresses=*", "-c", "fsync=off"]);
    command.args(["-c", "unix_socket_directories="]).current_dir("/");
    // It would leave shared memory behind.
    Ok(Running::server(&mut command, log)?.asked_first())
}

/// Makes the tables, and returns the checksum of the dump.
pub(super) fn fill_postgres(server: &Namespace, bytes: u64) -> anyhow::Result<[u8; 32]> {
    let rows = bytes / ROW_LEN;
    sql(
        server,
        &format!(
            "CREATE TABLE numbers (carrier text, number bigint);
         CREATE TABLE dumped AS SELECT n AS row, repeat(md5(n::text), 32) AS text
             FROM generate_series(1, {rows}) AS n;"
        ),
    )?;
    let mut dump = server.command("pg_dump");
    let mut dump = dump
        .args(dump_args("127.0.0.1"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .context("cannot start pg_dump")?;
    let seen = read_all(dump.stdout.take().context("no output")?, None);
    anyhow::ensure!(dump.wait()?.success(), "pg_dump failed at the server");
    Ok(seen.checksum())
}

/// Where and as whom clients of PostgreSQL connect.
pub(super) fn postgres_args(host: &str) -> [&str; 6] {
    ["-h", host, "-U", POSTGRES, "-d", POSTGRES]
}

pub(super) fn dump_args(host: &str) -> Vec<&str> {
    let mut args = postgres_args(host).to_vec();
    args.extend(["-t", "dumped"]);
    args
}

/// Runs commands at the server itself, and returns what they print.
pub(super) fn sql(server: &Namespace, commands: &str) -> anyhow::Result<String> {
    let mut psql = server.command("psql");
    psql.args(postgres_args("127.0.0.1")).args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    feed(&mut psql, commands)
}

/// The folder with the programs of the newest version.
fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir(POSTGRES_VERSIONS).ok()?.filter_map(Result::ok);
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file());
    folders.sort();
    folders.pop()
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    find(name).with_context(|| format!("there is no program {name}"))
}

/// The programs that a run needs, and where Debian has them.
pub(super) fn packages(args: &Args) -> Vec<(&'static str, &'static str)> {
    let mut programs = Vec::new();
    for service in args.services() {
        programs.extend(service.programs());
        if service == Service::Postgres && postgres_programs().is_none() {
            programs.push(("initdb", "postgresql"));
        }
    }
    for carrier in args.carriers() {
        match carrier {
            Carrier::Socat => programs.push(("socat", "socat")),
            Carrier::Autossh => programs.push(("autossh", "autossh")),
            Carrier::Plain | Carrier::Tunnel => {}
        }
    }
    programs
}

impl Args {
    /// The servers that a run needs.
    pub(super) fn services(&self) -> Vec<Service> {
        let mut services = self.carried();
        if self.needs_ssh() {
            services.push(Service::Ssh);
        }
        services.sort();
        services.dedup();
        services
    }

    /// The services of the applications.
    pub(super) fn carried(&self) -> Vec<Service> {
        let mut services: Vec<Service> = self.apps().into_iter().map(|app| app.service()).collect();
        services.sort();
        services.dedup();
        services
    }

    pub(super) fn needs_ssh(&self) -> bool {
        self.carried().contains(&Service::Ssh) || self.carriers().contains(&Carrier::Autossh)
    }
}

/// The ports on which a program listens in a namespace, each with its address.
pub(super) fn listening(namespace: &Namespace) -> anyhow::Result<String> {
    run(namespace.command(Path::new("ss")).args(["--no-header", "-l", "-t", "-n"]))
}
