//! Troubles: what can go wrong in a run.

use core::time::Duration;

use heartwire_core::Side;

use super::draw::{Draw, MS, percent};
use super::queue::{HostId, SERVER};
use super::time::WorldTime;

/// Bytes of a segment on a path that dribbles, at most.
pub(super) const MAX_DRIBBLE: u64 = 9;

/// A trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A client's path is cut in one direction, or in both.
    Cut { client: HostId, from: Option<Side> },
    /// Something on a client's path acknowledges the bytes of one side and drops them.
    Swallow { client: HostId, from: Side },
    /// Of 2^32 packets on a client's path, so many are lost.
    Loss { client: HostId, of_2_32: u32 },
    /// A client's path becomes slower by this much.
    Delay { client: HostId, more: Duration },
    /// Segments on a client's path become tiny and slow.
    Dribble { client: HostId, max_segment: u64, pace: Duration },
    /// The process at a host closes its connections, and goes on.
    Leave { host: HostId },
    /// A middlebox on a client's path forgets its connections, and answers their packets or not.
    Forget { client: HostId, resets: bool },
    /// Both ends of a client's connections are told that there are none.
    Reset { client: HostId },
    /// A client is told again and again that its connections are gone. The server is not, and hears
    /// nothing more on them.
    Flap { client: HostId, every: Duration },
    /// A process is stopped; its system runs.
    Freeze { host: HostId },
    /// A machine is suspended.
    Suspend { host: HostId },
    /// A process is killed; its system closes its connections.
    Crash { host: HostId },
    /// A machine is gone silently.
    PowerLoss { host: HostId },
    /// A process is held up in the middle of most of its turns, long enough to be a pause.
    Stutter { host: HostId },
    /// The application of a process takes no events.
    SlowApplication { host: HostId },
    /// The token of all clients is removed from the server's file, and is there again at once.
    Revoke,
}

impl Trouble {
    /// The host that is paused by it.
    const fn host(self) -> Option<HostId> {
        match self {
            Self::Freeze { host }
            | Self::Suspend { host }
            | Self::Stutter { host }
            | Self::SlowApplication { host } => Some(host),
            Self::Cut { .. }
            | Self::Swallow { .. }
            | Self::Loss { .. }
            | Self::Delay { .. }
            | Self::Dribble { .. }
            | Self::Leave { .. }
            | Self::Forget { .. }
            | Self::Reset { .. }
            | Self::Flap { .. }
            | Self::Crash { .. }
            | Self::PowerLoss { .. }
            | Self::Revoke => None,
        }
    }

    /// Whether it affects a client's connection to the server.
    pub(super) const fn is_near(self, path: HostId) -> bool {
        match self {
            Self::Cut { client, .. }
            | Self::Swallow { client, .. }
            | Self::Loss { client, .. }
            | Self::Delay { client, .. }
            | Self::Dribble { client, .. }
            | Self::Forget { client, .. }
            | Self::Flap { client, .. }
            | Self::Reset { client } => client == path,
            Self::Freeze { host }
            | Self::Suspend { host }
            | Self::Crash { host }
            | Self::PowerLoss { host }
            | Self::Leave { host }
            | Self::Stutter { host }
            | Self::SlowApplication { host } => host == path || host == SERVER,
            Self::Revoke => true,
        }
    }
}

/// A trouble with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) at: WorldTime,
    pub(super) lasts: Duration,
    /// It waits until no packet is in flight.
    pub(super) when_quiet: bool,
    pub(super) trouble: Trouble,
}

/// Chooses the troubles of a run of some length. The kinds that occur are chosen first, so that
/// they meet in all combinations.
pub(super) fn troubles(
    draw: &mut Draw<'_>,
    clients: usize,
    unit: Duration,
    length: Duration,
) -> Vec<Planned> {
    if draw.chance(15) {
        return Vec::new();
    }
    let kinds: u16 = draw.rng.u16(..);
    let count = draw.rng.usize(1..=6);
    let mut planned = Vec::with_capacity(count);
    for _ in 0..count {
        let kind = draw.rng.u32(0..14);
        if kinds >> kind & 1 == 0 {
            continue;
        }
        let trouble = trouble(draw, kind, clients, unit);
        let begins = draw.part(length, 100);
        let at = WorldTime::START.after(begins);
        let stutters = matches!(trouble, Trouble::Stutter { .. });
        let lasts = if stutters { unit * 8 } else { lasting(draw, unit) };
        planned.push(Planned { at, lasts, when_quiet: false, trouble });
        // A host's own trouble only shows when its peers are silent too.
        if let Some(host) = trouble.host().filter(|_| draw.chance(if stutters { 90 } else { 60 })) {
            let client = if host == SERVER { draw.rng.usize(1..=clients) } else { host };
            let before = draw.part(unit, 50);
            let at = WorldTime::START.after(begins.saturating_sub(before));
            let lasts = unit * if stutters { 8 } else { draw.rng.u32(1..=6) };
            // With the other way up, its beats go on, and say that it hears nothing.
            let towards = if host == SERVER { Side::Client } else { Side::Server };
            let from = draw.chance(if stutters { 75 } else { 40 }).then_some(towards);
            let trouble = Trouble::Cut { client, from };
            planned.push(Planned { at, lasts, when_quiet: false, trouble });
        }
    }
    planned
}

fn trouble(draw: &mut Draw<'_>, kind: u32, clients: usize, unit: Duration) -> Trouble {
    let client = draw.rng.usize(1..=clients);
    let host = draw.rng.usize(0..=clients);
    let side = if draw.rng.bool() { Side::Client } else { Side::Server };
    match kind {
        0 => Trouble::Cut { client, from: None },
        1 => Trouble::Cut { client, from: Some(side) },
        2 => Trouble::Swallow { client, from: side },
        3 => Trouble::Loss { client, of_2_32: percent(draw.rng.u32(10..=90)) },
        4 => Trouble::Delay { client, more: draw.part(unit, 80) },
        5 => Trouble::Dribble {
            client,
            max_segment: draw.rng.u64(1..=MAX_DRIBBLE),
            pace: draw.part(unit, 2),
        },
        6 => Trouble::Reset { client },
        7 => Trouble::Freeze { host },
        8 => Trouble::Suspend { host },
        9 => Trouble::SlowApplication { host },
        10 => Trouble::Stutter { host },
        11 => Trouble::Crash { host },
        12 => Trouble::PowerLoss { host },
        _ => Trouble::Leave { host },
    }
}

fn lasting(draw: &mut Draw<'_>, unit: Duration) -> Duration {
    match draw.rng.u32(0..4) {
        0 => draw.part(unit, 20),
        1 => draw.time(MS, MS * 1_000),
        2 => draw.part(unit, 150),
        _ => draw.part(unit, 600),
    }
}
