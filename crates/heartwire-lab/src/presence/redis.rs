//! A Redis of our own: a process on a Unix socket, which can be killed, emptied and replaced.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, ensure};
use redis::{Client, Connection, Value};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::check::{Entry, Present};

/// How long it may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many entries of the stream are read at once.
const PORTION: usize = 10_000;

/// A `redis-server`, which writes each change to its disk. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Redis {
    program: PathBuf,
    folder: TempDir,
    /// Where its master is, if it is a replica.
    master: Option<SocketAddr>,
    child: Child,
}

impl Redis {
    /// Starts one. With `master` it is a replica of what listens there.
    pub(super) fn start(program: &Path, master: Option<SocketAddr>) -> anyhow::Result<Self> {
        let folder = TempDir::new().context("no folder for Redis")?;
        let child = spawn(program, folder.path(), master)?;
        let this = Self { program: program.to_owned(), folder, master, child };
        this.wait_until_it_answers()?;
        Ok(this)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again after [`kill`](Self::kill).
    pub(super) fn start_again(&mut self, keeps_data: bool) -> anyhow::Result<()> {
        if !keeps_data {
            fs::remove_dir_all(self.folder.path().join("appendonlydir")).context("no data")?;
        }
        self.child = spawn(&self.program, self.folder.path(), self.master)?;
        self.wait_until_it_answers()
    }

    /// Makes a replica a master.
    pub(super) fn promote(&mut self) -> anyhow::Result<()> {
        self.master = None;
        redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec(&mut self.connect()?)?;
        Ok(())
    }

    /// Waits until a replica has what its master has.
    pub(super) fn wait_for_link(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.info("replication")?.contains("master_link_status:up") {
            ensure!(began.elapsed() < PATIENCE, "the replica has no link to its master");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(super) fn info(&self, section: &str) -> anyhow::Result<String> {
        Ok(redis::cmd("INFO").arg(section).query(&mut self.connect()?)?)
    }

    pub(super) fn flush(&self) -> anyhow::Result<()> {
        Ok(redis::cmd("FLUSHALL").exec(&mut self.connect()?)?)
    }

    /// Who is online.
    pub(super) fn present(&self) -> anyhow::Result<BTreeMap<String, Present>> {
        let all: Vec<(String, String)> =
            redis::cmd("HGETALL").arg("{hw}:p").query(&mut self.connect()?)?;
        all.into_iter()
            .map(|(name, record)| {
                // epoch node session since instance peer
                let mut fields = record.split(' ');
                let node = fields.nth(1).context("a record without a node")?;
                let node = name_in(node);
                let session = fields.next().context("a record without a session")?.to_owned();
                Ok((name, Present { node, session }))
            })
            .collect()
    }

    /// How many names are online.
    pub(super) fn count(&self) -> anyhow::Result<u64> {
        Ok(redis::cmd("HLEN").arg("{hw}:p").query(&mut self.connect()?)?)
    }

    /// The whole stream of changes.
    pub(super) fn stream(&self) -> anyhow::Result<Vec<Entry>> {
        let mut connection = self.connect()?;
        let (mut entries, mut from) = (Vec::new(), "-".to_owned());
        loop {
            let portion: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE")
                .arg("{hw}:ev")
                .arg(&from)
                .arg("+")
                .arg("COUNT")
                .arg(PORTION)
                .query(&mut connection)?;
            let is_last = portion.len() < PORTION;
            if let Some((id, _)) = portion.last() {
                from = format!("({id}");
            }
            for (id, fields) in portion {
                let entry =
                    entry(&fields).with_context(|| format!("the entry {id}: {fields:?}"))?;
                entries.extend(entry);
            }
            if is_last {
                return Ok(entries);
            }
        }
    }

    /// The id of the node that delivers hooks; empty if none does.
    pub(super) fn holder(&self) -> anyhow::Result<String> {
        let holder: Option<String> =
            redis::cmd("HGET").arg("{hw}:hooks").arg("holder").query(&mut self.connect()?)?;
        Ok(holder.unwrap_or_default())
    }

    /// How many calls of each command that writes there were so far.
    pub(super) fn calls(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let stats = self.info("commandstats")?;
        Ok(stats.lines().filter_map(parse_calls).collect())
    }

    pub(super) fn connect(&self) -> anyhow::Result<Connection> {
        let socket = self.socket();
        let client = Client::open(format!("redis+unix://{}", socket.display()))?;
        let connection = client.get_connection()?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    fn wait_until_it_answers(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let answer = self.connect().and_then(|mut connection| {
                // It says LOADING until it has its data.
                Ok(redis::cmd("DBSIZE").query::<Value>(&mut connection)?)
            });
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > PATIENCE => {
                    return Err(error.context("Redis does not answer"));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.kill();
    }
}

fn spawn(program: &Path, folder: &Path, master: Option<SocketAddr>) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "no", "--loglevel", "warning"]);
    command.args(["--repl-diskless-sync-delay", "0", "--repl-timeout", "3"]);
    if let Some(master) = master {
        command.args(["--replicaof", &master.ip().to_string(), &master.port().to_string()]);
    }
    command.arg("--dir").arg(folder).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// Where the program is, which may be named by its path.
pub(super) fn program(named: &Path) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|place| place.join(named));
    // A path is not looked for, but joining one that is absolute leaves it as it is.
    let found = places.find(|place| place.is_file());
    found.with_context(|| format!("there is no program {}", named.display()))
}

/// A change of presence; `None` for an incident.
fn entry(fields: &[(String, String)]) -> anyhow::Result<Option<Entry>> {
    let field = |wanted: &str| {
        let found = fields.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| &**value).with_context(|| format!("no field {wanted}"))
    };
    let kind = field("k")?;
    if !["online", "moved", "offline"].contains(&kind) {
        return Ok(None);
    }
    let detail: serde_json::Value = serde_json::from_str(field("d")?)?;
    let name = detail.get("name").and_then(serde_json::Value::as_str).context("no name")?;
    let epoch = detail.get("epoch").and_then(serde_json::Value::as_u64).context("no epoch")?;
    let node = detail.get("node").and_then(serde_json::Value::as_str).context("no node")?;
    let (kind, name, node) = (kind.to_owned(), name.to_owned(), name_in(node));
    Ok(Some(Entry { number: field("n")?.parse()?, kind, name, epoch, node }))
}

/// The name in a node's id.
fn name_in(node: &str) -> String {
    node.rsplit_once('.').map_or(node, |(name, _)| name).to_owned()
}

/// `cmdstat_zadd:calls=3,usec=…`
fn parse_calls(line: &str) -> Option<(String, u64)> {
    let (command, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    let (calls, _) = rest.split_once(',')?;
    Some((command.to_owned(), calls.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_command_are_read() {
        let line = "cmdstat_evalsha:calls=12,usec=340,usec_per_call=28.33,rejected_calls=0";
        assert_eq!(parse_calls(line), Some(("evalsha".to_owned(), 12)));
        assert_eq!(parse_calls("# Commandstats"), None);
    }

    #[test]
    fn entry_of_the_stream_is_read_and_an_incident_is_left_out() {
        let fields = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
            let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            fields.iter().map(own).collect()
        };
        let told = [("k", "online"), ("n", "7"), ("d", r#"{"name":"x","epoch":5,"node":"a.1"}"#)];
        let found = entry(&fields(&told)).unwrap().unwrap();
        let right = Entry {
            number: 7,
            kind: "online".into(),
            name: "x".into(),
            epoch: 5,
            node: "a".into(),
        };
        assert_eq!(found, right);
        let incident = [("k", "incident"), ("n", "8"), ("d", "{}")];
        assert_eq!(entry(&fields(&incident)).unwrap(), None);
        assert!(entry(&fields(&told[1..])).is_err());
    }
}
