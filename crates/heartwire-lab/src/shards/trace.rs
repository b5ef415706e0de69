//! What the threads of a program share: read from valgrind's trace of it.
//!
//! Valgrind runs one thread at a time and says which. `lackey` prints each access to memory, and
//! `--trace-syscalls` each system call.

use std::collections::{BTreeMap, HashMap};

/// Bytes of a cache line, on nearly every machine.
pub(super) const LINE: u64 = 64;

/// The options of valgrind that print such a trace, to standard error.
pub(super) const OPTIONS: [&str; 5] = [
    "--tool=lackey",
    "--trace-mem=yes",
    "--basic-counts=no",
    "--trace-sched=yes",
    "--trace-syscalls=yes",
];

/// A thread, by valgrind's number. The first one is 1.
type Thread = u32;

/// Counts of what was traced so far.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// What now follows is counted.
    pub(super) counts: bool,
    running: Thread,
    /// The address of the latest instruction.
    at: u64,
    lines: HashMap<u64, BTreeMap<Thread, Accesses>>,
    calls: BTreeMap<Thread, BTreeMap<String, u64>>,
}

/// One thread's accesses to one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accesses {
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// The instruction of the latest one.
    pub(super) at: u64,
}

/// A cache line that one thread wrote and another one read or wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    pub(super) address: u64,
    pub(super) by: Vec<(Thread, Accesses)>,
}

impl Shared {
    pub(super) fn accesses(&self) -> u64 {
        self.by.iter().map(|(_, by)| by.reads + by.writes).sum()
    }
}

impl Trace {
    /// Takes the next line of the trace. Others are ignored.
    pub(super) fn take(&mut self, line: &str) {
        if let Some(instruction) = line.strip_prefix("I ") {
            self.at = address(instruction).unwrap_or(self.at);
        } else if let Some(access) = line.strip_prefix(' ') {
            self.take_access(access);
        } else if let Some((_, rest)) = line.split_once("SCHED[") {
            let Some((thread, what)) = rest.split_once(']') else { return };
            if what.contains("acquired lock") {
                self.running = thread.parse().unwrap_or(self.running);
            }
        } else if let Some(call) = line.strip_prefix("SYSCALL[") {
            self.take_call(call);
        }
    }

    /// A load, a store, or both: `L 1ffeffec48,8`.
    fn take_access(&mut self, access: &str) {
        if !self.counts {
            return;
        }
        let Some((kind, rest)) = access.split_once(' ') else { return };
        let (reads, writes) = match kind {
            "L" => (1, 0),
            "S" => (0, 1),
            "M" => (1, 1),
            _ => return,
        };
        let Some(address) = address(rest) else { return };
        let by = self.lines.entry(address / LINE).or_default().entry(self.running).or_default();
        *by = Accesses { reads: by.reads + reads, writes: by.writes + writes, at: self.at };
    }

    /// The beginning of a call: `2572,1](0) sys_read ( 3, ...`. Its end has dots for its name.
    fn take_call(&mut self, call: &str) {
        let call = call.split_once(',').and_then(|(_, rest)| rest.split_once(']'));
        let Some((thread, rest)) = call.filter(|_| self.counts) else { return };
        let name = rest.split_once(')').map_or("", |(_, name)| name.trim_start());
        let name = name.split([' ', '(']).next().unwrap_or_default();
        let name = name.strip_prefix("sys_").unwrap_or(name);
        if let (Ok(thread), false) = (thread.parse(), name.is_empty() || name.starts_with('.')) {
            *self.calls.entry(thread).or_default().entry(name.to_owned()).or_default() += 1;
        }
    }

    /// The threads that received bytes: the shards.
    pub(super) fn shards(&self) -> Vec<Thread> {
        let receive = |calls: &&BTreeMap<String, u64>| calls.contains_key("recvfrom");
        self.calls.iter().filter(|(_, calls)| receive(calls)).map(|(&thread, _)| thread).collect()
    }

    /// The system calls of those threads, by name.
    pub(super) fn calls(&self, threads: &[Thread]) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for (name, count) in threads.iter().filter_map(|thread| self.calls.get(thread)).flatten() {
            *all.entry(name.clone()).or_default() += count;
        }
        all
    }

    /// The cache lines that those threads share with each other, the busiest first.
    pub(super) fn shared(&self, threads: &[Thread]) -> Vec<Shared> {
        let mut shared: Vec<Shared> = Vec::new();
        for (&line, by) in &self.lines {
            let by = by.iter().filter(|(thread, _)| threads.contains(thread));
            let by: Vec<(Thread, Accesses)> = by.map(|(&thread, &by)| (thread, by)).collect();
            if by.len() > 1 && by.iter().any(|(_, by)| by.writes > 0) {
                shared.push(Shared { address: line * LINE, by });
            }
        }
        shared.sort_by_key(|line| (core::cmp::Reverse(line.accesses()), line.address));
        shared
    }

    /// How many cache lines one of those threads alone wrote.
    pub(super) fn alone(&self, threads: &[Thread]) -> usize {
        let mine = |by: &&BTreeMap<Thread, Accesses>| {
            let mut touched = by.iter().filter(|(thread, _)| threads.contains(thread));
            touched.next().is_some_and(|(_, by)| by.writes > 0) && touched.next().is_none()
        };
        self.lines.values().filter(mine).count()
    }
}

/// The address before a comma, in hexadecimal.
fn address(text: &str) -> Option<u64> {
    let (digits, _) = text.trim_start().split_once(',')?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two shards, and a thread that prints; each line of it as valgrind prints it.
    fn trace(lines: &[&str]) -> Trace {
        let mut trace = Trace { counts: true, ..Trace::default() };
        for thread in ["4", "5"] {
            trace.take(&format!(
                "SYSCALL[7,{thread}](45) sys_recvfrom ( 9, 0x1, 8 ) --> [async] ... "
            ));
        }
        lines.iter().for_each(|line| trace.take(line));
        trace
    }

    fn switch(thread: Thread) -> String {
        format!("--7--   SCHED[{thread}]:  acquired lock (VG_(client_syscall)[async])")
    }

    #[test]
    fn a_line_is_shared_if_one_thread_wrote_it_and_another_read_it() {
        let (one, other, printer) = (switch(4), switch(5), switch(3));
        let trace = trace(&[
            &one,
            "I  00401000,4",
            " S 1000,8",
            " S 2000,8",
            " L 3000,8",
            &other,
            "I  00402000,4",
            " L 103f,1",
            " S 4000,8",
            " L 3000,8",
            "I  00402004,4",
            " M 1038,4",
            &printer,
            " S 2000,8",
        ]);
        let shards = trace.shards();
        assert_eq!(shards, [4, 5]);
        let by = vec![
            (4, Accesses { reads: 0, writes: 1, at: 0x0040_1000 }),
            (5, Accesses { reads: 2, writes: 1, at: 0x0040_2004 }),
        ];
        let shared = trace.shared(&shards);
        assert_eq!(shared, [Shared { address: 0x1000, by }]);
        assert_eq!(shared[0].accesses(), 4);
        // 2000 and 4000; what only a printer shares with a shard slows no other shard.
        assert_eq!(trace.alone(&shards), 2);
    }

    #[test]
    fn line_that_is_only_read_is_not_shared() {
        let (one, other) = (switch(4), switch(5));
        let trace = trace(&[&one, " L 1000,8", &other, " L 1000,8"]);
        assert_eq!(trace.shared(&[4, 5]), []);
    }

    #[test]
    fn a_system_call_is_counted_once_and_by_its_thread() {
        let trace = trace(&[
            "SYSCALL[7,4](45) ... [async] --> Success(0x8) ",
            "SYSCALL[7,5](202) sys_futex ( 0x1, 128 ) --> [async] ... ",
            "SYSCALL[7,3](1) sys_write ( 1, 0x1, 8 ) --> [async] ... ",
            "SYSCALL[7,4](228) sys_clock_gettime( 7, 0x1 )[sync] --> Success(0x0) ",
        ]);
        let calls = trace.calls(&trace.shards());
        let calls: Vec<_> = calls.iter().map(|(name, &count)| (name.as_str(), count)).collect();
        assert_eq!(calls, [("clock_gettime", 1), ("futex", 1), ("recvfrom", 2)]);
    }

    #[test]
    fn nothing_is_counted_before_it_is_asked_for() {
        let mut trace = Trace::default();
        trace.take(&switch(4));
        trace.take(" S 1000,8");
        trace.take("SYSCALL[7,4](45) sys_recvfrom ( 9, 0x1, 8 ) --> [async] ... ");
        assert!(trace.lines.is_empty() && trace.calls.is_empty());
    }
}
