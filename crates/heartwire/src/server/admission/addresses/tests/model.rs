//! The timeouts against buckets that are filled by the drop, and sessions that are counted singly.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::*;

/// Few, so that most steps meet another's; some of them are the same.
const ADDRS: [&str; 6] = [
    "192.0.2.1",
    "192.0.2.2",
    "::ffff:192.0.2.2",
    "2001:db8::1",
    "2001:db8::2:3:4:5",
    "2001:db8:0:1::1",
];

fn whose(addr: usize) -> usize {
    [0, 1, 1, 3, 3, 5][addr]
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    per_second: u64,
    burst: u64,
    /// In nanoseconds of refilling.
    level: u64,
}

impl Bucket {
    fn drop_time(self) -> u64 {
        SECOND.div_ceil(self.per_second)
    }

    fn refill(&mut self, nanos: u64) {
        self.level = (self.level + nanos).min(self.burst * self.drop_time());
    }

    /// How long until there is one.
    fn lacks(self) -> u64 {
        self.drop_time().saturating_sub(self.level)
    }

    fn rate(self) -> Rate {
        Rate::of(u32::try_from(self.per_second).unwrap(), u32::try_from(self.burst).unwrap())
    }
}

#[derive(Clone, Debug)]
struct Model {
    now: u64,
    max_sessions: Option<u32>,
    full: Option<Bucket>,
    all: Option<Bucket>,
    buckets: BTreeMap<usize, Bucket>,
    sessions: Vec<usize>,
    answer: Option<AddressRefusal>,
}

#[derive(Clone, Debug)]
enum Step {
    Enter {
        addr: usize,
    },
    /// One of the sessions, by its number.
    Leave {
        n: usize,
    },
    Wait {
        nanos: u64,
    },
}

impl Model {
    fn enter(&mut self, addr: usize) -> Result<(), AddressRefusal> {
        let whose_addr = whose(addr);
        let count = self.sessions.iter().filter(|&&one| whose(one) == whose_addr).count();
        if self.max_sessions.is_some_and(|most| count >= usize::try_from(most).unwrap()) {
            return Err(AddressRefusal::Sessions);
        }
        let mut own = self.buckets.get(&whose_addr).copied().or(self.full);
        if let Some(lacks) = own.map(Bucket::lacks).filter(|&lacks| lacks > 0) {
            return accept_rate_per_address(lacks).map(drop);
        }
        if let Some(lacks) = self.all.map(Bucket::lacks).filter(|&lacks| lacks > 0) {
            return accept_rate(lacks).map(drop);
        }
        for bucket in [&mut own, &mut self.all].into_iter().flatten() {
            bucket.level -= bucket.drop_time();
        }
        self.buckets.extend(own.map(|own| (whose_addr, own)));
        self.sessions.push(addr);
        Ok(())
    }

    fn wait(&mut self, nanos: u64) {
        self.now += nanos;
        self.buckets.values_mut().chain(&mut self.all).for_each(|bucket| bucket.refill(nanos));
    }
}

fn bucket() -> impl Strategy<Value = Option<Bucket>> {
    let of = |(per_second, burst)| {
        let empty = Bucket { per_second, burst, level: 0 };
        Bucket { level: burst * empty.drop_time(), ..empty }
    };
    prop::option::weighted(0.8, (1_u64..8, 1_u64..5).prop_map(of))
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        (prop::option::of(1_u32..4), bucket(), bucket(), 0..2 * SECOND)
            .prop_map(|(max_sessions, full, all, now)| Self {
                now,
                max_sessions,
                full,
                all,
                buckets: BTreeMap::new(),
                sessions: Vec::new(),
                answer: None,
            })
            .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        // As often as not to the very nanosecond at which there is one more.
        let buckets = state.buckets.values().chain(&state.all);
        let mut waits: Vec<u64> = buckets.map(|bucket| bucket.lacks()).collect();
        waits.push(1);
        let waits = prop::sample::select(waits)
            .prop_flat_map(|nanos| prop_oneof![Just(nanos), Just(nanos.saturating_sub(1))]);
        prop_oneof![
            6 => (0..ADDRS.len()).prop_map(|addr| Step::Enter { addr }),
            4 => any::<usize>().prop_map(|n| Step::Leave { n }),
            1 => waits.prop_map(|nanos| Step::Wait { nanos }),
            1 => (0..2 * SECOND).prop_map(|nanos| Step::Wait { nanos }),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Leave { .. } => !state.sessions.is_empty(),
            Step::Enter { .. } | Step::Wait { .. } => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match *step {
            Step::Enter { addr } => state.answer = state.enter(addr).err(),
            Step::Leave { n } => {
                state.sessions.swap_remove(n % state.sessions.len());
            }
            Step::Wait { nanos } => state.wait(nanos),
        }
        state
    }
}

/// The timeouts, and the sessions in the order in which the model has them.
struct Server {
    counts: AddressCounts,
    sessions: Vec<(usize, Entered)>,
}

struct LimitsTest;

impl StateMachineTest for LimitsTest {
    type SystemUnderTest = Server;
    type Reference = Model;

    fn init_test(model: &Model) -> Server {
        let limits = limits()
            .max_per_address(model.max_sessions.and_then(NonZeroU32::new))
            .accept_rate_per_address(model.full.map(Bucket::rate))
            .accept_rate(model.all.map(Bucket::rate));
        Server { counts: AddressCounts::new(limits), sessions: Vec::new() }
    }

    fn apply(mut server: Server, model: &Model, step: Step) -> Server {
        let now = at(model.now);
        match step {
            Step::Enter { addr } => match server.counts.enter(ip(ADDRS[addr]), now) {
                Ok(entered) => {
                    assert_eq!(model.answer, None);
                    server.sessions.push((addr, entered));
                }
                Err(refusal) => assert_eq!(Some(refusal), model.answer),
            },
            Step::Leave { n } => {
                let n = n % server.sessions.len();
                let (addr, entered) = server.sessions.swap_remove(n);
                server.counts.leave(ip(ADDRS[addr]), entered, now);
            }
            Step::Wait { .. } => {}
        }
        server
    }

    fn check_invariants(server: &Server, model: &Model) {
        let addresses = server.counts.lock();
        assert!(addresses.left.len() <= addresses.entries.len());
        let counted = model.max_sessions.is_some() || model.full.is_some();
        let mut sessions: BTreeMap<String, u32> = BTreeMap::new();
        for &addr in model.sessions.iter().filter(|_| counted) {
            *sessions.entry(format!("{:?}", Prefix::of(ip(ADDRS[addr])))).or_default() += 1;
        }
        let known = addresses.entries.iter().filter(|(_, entry)| entry.sessions > 0);
        let known: BTreeMap<String, u32> =
            known.map(|(prefix, entry)| (format!("{prefix:?}"), entry.sessions)).collect();
        assert_eq!(known, sessions);
    }
}

prop_state_machine! {
    #[test]
    fn limits_are_those_of_buckets_and_lists(sequential 1..150 => LimitsTest);
}

/// What holds however few addresses are kept count of.
#[derive(Clone, Debug)]
enum Visit {
    Enter(u8),
    Leave(usize),
    Wait(u64),
}

fn visit() -> impl Strategy<Value = Visit> {
    prop_oneof![
        4 => (0_u8..12).prop_map(Visit::Enter),
        3 => any::<usize>().prop_map(Visit::Leave),
        1 => (0..2 * SECOND).prop_map(Visit::Wait),
    ]
}

proptest! {
    #[test]
    fn however_many_addresses_there_are_those_that_are_counted_are_counted_right(
        max_addresses in 0_usize..6,
        visits in prop::collection::vec(visit(), 1..200),
    ) {
        let limits = limits().max_per_address(most(3)).accept_rate_per_address(Some(Rate::of(2, 4)));
        let counts = AddressCounts::new(limits.max_addresses(max_addresses));
        let addr = |n| IpAddr::from([192, 0, 2, n]);
        let mut now = 0;
        let mut sessions: Vec<(u8, Entered)> = Vec::new();
        for visit in visits {
            match visit {
                Visit::Enter(n) => {
                    if let Ok(entered) = counts.enter(addr(n), at(now)) {
                        sessions.push((n, entered));
                    }
                }
                Visit::Leave(n) if !sessions.is_empty() => {
                    let (n, entered) = sessions.swap_remove(n % sessions.len());
                    counts.leave(addr(n), entered, at(now));
                }
                Visit::Leave(_) => {}
                Visit::Wait(nanos) => now += nanos,
            }
            let addresses = counts.lock();
            prop_assert!(addresses.entries.len() <= max_addresses);
            prop_assert!(addresses.left.len() <= addresses.entries.len());
            for n in 0..12 {
                let of = |&&(one, ref entered): &&(u8, Entered)| one == n && entered.counted;
                let counted = sessions.iter().filter(of).count();
                let entry = addresses.entries.get(&Prefix::of(addr(n)));
                let known = entry.map_or(0, |entry| usize::try_from(entry.sessions).unwrap());
                prop_assert_eq!(counted, known);
                prop_assert!(counted <= 3);
            }
        }
        // Nothing stays of those who have gone, once their buckets have had the time to fill.
        for (n, entered) in sessions.drain(..) {
            counts.leave(addr(n), entered, at(now));
        }
        for _ in 0..12 {
            now += 2 * SECOND;
            counts.lock().forget_idle(at(now));
        }
        prop_assert_eq!((counts.len(), counts.left()), (0, 0));
    }
}
