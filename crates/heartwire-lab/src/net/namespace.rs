//! Network namespaces: made, named after the process that made them, and removed.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::command::{feed, run};

/// What every namespace of the lab begins with.
const PREFIX: &str = "hwlab";

/// How long a process may take to go when its namespace is removed.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// The process that made a namespace, with its start time, because process ids are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Maker {
    pid: u32,
    /// In ticks since the machine started.
    started_at: u64,
}

impl Maker {
    /// This process.
    pub(crate) fn this() -> anyhow::Result<Self> {
        let pid = std::process::id();
        let started_at = started_at(pid).context("cannot read /proc/self/stat")?;
        Ok(Self { pid, started_at })
    }

    /// The name of a namespace: which of those that one experiment needs, and of which experiment.
    pub(super) fn name(&self, experiment: usize, role: &str) -> String {
        format!("{PREFIX}-{}-{}-{experiment}-{role}", self.pid, self.started_at)
    }

    /// The process that made the namespace of that name, if it is one of the lab's.
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
        let pid = parts.next()?.parse().ok()?;
        let started_at = parts.next()?.parse().ok()?;
        // An experiment and a role.
        (parts.count() == 2).then_some(Self { pid, started_at })
    }

    fn is_running(&self) -> bool {
        started_at(self.pid) == Some(self.started_at)
    }
}

/// When a process was started, in ticks since the machine was.
fn started_at(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything; this is the
    // 22nd, so the 20th after it.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// A network namespace, removed with everything in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it, with its loopback interface up and without IPv6, whose chatter would be noise.
    pub(super) fn make(name: String) -> anyhow::Result<Self> {
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let this = Self { name };
        this.set_sysctls(&[
            "net.ipv6.conf.all.disable_ipv6=1",
            "net.ipv6.conf.default.disable_ipv6=1",
        ])?;
        this.ip("link set dev lo up")?;
        Ok(this)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` within it, a command on each line.
    pub(crate) fn ip(&self, commands: &str) -> anyhow::Result<()> {
        feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), commands).map(drop)
    }

    /// Runs `nft` within it.
    pub(super) fn nft(&self, script: &str) -> anyhow::Result<()> {
        feed(self.command("nft").args(["-f", "-"]), script).map(drop)
    }

    pub(super) fn set_sysctls(&self, settings: &[&str]) -> anyhow::Result<()> {
        run(self.command("sysctl").arg("-qw").args(settings)).map(drop)
    }

    /// A command that runs within it, as the spawned process itself.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program.as_ref());
        command
    }

    /// The same for a long-running program: it is killed when the thread that spawned it ends, for
    /// any reason.
    pub(crate) fn lasting_command(&self, program: impl AsRef<Path>) -> Command {
        // This process may have ended before the kernel was asked for that.
        const UNLESS_ALONE: &str = "test $PPID = $0 && exec \"$@\"";
        let mut command = self.command("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "sh", "-c", UNLESS_ALONE]);
        command.arg(std::process::id().to_string()).arg(program.as_ref());
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            crate::output::say(format_args!("heartwire-lab: {error:#}"));
        }
    }
}

/// Removes what killed runs of the lab have left behind, and reports it.
pub(crate) fn remove_leftovers() -> anyhow::Result<Vec<String>> {
    let mut removed = Vec::new();
    for name in list()? {
        if Maker::of(&name).is_some_and(|maker| !maker.is_running()) {
            remove(&name)?;
            removed.push(name);
        }
    }
    Ok(removed)
}

/// The names of all namespaces of this machine that have one.
pub(super) fn list() -> anyhow::Result<Vec<String>> {
    // Each line is a name, and perhaps `(id: 3)`.
    let listed = run(Command::new("ip").args(["netns", "list"]))?;
    Ok(listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// Kills what runs in a namespace and deletes it. It is no error if it is gone already.
fn remove(name: &str) -> anyhow::Result<()> {
    let removed = kill_all(name)
        .and_then(|()| run(Command::new("ip").args(["netns", "delete", name])).map(drop));
    removed.or_else(
        |error| if list()?.iter().any(|there| there == name) { Err(error) } else { Ok(()) },
    )
}

fn kill_all(name: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let pids = run(Command::new("ip").args(["netns", "pids", name]))?;
        let mut pids =
            pids.lines().filter_map(|pid| Pid::from_raw(pid.trim().parse().ok()?)).peekable();
        if pids.peek().is_none() || Instant::now() >= deadline {
            return Ok(());
        }
        for pid in pids {
            // It may have gone by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The program that runs now, to be run again as one of the lab's [parts](super::Part).
pub(super) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot tell where this program is")
}

#[cfg(test)]
mod tests;
