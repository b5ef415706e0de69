//! Reads `/proc`: CPU time, wake-ups, memory and accept queue of a process.

use core::net::SocketAddr;
use core::ops::{Add, Sub};
use core::str::FromStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use anyhow::{Context, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// Counters of a process; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Time on a processor, all threads.
    pub(crate) cpu_ns: u64,
    /// Time for which a thread could run and no processor was free, all threads.
    pub(crate) waited_ns: u64,
    /// The time on a processor in the kernel's ticks. They are coarse, so only their proportion is
    /// used.
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    /// How often a thread of it went to sleep by itself, and so was woken again.
    pub(crate) wakeups: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        let tasks = PathBuf::from(format!("/proc/{pid}/task"));
        for task in fs::read_dir(&tasks).with_context(|| format!("no process {pid}"))? {
            let task = task?.path();
            // A thread that ends meanwhile takes its counters along; servers do not do that.
            let Ok(schedstat) = fs::read_to_string(task.join("schedstat")) else { continue };
            let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
            let (cpu_ns, waited_ns) = parse_schedstat(&schedstat)
                .context("this kernel has no schedstat (CONFIG_SCHED_INFO)")?;
            usage.cpu_ns += cpu_ns;
            usage.waited_ns += waited_ns;
            usage.wakeups += parse_field(&status, "voluntary_ctxt_switches:")
                .context("no context switches in /proc/PID/task/TID/status")?;
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        (usage.user_ticks, usage.system_ticks) =
            parse_stat(&stat).context("cannot read /proc/PID/stat")?;
        Ok(usage)
    }

    /// The user's part of the CPU time, in ns.
    pub(crate) fn user_ns(&self) -> u64 {
        let ticks = self.user_ticks + self.system_ticks;
        let share = u128::from(self.cpu_ns) * u128::from(self.user_ticks);
        share.checked_div(u128::from(ticks)).and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns + other.cpu_ns,
            waited_ns: self.waited_ns + other.waited_ns,
            user_ticks: self.user_ticks + other.user_ticks,
            system_ticks: self.system_ticks + other.system_ticks,
            wakeups: self.wakeups + other.wakeups,
        }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            waited_ns: self.waited_ns.saturating_sub(before.waited_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
            wakeups: self.wakeups.saturating_sub(before.wakeups),
        }
    }
}

/// Memory now, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The process's own pages, without files that it maps.
    pub(crate) user: u64,
    /// The kernel's small objects, of the whole machine.
    pub(crate) slab: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let user = parse_field(&status, "RssAnon:").context("no RssAnon in /proc/PID/status")?;
        Ok(Self { user: user * 1024, slab: slab()? })
    }
}

/// Bytes of the kernel's small objects, of the whole machine.
pub(crate) fn slab() -> anyhow::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib = parse_field(&meminfo, "Slab:").context("no Slab in /proc/meminfo")?;
    Ok(kib * 1024)
}

/// CPU time of the calling thread, in ns.
pub(crate) fn own_thread_cpu_ns() -> anyhow::Result<u64> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let (cpu_ns, _) =
        parse_schedstat(&schedstat).context("cannot read /proc/thread-self/schedstat")?;
    Ok(cpu_ns)
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> anyhow::Result<usize> {
    let tasks = format!("/proc/{pid}/task");
    Ok(fs::read_dir(&tasks).with_context(|| format!("no process {pid}"))?.count())
}

/// How many clients wait to be accepted on a port of this machine.
pub(crate) fn accept_queue(target: SocketAddr) -> anyhow::Result<u64> {
    let mut waiting = None;
    // A listener on [::] takes IPv4 clients too. Its table is read only when needed: to find the
    // listeners of IPv6, the kernel looks at all connections of the machine.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if waiting.is_some() && target.is_ipv4() {
            break;
        }
        let Ok(file) = File::open(table) else { continue };
        for line in BufReader::new(file).lines().skip(1) {
            // Listening sockets come first; the rest can be very long.
            let Some(listener) = parse_listener(&line?) else { break };
            if listener.port == target.port() {
                waiting = Some(waiting.unwrap_or(0) + listener.waiting);
            }
        }
    }
    waiting.with_context(|| format!("no program listens on {target}"))
}

/// Raises the soft limit of open files to the hard one, and refuses what cannot work even so.
pub(crate) fn need_open_files(connections: u32) -> anyhow::Result<()> {
    /// For standard streams, pipes, pollers and listeners, here and in a server of ours.
    const OTHER_FILES: u64 = 64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")?;
    }
    let Some(files) = limit.current else { return Ok(()) };
    let most = files.saturating_sub(OTHER_FILES);
    if u64::from(connections) > most {
        bail!(
            "{connections} connections need more open files than the {files} that are allowed here \
             (ulimit -Hn); at most --connections {most}"
        );
    }
    Ok(())
}

/// The machine, for the foot of a table.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let cpuinfo = read("/proc/cpuinfo");
    let models = cpuinfo.lines().filter_map(|line| line.strip_prefix("model name"));
    let model = models.map(|rest| rest.trim_start_matches([' ', '\t', ':'])).next();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores ({}), Linux {}", model.unwrap_or("unknown"), kernel.trim())
}

/// Time on a processor and time that it waited for one, in ns: the first of three numbers.
fn parse_schedstat(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_ascii_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// `utime` and `stime`. The name before them, in parentheses, may contain anything.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    // proc(5) counts from 1, and the name is the second field: 14 and 15 are 11 and 12 from here.
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// The number after a name at a line's start; its unit, if any, is left out.
fn parse_field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

#[derive(Debug, PartialEq, Eq)]
struct Listener {
    port: u16,
    waiting: u64,
}

/// A line of /proc/net/tcp, if it is about a listening socket. Its receive queue is the number of
/// clients that wait.
fn parse_listener(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    let (_remote, state, queues) = (fields.next()?, fields.next()?, fields.next()?);
    if u8::from_str_radix(state, 16).ok()? != 0x0a {
        return None;
    }
    let (_, waiting) = queues.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener { port, waiting: u64::from_str_radix(waiting, 16).ok()? })
}

/// Most clients that may wait to be accepted, whatever a server asks for.
pub(crate) fn accept_queue_max() -> u32 {
    // What Linux had for decades, should it not say.
    const USUAL: u32 = 128;
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    u32::from_str(text.trim()).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests;
