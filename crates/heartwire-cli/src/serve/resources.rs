//! What the server may run out of: told before it does, and when there is enough again.
//!
//! Ports are none of them. All connections of a server have the port that it listens on; their
//! clients, or a balancer, need one each.

mod backlog;

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use heartwire::server::{Handle, Held, Level};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::feed::Feed;
use super::http::Observer;
use super::lines::Line;
use crate::output::{Millis, Sink, inform, warn};
use backlog::Backlog;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How full something is, in thousandths, when it is short: early enough to do something about it.
const SHORT: u16 = 900;

/// How full it is when it is enough again: lower, so that a level which goes up and down a little
/// is told of once.
const ENOUGH: u16 = 800;

/// How full the backlog is when new clients had better go elsewhere: the kernel is about to drop
/// them. Not earlier, or all servers of a fleet that is well used would send them to each other.
/// (`/readyz` finds out by itself whether there is a place and a descriptor for one more.)
const FULL: u16 = 990;

/// Something that a server may run out of.
#[derive(Clone, Copy, Debug)]
struct Resource {
    name: &'static str,
    /// What happens when nothing is left, and what sets the limit.
    consequence: &'static str,
    level: fn(&Held) -> Option<Level>,
}

/// Those that the library knows. Their names are in docs/events.md.
const RESOURCES: &[Resource] = &[
    Resource {
        name: "sessions",
        consequence: "further clients are refused (--max-sessions)",
        level: |held| Some(held.sessions),
    },
    Resource {
        name: "pending",
        consequence: "clients that have waited longest to be accepted are dropped (--max-pending)",
        level: |held| Some(held.pending),
    },
    Resource {
        name: "away",
        consequence: "sessions that have been away longest are ended (--max-sessions)",
        level: |held| Some(held.away),
    },
    Resource {
        name: "buffered",
        consequence: "the sessions that hold most bytes are ended (--max-buffered)",
        level: |held| Some(held.bytes),
    },
    Resource {
        name: "pending_buffered",
        consequence: "pending clients that hold most bytes are dropped (--max-pending-buffered)",
        level: |held| Some(held.pending_bytes),
    },
    Resource {
        name: "replay",
        consequence: "sessions that have been away longest are ended (--max-replay)",
        level: |held| Some(held.away_bytes),
    },
];

const DESCRIPTORS: Resource = Resource {
    name: "descriptors",
    consequence: "new clients are refused (raise the limit, ulimit -n)",
    level: |held| held.descriptors,
};

/// Clients that the kernel holds until they are accepted.
const BACKLOG: Resource = Resource {
    name: "backlog",
    consequence: "the kernel drops new connections (net.core.somaxconn); is the server too busy?",
    level: |_| None,
};

/// How much of a resource is used.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) resource: &'static str,
    pub(super) used: usize,
    pub(super) limit: usize,
    /// How full it is; where each shard has a share of the limit, how full the fullest share is.
    pub(super) percent: u16,
    pub(super) short: bool,
}

/// A resource, and since when it is short.
#[derive(Debug)]
struct Watched {
    resource: Resource,
    short_since: Option<Instant>,
}

/// A change of a resource, for the events and the log.
#[derive(Debug)]
struct Change {
    row: Row,
    consequence: &'static str,
    /// How long it was short.
    lasted: Option<Duration>,
}

impl Watched {
    const fn new(resource: Resource) -> Self {
        Self { resource, short_since: None }
    }

    /// Takes note of a level. Returns it, and whether that is a change to be told.
    fn note(
        &mut self,
        used: usize,
        limit: usize,
        fullest: u16,
        now: Instant,
    ) -> (Row, Option<Change>) {
        let was_short_since = self.short_since;
        match self.short_since {
            None if fullest >= SHORT => self.short_since = Some(now),
            Some(_) if fullest < ENOUGH => self.short_since = None,
            None | Some(_) => {}
        }
        let short = self.short_since.is_some();
        let row = Row { resource: self.resource.name, used, limit, percent: fullest / 10, short };
        let change = (short != was_short_since.is_some()).then(|| Change {
            row: row.clone(),
            consequence: self.resource.consequence,
            lasted: was_short_since.map(|since| now.saturating_duration_since(since)),
        });
        (row, change)
    }
}

/// How many descriptors are in use where the system does not count them, as Linux before 6.2:
/// those that there were at the start, and one for each session.
#[derive(Debug)]
struct Estimate {
    others: usize,
    limit: usize,
}

impl Estimate {
    fn new(sessions: usize, limit: Option<u64>) -> Option<Self> {
        let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
        let limit = usize::try_from(limit?).ok()?;
        Some(Self { others: open.saturating_sub(sessions), limit })
    }

    fn level(&self, sessions: usize) -> (usize, usize, u16) {
        let used = self.others + sessions;
        let fullest = used.saturating_mul(1000).checked_div(self.limit).unwrap_or(1000);
        (used, self.limit, u16::try_from(fullest).unwrap_or(u16::MAX))
    }
}

/// All resources of a server.
#[derive(Debug)]
struct Resources {
    watched: Vec<Watched>,
    descriptors: Watched,
    /// Where the system does not count them.
    estimate: Option<Estimate>,
    backlog: Option<(Watched, Backlog)>,
    is_backlog_full: bool,
}

/// What a look has found.
#[derive(Debug)]
struct Seen {
    rows: Vec<Row>,
    changes: Vec<Change>,
}

impl Resources {
    fn new(addresses: &[SocketAddr], open_files: Option<u64>, held: &Held) -> Self {
        let backlog = Backlog::of(addresses).map(|backlog| (Watched::new(BACKLOG), backlog));
        let watched = RESOURCES.iter().copied().map(Watched::new).collect();
        let is_counted = held.descriptors.is_some();
        let estimate =
            if is_counted { None } else { Estimate::new(held.sessions.used, open_files) };
        let descriptors = Watched::new(DESCRIPTORS);
        Self { watched, descriptors, estimate, backlog, is_backlog_full: false }
    }

    fn look(&mut self, held: &Held, now: Instant) -> Seen {
        let mut seen = Seen { rows: Vec::new(), changes: Vec::new() };
        for watched in &mut self.watched {
            if let Some(Level { used, max, fullest, .. }) = (watched.resource.level)(held) {
                seen.add(watched.note(used, max, fullest, now));
            }
        }
        let counted = held.descriptors.map(|level| (level.used, level.max, level.fullest));
        let estimated = || Some(self.estimate.as_ref()?.level(held.sessions.used));
        if let Some((used, limit, fullest)) = counted.or_else(estimated) {
            seen.add(self.descriptors.note(used, limit, fullest, now));
        }
        if let Some((watched, backlog)) = &mut self.backlog
            && let Some((used, limit, fullest)) = backlog.look()
        {
            self.is_backlog_full = fullest >= if self.is_backlog_full { SHORT } else { FULL };
            seen.add(watched.note(used, limit, fullest, now));
        }
        seen
    }
}

impl Seen {
    fn add(&mut self, (row, change): (Row, Option<Change>)) {
        self.rows.push(row);
        self.changes.extend(change);
    }
}

impl Change {
    fn log(&self) {
        let Row { resource, used, limit, percent, short } = self.row;
        let level = format!("{used} of {limit} ({percent} %)");
        if short {
            warn(format_args!(
                "short of {resource}: {level} in use; at the limit {}",
                self.consequence
            ));
        } else {
            inform(format_args!("enough {resource} again: {level} in use"));
        }
    }

    fn line(&self) -> Line {
        let Row { resource, used, limit, percent, short } = self.row;
        let lasted_ms = self.lasted.map(Millis);
        Line::Resource { resource, used, limit, percent, short, lasted_ms }
    }
}

/// Watches the server's resources for as long as the program runs.
pub(super) async fn watch(
    server: Handle,
    addresses: Vec<SocketAddr>,
    open_files: Option<u64>,
    output: Sink<Feed>,
    http: Option<Observer>,
) {
    let mut resources = Resources::new(&addresses, open_files, &server.held());
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let Seen { rows, changes } = resources.look(&server.held(), Instant::now());
        if let Some(http) = &http {
            http.tell_resources(rows, resources.is_backlog_full);
        }
        for change in changes {
            change.log();
            if let Some(http) = &http {
                http.pass_on("resource", change.line());
            }
            output.put(|feed| feed.push_own(change.line()));
        }
    }
}

#[cfg(test)]
mod tests;
