//! Whether the machine can hold a crowd, before anything is started.

use core::fmt;
use core::ops::Range;
use std::fs;

use anyhow::{Context, ensure};

use super::sources::PAIRS_MAX;
use crate::local::descriptors;

mod group;

/// Descriptors of a process for everything but sessions: standard streams, pipes, pollers, files of
/// `/proc`.
const SPARE: u64 = 64;

/// The command's descriptors of each pair: two pipes, and one that stands for the server.
const PER_PAIR: u64 = 3;

/// Bytes of a session: both ends in the kernel (9.8 KB measured, with a beat that waits in half of
/// them), its server's part of it (0.2 KB on v0) and its client's (0.1 KB), and a twentieth more.
const SESSION: u64 = 10_700;

/// Bytes of a pair of processes without sessions (measured, and half as much again).
const PAIR: u64 = 12 << 20;

/// What is left for the rest of the machine.
const RESERVE: u64 = 512 << 20;

/// How sessions are divided among servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) sessions: u32,
    /// Most sessions of a server.
    per_process: u32,
    /// Pairs of a server and its clients.
    pub(super) pairs: u32,
}

impl Layout {
    /// With at most `per_process` each.
    pub(super) fn new(sessions: u32, per_process: u32) -> Self {
        let per_process = per_process.max(1);
        Self { sessions, per_process, pairs: sessions.div_ceil(per_process) }
    }

    /// What 1,000 sessions have of something that a pair takes: that is divided among its sessions,
    /// and has to be added once for a pair with few, so that as many sessions fit as is said.
    fn of_pair(&self, what: u64) -> u64 {
        (1000 * what).div_ceil(self.per_process.into())
    }

    /// Which part of `whole` a pair has, if it is divided as sessions are.
    pub(super) fn part(&self, whole: u32, pair: u32) -> Range<u32> {
        let until = |pair: u32| {
            let part = u64::from(whole) * u64::from(pair) / u64::from(self.pairs.max(1));
            u32::try_from(part).unwrap_or(whole)
        };
        until(pair)..until(pair + 1)
    }
}

/// What the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Descriptors of a process.
    descriptors: u64,
    /// Files that can still be opened.
    files: u64,
    /// Bytes of memory that are free, or can be.
    memory: u64,
    /// Pages that TCP may still have for data that waits in its sockets.
    pages: u64,
}

impl Machine {
    pub(super) fn this() -> anyhow::Result<Self> {
        let read =
            |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let numbers = |path: &str| -> anyhow::Result<Vec<u64>> {
            Ok(read(path)?.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect())
        };
        let files = numbers("/proc/sys/fs/file-nr")?;
        let [opened, _, files_max] = *files else { anyhow::bail!("cannot read file-nr") };
        let memory = parse_available(&read("/proc/meminfo")?).context("no MemAvailable")?;
        Ok(Self {
            descriptors: descriptors()?,
            files: files_max.saturating_sub(opened),
            memory: memory.min(group::permitted()),
            pages: pages()?,
        })
    }

    /// Most sessions of a process.
    pub(super) fn per_process(&self) -> anyhow::Result<u32> {
        ensure!(
            self.descriptors > SPARE,
            "a process may have {} descriptors, and needs {SPARE} besides sessions (ulimit -n)",
            self.descriptors
        );
        Ok(u32::try_from(self.descriptors - SPARE).unwrap_or(u32::MAX))
    }

    /// Refuses what does not fit, and says what is missing. The kernel keeps up to `waiting` beats
    /// of each client before a server reads them.
    pub(super) fn check(&self, layout: &Layout, waiting: u16) -> anyhow::Result<()> {
        let missing: Vec<Missing> = self.missing(layout, waiting);
        let Some(fewest) = missing.iter().map(|one| one.most).min() else { return Ok(()) };
        let all: Vec<String> = missing.iter().map(ToString::to_string).collect();
        anyhow::bail!(
            "{} sessions do not fit on this machine: {}; at most --sessions {fewest}",
            layout.sessions,
            all.join("; ")
        );
    }

    /// How much memory a crowd takes, and how much there is.
    pub(super) fn memory(&self, layout: &Layout) -> String {
        let gib = |bytes: u64| format!("{}.{}", bytes >> 30, ((bytes >> 20) % 1024) * 10 / 1024);
        let need = self.memory_need(layout).of(layout.sessions.into());
        format!("about {} of {} GiB of memory", gib(need - RESERVE), gib(self.memory))
    }

    fn memory_need(&self, layout: &Layout) -> Need {
        Need {
            what: "bytes of memory (MemAvailable, and the limits of control groups)",
            have: self.memory,
            fixed: RESERVE + PAIR,
            per_1000: 1000 * SESSION + layout.of_pair(PAIR),
        }
    }

    fn missing(&self, layout: &Layout, waiting: u16) -> Vec<Missing> {
        let of_pair = |what| layout.of_pair(what);
        let needs = [
            self.memory_need(layout),
            Need {
                what: "pages for data in sockets (net.ipv4.tcp_mem)",
                have: self.pages,
                fixed: 0,
                // A page where a beat waits: after each but the one for which all are read.
                per_1000: 1000 * u64::from(waiting) / (u64::from(waiting) + 1),
            },
            Need {
                what: "open files of the whole machine (fs.file-max)",
                have: self.files,
                fixed: SPARE + 2 * SPARE,
                per_1000: 2000 + of_pair(2 * SPARE),
            },
            Need {
                what: "descriptors of this command, three for each server (ulimit -n)",
                have: self.descriptors,
                fixed: SPARE + PER_PAIR,
                per_1000: of_pair(PER_PAIR),
            },
            Need {
                what: "blocks of addresses in 127/8",
                have: u64::from(PAIRS_MAX),
                fixed: 1,
                per_1000: of_pair(1),
            },
        ];
        let sessions = u64::from(layout.sessions);
        needs.into_iter().filter_map(|need| need.missing(sessions)).collect()
    }
}

/// What sessions take of something.
struct Need {
    what: &'static str,
    have: u64,
    /// However many sessions there are.
    fixed: u64,
    per_1000: u64,
}

impl Need {
    /// What so many take.
    fn of(&self, sessions: u64) -> u64 {
        self.fixed + (sessions * self.per_1000).div_ceil(1000)
    }

    fn missing(&self, sessions: u64) -> Option<Missing> {
        let need = self.of(sessions);
        // `have` may be as much as a number can say: fs.file-max is, with systemd.
        let left = self.have.saturating_sub(self.fixed);
        let most = left.saturating_mul(1000).checked_div(self.per_1000);
        (need > self.have).then(|| Missing {
            what: self.what,
            need,
            have: self.have,
            most: most.unwrap_or(0),
        })
    }
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing {
    what: &'static str,
    need: u64,
    have: u64,
    /// How many sessions would do with what there is.
    most: u64,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, need, have, .. } = self;
        write!(f, "they need {need} {what}, and there are {have}")
    }
}

/// Pages that TCP may still have. Only the first network namespace is told how many there are: in
/// a container there is no such file, and the limit is not known.
fn pages() -> anyhow::Result<u64> {
    let Ok(limits) = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem") else { return Ok(u64::MAX) };
    let most = limits.split_ascii_whitespace().nth(2).and_then(|most| most.parse::<u64>().ok());
    let used = parse_pages(&fs::read_to_string("/proc/net/sockstat")?);
    Ok(most.context("cannot read tcp_mem")?.saturating_sub(used.context("cannot read sockstat")?))
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn parse_available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// `mem` of TCP in /proc/net/sockstat, in pages.
fn parse_pages(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests;
