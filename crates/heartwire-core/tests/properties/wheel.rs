//! The wheel against a sorted map: the same keys expire at the same time.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use heartwire_core::Instant;
use heartwire_core::wheel::Wheel;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// Few keys, so that most steps meet an armed one.
const KEYS: u32 = 24;

/// Deadlines of keys, in ticks. Times of the clock are in nanoseconds.
#[derive(Clone, Debug)]
struct Model {
    tick_nanos: u64,
    now: u64,
    /// The tick up to which everything has expired.
    elapsed: u64,
    armed: BTreeMap<u32, u64>,
    /// What the last step took out.
    taken: BTreeSet<u32>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Arms a key for a time this far ahead.
    Insert {
        key: u32,
        ahead: u64,
    },
    /// Arms a key for a time this far behind.
    InsertPast {
        key: u32,
        behind: u64,
    },
    Remove {
        key: u32,
    },
    /// Time passes, and everything due is taken out.
    Poll {
        after: u64,
    },
    /// The clock shows a time this far behind, once.
    PollPast {
        behind: u64,
    },
    /// The driver sleeps from `next_wake` to `next_wake` until a key expires.
    Follow,
}

impl Model {
    fn insert(&mut self, key: u32, at: u64) {
        self.armed.insert(key, at.div_ceil(self.tick_nanos));
    }

    fn poll(&mut self, now: u64) {
        let tick = now / self.tick_nanos;
        if tick < self.elapsed {
            return;
        }
        self.elapsed = tick;
        self.taken =
            self.armed.iter().filter(|&(_, &at)| at <= tick).map(|(&key, _)| key).collect();
        self.armed.retain(|_, &mut at| at > tick);
    }

    fn first(&self) -> Option<u64> {
        self.armed.values().min().map(|&at| at.max(self.elapsed))
    }
}

/// Spans of time of every size that a wheel tells apart: from less than a tick to beyond its reach.
fn span(tick_nanos: u64) -> impl Strategy<Value = u64> {
    let ticks = (0_u32..39).prop_flat_map(|bits| {
        let power = 1_u64 << bits;
        prop_oneof![Just(power - 1), Just(power), Just(power + 1), power..=2 * power]
    });
    (ticks, 0..tick_nanos).prop_map(move |(ticks, nanos)| ticks * tick_nanos + nanos)
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let armed = BTreeMap::new();
        let taken = BTreeSet::new();
        (1_000_u64..5_000)
            .prop_map(move |tick_nanos| Self {
                tick_nanos,
                now: 0,
                elapsed: 0,
                armed: armed.clone(),
                taken: taken.clone(),
            })
            .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let span = || span(state.tick_nanos);
        prop_oneof![
            8 => (0..KEYS, span()).prop_map(|(key, ahead)| Step::Insert { key, ahead }),
            1 => (0..KEYS, span()).prop_map(|(key, behind)| Step::InsertPast { key, behind }),
            2 => (0..KEYS).prop_map(|key| Step::Remove { key }),
            3 => span().prop_map(|after| Step::Poll { after }),
            1 => span().prop_map(|behind| Step::PollPast { behind }),
            3 => Just(Step::Follow),
        ]
        .boxed()
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.taken.clear();
        match *step {
            Step::Insert { key, ahead } => state.insert(key, state.now + ahead),
            Step::InsertPast { key, behind } => state.insert(key, state.now.saturating_sub(behind)),
            Step::Remove { key } => {
                state.taken.extend(state.armed.remove(&key).map(|_| key));
            }
            Step::Poll { after } => {
                state.now += after;
                state.poll(state.now);
            }
            Step::PollPast { behind } => state.poll(state.now.saturating_sub(behind)),
            Step::Follow => {
                if let Some(first) = state.first() {
                    state.now = state.now.max(first * state.tick_nanos);
                    state.poll(state.now);
                }
            }
        }
        state
    }
}

/// Takes everything out that is due at `now`, each key once.
fn drain(wheel: &mut Wheel, now: u64) -> BTreeSet<u32> {
    let mut keys = BTreeSet::new();
    while let Some(key) = wheel.poll(Instant::from_nanos(now)) {
        assert!(keys.insert(key), "key {key} expired twice");
    }
    keys
}

/// Wakes only when the wheel asks for it, until something expires at the time `first`.
fn follow(wheel: &mut Wheel, first: u64) -> BTreeSet<u32> {
    // One step per level, and one more for each time that the wheel's reach is used up.
    for _ in 0..32 {
        let Some(wake) = wheel.next_wake() else { break };
        assert!(wake.as_nanos() <= first, "it would wake at {wake:?}, after {first}");
        let keys = drain(wheel, wake.as_nanos());
        if !keys.is_empty() {
            assert_eq!(wake.as_nanos(), first);
            return keys;
        }
    }
    panic!("nothing expired");
}

struct WheelTest;

impl StateMachineTest for WheelTest {
    type SystemUnderTest = Wheel;
    type Reference = Model;

    fn init_test(model: &Model) -> Wheel {
        Wheel::new(Duration::from_nanos(model.tick_nanos))
    }

    fn apply(mut wheel: Wheel, model: &Model, step: Step) -> Wheel {
        match step {
            Step::Insert { key, ahead } => {
                wheel.insert(key, Instant::from_nanos(model.now + ahead));
            }
            Step::InsertPast { key, behind } => {
                wheel.insert(key, Instant::from_nanos(model.now.saturating_sub(behind)));
            }
            Step::Remove { key } => assert_eq!(wheel.remove(key), model.taken.contains(&key)),
            Step::Poll { .. } => assert_eq!(drain(&mut wheel, model.now), model.taken),
            Step::PollPast { behind } => {
                assert_eq!(drain(&mut wheel, model.now.saturating_sub(behind)), model.taken);
            }
            Step::Follow if model.taken.is_empty() => assert_eq!(wheel.next_wake(), None),
            Step::Follow => {
                let first = model.elapsed * model.tick_nanos;
                assert_eq!(follow(&mut wheel, first), model.taken);
            }
        }
        wheel
    }

    fn check_invariants(wheel: &Wheel, model: &Model) {
        let instant = |tick: u64| Instant::from_nanos(tick * model.tick_nanos);
        for key in 0..=KEYS {
            assert_eq!(wheel.armed(key), model.armed.get(&key).map(|&at| instant(at)), "{key}");
        }
        match (wheel.next_wake(), model.first()) {
            (Some(wake), Some(first)) => {
                assert!((instant(model.elapsed)..=instant(first)).contains(&wake), "{wake:?}");
            }
            (wake, first) => assert_eq!((wake, first), (None, None)),
        }
    }
}

prop_state_machine! {
    #[test]
    fn a_wheel_expires_what_a_sorted_map_would(sequential 1..100 => WheelTest);
}
