//! What the command and its processes of clients tell each other: a line of JSON each.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::Counts;
use crate::process::Usage;

/// An order to the clients of one server.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Connect all, spread evenly over this time.
    Connect { over: Duration },
    /// Count from now on.
    Measure,
    /// Say what was counted, and from now on so many send nothing any more.
    Freeze { clients: u32 },
    /// Check the server's verdicts.
    Judge,
}

/// What they say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The server listens; its process id.
    Ready { server: u32 },
    /// How many have connected by now, and how many connections the server has not ended.
    Now { connected: u32, open: u32 },
    /// All have connected.
    Connected,
    /// What was counted up to the freeze.
    Measured(Measured),
    /// What became of the frozen clients, and of the others.
    Judged(Judged),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Connections that were open at the end.
    pub(super) open: u32,
    pub(super) beats: u64,
    /// Beats without room in the socket.
    pub(super) stuck: u64,
    /// How late beats were sent, in µs.
    pub(super) late: Counts,
    pub(super) server: Process,
    pub(super) clients: Process,
}

/// A process while it was measured.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) usage: Usage,
    /// Its own memory at the end, and how much more that was than before the first client.
    pub(super) bytes: u64,
    pub(super) more_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Judged {
    pub(super) frozen: u32,
    /// How late verdicts were, in µs after the last byte and the timeout.
    pub(super) late: Counts,
    pub(super) min_us: i64,
    pub(super) early: u64,
    pub(super) wrong: u64,
    pub(super) missing: u64,
}
