//! A process that does not outlive its test.

use core::time::Duration;
#[cfg(target_os = "linux")]
use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::{PATIENCE, ms, wait_until};

/// A child process, killed at the end of its test.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts it.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Stops it (SIGSTOP), and waits until it has stopped: on a busy machine its threads run on for
    /// a while.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let its_stop = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let pid = WaitId::Pid(Pid::from_child(&self.0));
        wait_until("it stops", || waitid(pid.clone(), its_stop).unwrap().is_some());
    }

    /// Freezes it for `time` while it waits for something, because only then can it detect the
    /// pause. So it gets some time first to begin waiting.
    pub fn stand_still(&self, time: Duration) {
        thread::sleep(ms(600));
        self.freeze();
        thread::sleep(time);
        self.thaw();
    }

    /// Continues it (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the process is still there after {PATIENCE:?}");
            thread::sleep(ms(2));
        }
    }
}

/// All processes below this one: its children, then theirs, and so on.
#[cfg(target_os = "linux")]
#[must_use]
pub fn descendants(pid: u32) -> Vec<u32> {
    let (mut found, mut next) = (children_of(pid), 0);
    while let Some(&child) = found.get(next) {
        found.extend(children_of(child));
        next += 1;
    }
    found
}

#[cfg(target_os = "linux")]
fn children_of(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    // One that has ended has none.
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(children.split_ascii_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    found
}

/// Waits until these processes have ended, waited for by their parents or not.
#[cfg(target_os = "linux")]
#[track_caller]
pub fn wait_until_gone(pids: &[u32]) {
    let is_there = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    wait_until(&format!("all of {pids:?} are gone"), || !pids.iter().any(is_there));
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn frozen_process_does_nothing_more() {
        let process = Process::spawn(Command::new("sh").args(["-c", "while :; do :; done"]));
        for round in 0..50 {
            process.freeze();
            let state = fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
            assert!(state.contains(") T "), "round {round}: {state}");
            process.thaw();
            thread::sleep(ms(1));
        }
    }
}
