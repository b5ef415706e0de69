//! The registry against one that remembers everything and looks through it each time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::*;

const MINUTE: u64 = 60;

/// Few of each, so that most steps meet another's.
const NAMES: [&str; 2] = ["alice", "bob"];
const SESSIONS: u32 = 6;
const SHARDS: u32 = 2;

fn session(n: u32) -> SessionId {
    SessionId::new(u8::try_from(n % SHARDS).unwrap(), n, 0)
}

/// Sessions 4 and 5 are of one instance; the others do not tell theirs.
fn claimant(other: bool, n: u32) -> Claimant {
    match (other, n) {
        (true, _) => mallory(),
        (false, 4 | 5) => instance(1),
        (false, _) => alice(),
    }
}

#[derive(Clone, Debug, Default)]
struct Held {
    other: bool,
    /// Sessions and their epochs: who holds the name, and who comes next.
    line: Vec<(u32, u64)>,
    /// The one that claimed it last.
    newest: u32,
}

/// What has happened to one name, whether a session holds it or not.
#[derive(Clone, Debug, Default)]
struct Past {
    takeovers: Vec<u64>,
    /// Until when nothing is admitted, and how often that has been so in this fight before.
    fight: Option<(u64, u32)>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    now: u64,
    epoch: u64,
    held: BTreeMap<&'static str, Held>,
    past: BTreeMap<&'static str, Past>,
    /// What the last step is answered.
    claim: Option<Claim>,
    next: Vec<(&'static str, u32, u64)>,
}

#[derive(Clone, Debug)]
enum Step {
    Claim { name: &'static str, other: bool, n: u32 },
    Release { name: &'static str, n: u32 },
    ReleaseShard { shard: u32 },
    Wait { secs: u64 },
}

impl Held {
    fn claim(&mut self, n: u32, other: bool, past: &mut Past, now: u64, epoch: &mut u64) -> Claim {
        let (holder, held_since) = self.line[0];
        if holder == n {
            return yours(held_since);
        }
        if self.other != other {
            return Claim::InUse;
        }
        let waiting = self.line.get(1).copied();
        if let Some((_, epoch)) = waiting.filter(|&(next, _)| next == n) {
            return Claim::After { holder: session(holder), epoch, replaces: None };
        }
        let instance = |n| claimant(other, n).instance;
        let is_itself = instance(n).is_some() && instance(n) == instance(self.newest);
        if is_itself {
            return self.come_next(n, epoch);
        }
        past.fight = past.fight.filter(|&(until, _)| now < until + MINUTE);
        let wait = |times: u32| (MINUTE << times.min(9)).min(300);
        match past.fight {
            Some((until, _)) if now < until => return fighting(until - now, false),
            Some((_, times)) => past.fight = Some((now + wait(times + 1), times + 1)),
            None if past.takeovers.iter().filter(|&&at| now < at + MINUTE).count() == 5 => {
                past.fight = Some((now + wait(0), 0));
                return fighting(wait(0), true);
            }
            None => {}
        }
        past.takeovers.push(now);
        self.come_next(n, epoch)
    }

    fn come_next(&mut self, n: u32, epoch: &mut u64) -> Claim {
        let (holder, waiting) = (self.line[0].0, self.line.get(1).copied());
        *epoch += 1;
        self.newest = n;
        self.line.truncate(1);
        self.line.push((n, *epoch));
        let replaces = waiting.map(|(next, _)| session(next));
        Claim::After { holder: session(holder), epoch: *epoch, replaces }
    }
}

impl Model {
    fn claim(&mut self, name: &'static str, other: bool, n: u32) -> Claim {
        if let Some(held) = self.held.get_mut(name) {
            let past = self.past.entry(name).or_default();
            return held.claim(n, other, past, self.now, &mut self.epoch);
        }
        self.epoch += 1;
        let held = Held { other, line: vec![(n, self.epoch)], newest: n };
        self.held.insert(name, held);
        yours(self.epoch)
    }

    /// Takes sessions out of the lines that are for `names`.
    fn release(&mut self, names: &[&str], is_gone: impl Fn(u32) -> bool) {
        for (&name, held) in self.held.iter_mut().filter(|(name, _)| names.contains(name)) {
            let before = held.line[0];
            held.line.retain(|&(n, _)| !is_gone(n));
            let first = held.line.first().filter(|&&first| first != before);
            self.next.extend(first.map(|&(n, epoch)| (name, n, epoch)));
        }
        self.held.retain(|_, held| !held.line.is_empty());
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let name = || prop::sample::select(&NAMES[..]);
        // More often than not to about the second at which something begins or ends.
        let ends = state.past.values().flat_map(|past| {
            let takeovers = past.takeovers.iter().map(|&at| at + MINUTE);
            takeovers.chain(past.fight.iter().flat_map(|&(at, _)| [at, at + MINUTE]))
        });
        let mut waits: Vec<u64> = ends.filter_map(|at| at.checked_sub(state.now)).collect();
        waits.push(1);
        let waits = prop::sample::select(waits).prop_flat_map(|secs| {
            prop_oneof![Just(secs), Just(secs.saturating_sub(1)), Just(secs + 1)]
        });
        prop_oneof![
            16 => (name(), prop::bool::weighted(0.1), 0..SESSIONS)
                .prop_map(|(name, other, n)| Step::Claim { name, other, n }),
            3 => (name(), 0..SESSIONS).prop_map(|(name, n)| Step::Release { name, n }),
            1 => (0..SHARDS).prop_map(|shard| Step::ReleaseShard { shard }),
            2 => waits.prop_map(|secs| Step::Wait { secs }),
            1 => (0_u64..20).prop_map(|secs| Step::Wait { secs }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.claim = None;
        state.next.clear();
        match *step {
            Step::Claim { name, other, n } => state.claim = Some(state.claim(name, other, n)),
            Step::Release { name, n } => state.release(&[name], |one| one == n),
            Step::ReleaseShard { shard } => state.release(&NAMES, |one| one % SHARDS == shard),
            Step::Wait { secs } => state.now += secs,
        }
        state
    }
}

struct NamesTest;

impl StateMachineTest for NamesTest {
    type SystemUnderTest = Names;
    type Reference = Model;

    fn init_test(_model: &Model) -> Names {
        Names::new(EpochClock::stopped(1))
    }

    fn apply(names: Names, model: &Model, step: Step) -> Names {
        let mut next = Vec::new();
        match step {
            Step::Claim { name, other, n } => {
                let claim = names.claim(name, claimant(other, n), session(n), at(model.now));
                assert_eq!(Some(claim), model.claim);
            }
            Step::Release { name, n } => {
                next.extend(names.release(name, session(n)).map(|next| (name.into(), next)));
            }
            Step::ReleaseShard { shard } => {
                next = names.release_shard(usize::try_from(shard).unwrap());
                next.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            Step::Wait { .. } => {}
        }
        let expected: Vec<(Box<str>, Next)> = model
            .next
            .iter()
            .map(|&(name, n, epoch)| (name.into(), Next { id: session(n), epoch }))
            .collect();
        assert_eq!(next, expected);
        names
    }

    fn check_invariants(names: &Names, model: &Model) {
        assert_eq!(names.count(), model.held.len());
        let fought = model.past.values().filter(|past| !past.takeovers.is_empty()).count();
        assert!(names.fights() <= fought);
    }
}

prop_state_machine! {
    #[test]
    fn names_are_held_as_in_a_model_that_remembers_everything(sequential 1..150 => NamesTest);
}
