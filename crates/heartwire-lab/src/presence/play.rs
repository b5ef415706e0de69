//! Plays a schedule, and holds presence against the truth.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use heartwire_presence::Config;

use super::check::{Breach, seconds};
use super::draw::{Act, Schedule};
use super::node::{self, Settings, typed, words};
use super::record::Micros;
use super::world::World;

/// How often presence is compared with the truth while they differ.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long clients may take to come back, when all nodes are there: they wait, and a busy machine
/// accepts them late. It only bounds how long a run waits for a broken promise.
const CLIENTS_BACK: Duration = Duration::from_secs(20);

/// A reader waits for something new for 2 s, and looks then whether Redis is another one: twice
/// that, and room for a busy machine.
const READ_WITHIN: Duration = Duration::from_secs(8);

/// How many broken promises of a kind are shown.
const SHOWN: usize = 3;

/// The result of a schedule.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) names: u32,
    /// How often each kind of fault occurred.
    pub(super) faults: BTreeMap<&'static str, u32>,
    /// From the end of the last fault, or the last change of the truth if that was later, until
    /// presence was equal.
    pub(super) equal_after: Duration,
    pub(super) bound: Duration,
    /// Entries of the stream.
    pub(super) told: usize,
    /// How often a reader was told all anew.
    pub(super) snapshots: u32,
    pub(super) byes: BTreeMap<String, u32>,
    /// Newest connections that ended as if they were older ones.
    pub(super) wrong: u32,
    pub(super) breaches: Vec<Breach>,
}

/// What a run needs beside its schedule.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// `redis-server`.
    pub(super) redis: PathBuf,
    pub(super) program: PathBuf,
    /// Of the nodes; `None`: the default.
    pub(super) lease: Option<Duration>,
    /// How much longer than the bound presence may take.
    pub(super) slack: Duration,
}

/// How many ends that were held back a node tells per second.
const PACE: u32 = 1000;

/// How long the end of a session waits because it may be one of many.
const NOTICED: Duration = Duration::from_secs(2);

/// The options of a node that say how long it holds back the ends of many sessions.
pub(super) fn holding(hold: Option<Duration>) -> Vec<String> {
    match hold {
        None => words(&["--hold", "off"]),
        Some(hold) => words(&["--hold", &typed(hold), "--hold-pace", &PACE.to_string()]),
    }
}

/// The lease of a node by default.
pub(super) const LEASE: Duration = Duration::from_secs(15);

impl Setting {
    /// The bound that a node prints, and the slack.
    pub(super) fn bound(&self, names: u32) -> anyhow::Result<Duration> {
        let lease = self.lease.unwrap_or(LEASE);
        Ok(Config::new("node".parse()?).lease(lease).node_lost_bound(names) + self.slack)
    }
}

/// Plays one.
pub(super) fn play(setting: &Setting, schedule: &Schedule) -> anyhow::Result<Outcome> {
    let settings = Settings {
        program: setting.program.clone(),
        timeout: schedule.timeout,
        lease: setting.lease,
        more: holding(schedule.hold),
    };
    let mut bound = setting.bound(schedule.names)?;
    if let Some(hold) = schedule.hold {
        bound += hold + NOTICED + Duration::from_secs(1) * schedule.names / PACE;
    }
    let mut world = World::start(&setting.redis, settings, schedule)?;
    let mut breaches = Vec::new();
    settle(&mut world, bound, "before the first fault", &mut breaches)?;
    let began = Instant::now();
    for (at, act) in &schedule.acts {
        thread::sleep(at.saturating_sub(began.elapsed()));
        world.act(*act)?;
    }
    let equal_after = settle(&mut world, bound, "after the last fault", &mut breaches)?;
    // It stays so: nothing that comes late changes it but the clients.
    thread::sleep(setting.lease.unwrap_or(LEASE));
    settle(&mut world, bound, "a lease later", &mut breaches)?;
    let answer = world.crowd.ask()?;
    breaches.extend(read(&world)?);
    let (broken, told) = world.breaches(bound)?;
    breaches.extend(broken);
    let mut faults = BTreeMap::new();
    for (_, act) in &schedule.acts {
        if let Act::Begin(fault) = act {
            *faults.entry(fault.kind()).or_default() += 1;
        }
    }
    Ok(Outcome {
        seed: schedule.seed,
        names: schedule.names,
        faults,
        equal_after,
        bound,
        told,
        snapshots: world.watcher.snapshots(),
        byes: answer.byes,
        wrong: answer.wrong,
        breaches: few(breaches),
    })
}

/// Waits until a reader knows what Redis has, and returns what it never knew.
fn read(world: &World) -> anyhow::Result<Vec<Breach>> {
    let began = Instant::now();
    loop {
        let breaches = world.watcher.differences(&world.redis.present()?);
        if breaches.is_empty() || began.elapsed() > READ_WITHIN {
            return Ok(breaches);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until presence equals the truth and clients are where they want to be, and returns how
/// long that took from now, or from the last change of the truth.
pub(super) fn settle(
    world: &mut World,
    bound: Duration,
    when: &str,
    breaches: &mut Vec<Breach>,
) -> anyhow::Result<Duration> {
    let healed_at = node::now();
    let answer = world.crowd.ask()?;
    let wanted = world.crowd.wanted(&answer);
    let since = |at: Micros| Duration::from_micros(node::now().saturating_sub(at));
    loop {
        let differences = world.differences(&wanted)?;
        let from = world.shared.recording().changed_at().max(healed_at);
        let after = since(from);
        if differences.is_empty() {
            if after > bound {
                let after = seconds(node::now().saturating_sub(from));
                let seen = format!("{when} presence was equal after {after:.1} s only");
                breaches.push(Breach { promise: "within-the-bound", seen });
            }
            return Ok(after);
        }
        if since(healed_at) > bound + CLIENTS_BACK {
            let count = differences.len();
            breaches.extend(few(differences));
            let seen = format!("{when} presence was never equal: {count} differences");
            breaches.push(Breach { promise: "within-the-bound", seen });
            return Ok(after);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// A few of each kind.
pub(super) fn few(breaches: Vec<Breach>) -> Vec<Breach> {
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut few: Vec<Breach> = Vec::new();
    for breach in breaches {
        let count = counts.entry(breach.promise).or_default();
        *count += 1;
        if *count <= SHOWN {
            few.push(breach);
        }
    }
    for (promise, count) in counts.into_iter().filter(|(_, count)| *count > SHOWN) {
        few.push(Breach { promise, seen: format!("{} in all", count) });
    }
    few
}
