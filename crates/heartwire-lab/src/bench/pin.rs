//! Keeps the server on one processor and the load on another, so that neither moves nor takes the
//! other's time.

use std::process::Command;

use anyhow::{Context, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::local::run_by;

/// Two processors of this machine, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(super) server: usize,
    pub(super) load: usize,
}

impl Pin {
    /// Takes the last two of those that this process may use, and stays on one of them with all
    /// that this thread starts.
    pub(super) fn take() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot tell which processors are here")?;
        let mut allowed = (0..CpuSet::MAX_CPU).rev().filter(|number| allowed.is_set(*number));
        let (Some(server), Some(load)) = (allowed.next(), allowed.next()) else {
            bail!("--pin needs two processors");
        };
        let mut set = CpuSet::new();
        set.set(load);
        sched_setaffinity(None, &set).context("cannot stay on one processor")?;
        Ok(Self { server, load })
    }

    /// The command, on the server's processor.
    pub(super) fn server(self, command: &Command) -> Command {
        // Only a new program can begin on another processor without `unsafe`.
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", &self.server.to_string()]);
        run_by(pinned, command)
    }
}
