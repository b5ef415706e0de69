//! What came of a storm.

use core::time::Duration;

use super::policy::Policy;

/// How the clients of a real storm connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// Without TLS.
    Plain,
    /// Over TLS, and each handshake is a full one.
    Full,
    /// Over TLS, and those that return have a session ticket.
    Tickets,
}

/// What those that returned cost a real server.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How they connected.
    pub security: Security,
    /// The server's time on a processor, from its restart until all were back.
    pub cpu: Duration,
    /// TLS handshakes that it completed.
    pub handshakes: u64,
    /// How many of those were with a ticket.
    pub with_ticket: u64,
}

/// Results of a storm. Times count from the moment the server is back.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The clients' back-off.
    pub policy: Policy,
    /// How many there were.
    pub clients: u32,
    /// When clients reconnected, in order.
    pub back: Vec<Duration>,
    /// All attempts, including those during the outage.
    pub attempts: u64,
    /// Attempts that were refused during the outage, which cost the server nothing.
    pub refused: u64,
    /// Attempts that failed although the server was back.
    pub failed: u64,
    /// Handshakes that the server did for clients that had given up.
    ///
    /// A real server does not tell.
    pub wasted: Option<u64>,
    /// Connections that were rejected as stale. A real server's clients do not tell these from
    /// other failures.
    pub rejected: Option<u64>,
    /// SYNs that found no room. A real server does not tell.
    pub dropped: Option<u64>,
    /// The most attempts in a second after the server was back.
    pub peak: u32,
    /// How long the storm was observed.
    pub watch: Duration,
    /// Some clients are not connected, and none reconnected in the second half of that time.
    pub is_stuck: bool,
    /// How long the run took.
    pub took: Duration,
    /// With `--tls`: what it cost the server.
    pub cost: Option<Cost>,
}

impl Outcome {
    pub(super) const fn new(policy: Policy, clients: u32, watch: Duration) -> Self {
        Self {
            policy,
            clients,
            back: Vec::new(),
            attempts: 0,
            refused: 0,
            failed: 0,
            wasted: None,
            rejected: None,
            dropped: None,
            peak: 0,
            watch,
            is_stuck: false,
            took: Duration::ZERO,
            cost: None,
        }
    }

    /// The observation has ended.
    pub(super) fn close(&mut self, took: Duration) {
        let seen = self.back.partition_point(|&at| at <= self.watch);
        self.back.truncate(seen);
        let last = self.back.last().copied().unwrap_or_default();
        self.is_stuck = !self.is_over() && last < self.watch / 2;
        self.took = took;
    }

    /// Whether all clients are back.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.back.len() >= usize::try_from(self.clients).unwrap_or(usize::MAX)
    }

    /// The server's CPU time per client that came back, where that was measured.
    #[must_use]
    pub fn cpu_per_client(&self) -> Option<Duration> {
        let back = u32::try_from(self.back.len()).ok().filter(|&back| back > 0)?;
        Some(self.cost?.cpu / back)
    }

    /// When that part of the clients were back, in percent; `None` if they never were.
    #[must_use]
    pub fn back_at(&self, percent: u8) -> Option<Duration> {
        let nth = (u64::from(self.clients) * u64::from(percent)).div_ceil(100);
        let index = usize::try_from(nth).ok()?.checked_sub(1)?;
        self.back.get(index).copied()
    }
}

/// Counts what happens in each second.
#[derive(Debug, Default)]
pub(super) struct PerSecond {
    second: u64,
    count: u32,
    peak: u32,
}

impl PerSecond {
    /// Something happens at that time, which does not go back.
    pub(super) fn count(&mut self, nanos: u64) {
        let second = nanos / 1_000_000_000;
        if second != self.second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        self.peak = self.peak.max(self.count);
    }

    pub(super) const fn peak(&self) -> u32 {
        self.peak
    }
}
