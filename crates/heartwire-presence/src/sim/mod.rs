//! A simulator of interleavings: nodes of the shipping code against the model of the store, with
//! clients that come, move and go, and with faults of nodes, network, store and clocks. Time is a
//! number, and everything is drawn from a seed, so a failure can be seen again.
//!
//! `HEARTWIRE_SEEDS=10000 cargo test -p heartwire-presence sim` runs more of them, and
//! `HEARTWIRE_SEED=17` one alone, with a trace.

use core::fmt;
use core::ops::AddAssign;

use self::broken::Broken;
use self::world::World;

mod broken;
mod calls;
mod checks;
mod clients;
mod faults;
mod machine;
mod world;

/// How many seeds the suite runs.
const SEEDS: u64 = 200;

/// What a run saw, to know that it was about something.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    calls: u64,
    unanswered: u64,
    changes: u64,
    moved: u64,
    takeovers: u64,
    wrong_takeovers: u64,
    fenced: u64,
    emptied: u64,
    differed: u64,
    nodes_lost: u64,
    revenants: u64,
    /// The longest time, in milliseconds, that two nodes with contact had sessions of one name.
    double_ms: u64,
    /// The longest time, in milliseconds, that a node with contact knew better than the store.
    late_ms: u64,
    /// The longest time, in milliseconds, that a name was online on a dead node.
    lost_ms: u64,
    /// The longest time, in milliseconds, after the last fault, until presence was the truth.
    settled_ms: u64,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.unanswered += other.unanswered;
        self.changes += other.changes;
        self.moved += other.moved;
        self.takeovers += other.takeovers;
        self.wrong_takeovers += other.wrong_takeovers;
        self.fenced += other.fenced;
        self.emptied += other.emptied;
        self.differed += other.differed;
        self.nodes_lost += other.nodes_lost;
        self.revenants += other.revenants;
        self.double_ms = self.double_ms.max(other.double_ms);
        self.late_ms = self.late_ms.max(other.late_ms);
        self.lost_ms = self.lost_ms.max(other.lost_ms);
        self.settled_ms = self.settled_ms.max(other.settled_ms);
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
struct Breach {
    seed: u64,
    at: u64,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at / 1_000_000;
        write!(f, "HEARTWIRE_SEED={}: after {seconds} s: {}", self.seed, self.what)
    }
}

fn run(seed: u64, broken: Option<Broken>, is_traced: bool) -> Result<Seen, Breach> {
    World::new(seed, broken, is_traced).run()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn presence_is_the_truth_after_every_interleaving_of_faults() {
    if let Some(seed) = number("HEARTWIRE_SEED") {
        println!("{:?}", run(seed, None, true).map_err(|breach| breach.to_string()));
        return;
    }
    let seeds = number("HEARTWIRE_SEEDS").unwrap_or(SEEDS);
    let mut seen = Seen::default();
    let mut breaches = Vec::new();
    for seed in 0..seeds {
        match run(seed, None, false) {
            Ok(one) => seen += one,
            Err(breach) => breaches.push(breach.to_string()),
        }
    }
    println!("{seeds} seeds: {seen:?}");
    assert!(
        breaches.is_empty(),
        "{} breaches, {:#?}",
        breaches.len(),
        &breaches[..breaches.len().min(9)]
    );
    for (what, count) in [
        ("calls without an answer", seen.unanswered),
        ("moves", seen.moved),
        ("takeovers", seen.takeovers),
        ("nodes fenced", seen.fenced),
        ("stores emptied", seen.emptied),
        ("stores that differed", seen.differed),
        ("nodes lost", seen.nodes_lost),
    ] {
        assert!(count > 0, "no {what}: {seen:?}");
    }
}

#[test]
fn broken_nodes_are_found() {
    for broken in Broken::ALL {
        let found = (0..10 * SEEDS).find_map(|seed| run(seed, Some(broken), false).err());
        let found = found.unwrap_or_else(|| panic!("{broken:?} was not found"));
        println!("{broken:?}: {found}");
    }
}
