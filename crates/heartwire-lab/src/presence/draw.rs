//! Schedules: what goes wrong and when, drawn from a seed.

use core::time::Duration;

use fastrand::Rng;

/// How many nodes there are.
pub(super) const NODES: usize = 3;

/// Time between two faults in a schedule that has each of them once.
const CALM: Duration = Duration::from_secs(5);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// So many of a thousand clients connect to this node; `keeps`: without ending their older
    /// connection, which falls silent.
    Move { permille: u32, to: usize, keeps: bool },
    /// So many of a thousand disconnect and stay away.
    Leave { permille: u32 },
    /// So many of a thousand of those that are away connect.
    Return { permille: u32 },
    /// A fault begins.
    Begin(Fault),
    /// And it ends.
    End(Fault),
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL to a node, which is started again at the end.
    Killed(usize),
    /// SIGSTOP to a node, and SIGCONT.
    Stopped(usize),
    /// A node's connections to Redis, see [`Cut`].
    Cut(usize, Cut),
    /// SIGKILL to Redis, which is started again, with its data.
    RedisKilled,
    /// The same, without its data.
    RedisEmptied,
    /// FLUSHALL.
    RedisFlushed,
    /// SIGSTOP to Redis, and SIGCONT.
    RedisStopped,
    /// The replica does not hear of changes any more; at the end it takes the place of the other,
    /// which is killed.
    FailedOver,
}

/// How a connection to Redis is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It ends, and no new one can be made.
    Refused,
    /// Nothing passes, and then all that waited does, as when packets are sent again.
    Held,
    /// Requests arrive, answers do not; then it ends.
    Deaf,
    /// Nothing passes; then it ends.
    Lost,
}

impl Fault {
    /// Its kind, as reports count it.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Killed(_) => "node killed",
            Self::Stopped(_) => "node stopped",
            Self::Cut(_, Cut::Refused) => "node cut off, refused",
            Self::Cut(_, Cut::Held) => "node cut off, held",
            Self::Cut(_, Cut::Deaf) => "node cut off, no answers",
            Self::Cut(_, Cut::Lost) => "node cut off, lost",
            Self::RedisKilled => "Redis killed",
            Self::RedisEmptied => "Redis restarted empty",
            Self::RedisFlushed => "Redis flushed",
            Self::RedisStopped => "Redis stopped",
            Self::FailedOver => "failed over to a replica that lags",
        }
    }

    /// The node that it touches; `None`: Redis, and so all of them.
    pub(super) const fn node(self) -> Option<usize> {
        match self {
            Self::Killed(node) | Self::Stopped(node) | Self::Cut(node, _) => Some(node),
            Self::RedisKilled
            | Self::RedisEmptied
            | Self::RedisFlushed
            | Self::RedisStopped
            | Self::FailedOver => None,
        }
    }
}

/// What happens in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) names: u32,
    /// How long a client may be silent.
    pub(super) timeout: Duration,
    /// How long nodes hold back ends of sessions that are lost at once.
    pub(super) hold: Option<Duration>,
    /// In the order of their times.
    pub(super) acts: Vec<(Duration, Act)>,
}

impl Schedule {
    /// A random one. Faults last up to twice the lease.
    pub(super) fn draw(seed: u64, lease: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let names = rng.u32(150..=300);
        // Short: older connections that fell silent end by themselves, with late verdicts. Long:
        // nothing ends them but a newer session of the name.
        let timeout = Duration::from_secs(if rng.bool() { 3 } else { 120 });
        let hold = (rng.u32(0..4) == 0).then_some(lease);
        let span = lease * 4;
        let mut faults = Vec::new();
        // Of each node, and of Redis, the time that its last fault ends.
        let mut busy = [Duration::ZERO; NODES + 1];
        let mut has_replica = true;
        for _ in 0..rng.u32(2..=5) {
            let fault = fault(&mut rng, has_replica);
            let at = fault.node().unwrap_or(NODES);
            let Some(busy_until) = busy.get_mut(at) else { continue };
            let from = part(&mut rng, span).max(*busy_until + lease / 10);
            // Shorter than the lease, about as long, and longer.
            let lasts = part(&mut rng, lease * 2).max(lease / 20);
            *busy_until = from + lasts;
            has_replica &= fault != Fault::FailedOver;
            faults.push((from, Act::Begin(fault)));
            faults.push((from + lasts, Act::End(fault)));
        }
        let end = faults.iter().map(|(at, _)| *at).max().unwrap_or_default().max(span);
        Self { seed, names, timeout, hold, acts: with_moves(&mut rng, faults, end) }
    }

    /// Nothing happens.
    pub(super) fn calm(names: u32, timeout: Duration) -> Self {
        Self { seed: 1, names, timeout, hold: None, acts: Vec::new() }
    }

    /// Each fault once, one after the other; clients move all the while.
    pub(super) fn each_once(seed: u64, names: u32, lasts: Duration) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut faults = Vec::new();
        let mut at = Duration::from_secs(2);
        let node = |rng: &mut Rng| rng.usize(..NODES);
        for fault in [
            Fault::Killed(node(&mut rng)),
            Fault::Stopped(node(&mut rng)),
            Fault::Cut(node(&mut rng), Cut::Lost),
            Fault::Cut(node(&mut rng), Cut::Deaf),
            Fault::RedisStopped,
            Fault::RedisKilled,
            Fault::RedisFlushed,
            Fault::RedisEmptied,
            Fault::FailedOver,
        ] {
            faults.push((at, Act::Begin(fault)));
            faults.push((at + lasts, Act::End(fault)));
            at += lasts + CALM;
        }
        let timeout = Duration::from_secs(120);
        Self { seed, names, timeout, hold: None, acts: with_moves(&mut rng, faults, at) }
    }

    /// The faults in it.
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> {
        self.acts.iter().filter_map(|(_, act)| match act {
            Act::Begin(fault) => Some(*fault),
            Act::Move { .. } | Act::Leave { .. } | Act::Return { .. } | Act::End(_) => None,
        })
    }
}

fn fault(rng: &mut Rng, has_replica: bool) -> Fault {
    let node = rng.usize(..NODES);
    match rng.u32(0..12) {
        0 | 1 => Fault::Killed(node),
        2 | 3 => Fault::Stopped(node),
        4 => Fault::Cut(node, Cut::Refused),
        5 => Fault::Cut(node, Cut::Held),
        6 => Fault::Cut(node, Cut::Deaf),
        7 => Fault::Cut(node, Cut::Lost),
        8 => Fault::RedisKilled,
        9 if rng.bool() => Fault::RedisEmptied,
        9 => Fault::RedisFlushed,
        10 => Fault::RedisStopped,
        _ if has_replica => Fault::FailedOver,
        _ => Fault::RedisKilled,
    }
}

/// Adds what clients do all the while.
fn with_moves(
    rng: &mut Rng,
    mut acts: Vec<(Duration, Act)>,
    end: Duration,
) -> Vec<(Duration, Act)> {
    let mut at = Duration::ZERO;
    while at < end {
        let permille = rng.u32(2..100);
        let act = match rng.u32(0..6) {
            0 => Act::Leave { permille },
            1 => Act::Return { permille: 500 },
            _ => Act::Move { permille, to: rng.usize(..NODES), keeps: rng.bool() },
        };
        acts.push((at, act));
        at += Duration::from_millis(rng.u64(20..500));
    }
    // Stable, so that what was drawn first comes first.
    acts.sort_by_key(|(at, _)| *at);
    acts
}

/// A random part of this time.
fn part(rng: &mut Rng, of: Duration) -> Duration {
    of.mul_f64(rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(2);

    #[test]
    fn schedule_is_the_same_for_the_same_seed() {
        assert_eq!(Schedule::draw(7, LEASE), Schedule::draw(7, LEASE));
        assert_ne!(Schedule::draw(7, LEASE), Schedule::draw(8, LEASE));
    }

    #[test]
    fn each_fault_ends_before_the_next_of_the_same_begins() {
        for seed in 0..500 {
            let schedule = Schedule::draw(seed, LEASE);
            let mut broken = [None; NODES + 1];
            for (_, act) in &schedule.acts {
                let (Act::Begin(fault) | Act::End(fault)) = act else { continue };
                let slot = &mut broken[fault.node().unwrap_or(NODES)];
                if matches!(act, Act::Begin(_)) {
                    assert_eq!(slot.replace(*fault), None, "{schedule:?}");
                } else {
                    assert_eq!(slot.take(), Some(*fault), "{schedule:?}");
                }
            }
            assert_eq!(broken, [None; NODES + 1], "{schedule:?}");
        }
    }

    #[test]
    fn two_hundred_schedules_have_each_fault_often() {
        let mut counts = std::collections::BTreeMap::<&str, u32>::new();
        for seed in 0..200 {
            for fault in Schedule::draw(seed, LEASE).faults() {
                *counts.entry(fault.kind()).or_default() += 1;
            }
        }
        assert!(counts.len() == 11 && counts.values().all(|&count| count >= 10), "{counts:?}");
    }

    #[test]
    fn one_of_each_is_in_a_long_schedule() {
        let schedule = Schedule::each_once(1, 10, 10 * LEASE);
        assert_eq!(schedule.faults().count(), 9);
    }
}
