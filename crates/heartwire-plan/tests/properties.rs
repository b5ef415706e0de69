//! Plans for any settings: bounds that are bounds, that follow the settings the right way, and that
//! are missing exactly where nothing can find a fault.

use core::time::Duration;

use heartwire_core::kernel::{Keepalive, KernelTimers};
use heartwire_core::{Policy, Side};
use heartwire_plan::{End, Fault, Mechanism, Outcome, Plan, PlanError, Setup, Target};
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The settings of one end, in milliseconds, and seconds for keepalive.
#[derive(Clone, Copy, Debug)]
struct Knobs {
    interval: Option<u64>,
    timeout: Option<u64>,
    echo: bool,
    keepalive: Option<(u64, u64, u32)>,
    /// On top of the least that goes with the keepalive.
    user_timeout: Option<u64>,
    timer_slack: u64,
}

impl Knobs {
    fn end(self) -> End {
        // So short a promise that no timeout is refused: a plan goes by what the peer really does.
        let mut policy = Policy::builder().peer_interval(ms(1)).echo(self.echo);
        if let Some(interval) = self.interval {
            policy = policy.interval(ms(interval));
        }
        if let Some(timeout) = self.timeout {
            policy = policy.timeout(ms(timeout));
        }
        let keepalive = self.keepalive();
        let least = keepalive.map_or(Duration::ZERO, |keepalive| keepalive.bound());
        let user_timeout = self.user_timeout.map(|more| least + ms(more));
        let timers = KernelTimers::new(keepalive, user_timeout);
        let Ok(policy) = policy.build() else { panic!("{self:?} make no policy") };
        let Ok(timers) = timers else { panic!("{self:?} make no timers") };
        End::new(policy).kernel(timers).timer_slack(ms(self.timer_slack))
    }

    fn keepalive(self) -> Option<Keepalive> {
        let (idle, interval, count) = self.keepalive?;
        let secs = Duration::from_secs;
        Keepalive::new(secs(idle), secs(interval), count).ok()
    }
}

/// Two ends and a path, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct World {
    client: Knobs,
    server: Knobs,
    rtt: u64,
    nat_timeout: Option<u64>,
}

impl World {
    fn plan(self) -> Plan {
        let setup = Setup::new(self.client.end(), self.server.end()).v0();
        let setup = setup.rtt(ms(self.rtt)).nat_timeout(self.nat_timeout.map(ms));
        let Ok(plan) = setup.plan() else { panic!("{self:?} have no plan") };
        plan
    }

    /// The end on one side, and the other end.
    fn ends(self, side: Side) -> (Knobs, Knobs) {
        match side {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut Knobs {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

fn knobs() -> impl Strategy<Value = Knobs> {
    let keepalive = (1_u64..100, 1_u64..100, 1_u32..10);
    (
        prop::option::of(1_u64..60_000),
        // At least twice that promise.
        prop::option::of(2_u64..180_000),
        any::<bool>(),
        prop::option::of(keepalive),
        prop::option::of(1_u64..100_000),
        0_u64..500,
    )
        .prop_map(|(interval, timeout, echo, keepalive, user_timeout, timer_slack)| Knobs {
            interval,
            timeout,
            echo: echo && interval.is_none(),
            keepalive,
            user_timeout,
            timer_slack,
        })
}

fn world() -> impl Strategy<Value = World> {
    (knobs(), knobs(), 0_u64..2_000, prop::option::of(1_u64..100_000)).prop_map(
        |(client, mut server, rtt, nat_timeout)| {
            server.echo = server.echo && !client.echo;
            World { client, server, rtt, nat_timeout }
        },
    )
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// What comes of every fault on both sides.
fn outcomes(plan: Plan) -> impl Iterator<Item = (Fault, Side, Outcome)> {
    let both = move |fault| SIDES.map(|side| (fault, side, plan.outcome(fault, side)));
    Fault::ALL.into_iter().flat_map(both)
}

/// When it is found at the latest; a fault that is not lost is no later than one found at once.
fn latest(outcome: Outcome) -> Duration {
    match outcome {
        Outcome::Found(finding) => finding.bound.latest,
        Outcome::KeptOpen { .. } | Outcome::NothingDue => Duration::ZERO,
        Outcome::Never(_) => Duration::MAX,
    }
}

/// Whether anything can find it, said without any time.
fn can_be_found(world: World, fault: Fault, side: Side) -> bool {
    let (own, peer) = world.ends(side);
    let timeout = own.timeout.is_some();
    let cut_off = timeout || own.interval.is_some() || own.keepalive.is_some();
    let unheard = cut_off
        || (own.echo && peer.interval.is_some())
        || peer.timeout.is_some()
        || (peer.keepalive.is_some() && peer.interval.is_none());
    match (fault, side) {
        (Fault::PeerFrozen, _) => timeout,
        (Fault::MachineGoneIdle | Fault::FirewallDrop | Fault::NatForgotten, _)
        | (Fault::CutToServer, Side::Server)
        | (Fault::CutToClient, Side::Client) => cut_off,
        (Fault::CutToServer, Side::Client) | (Fault::CutToClient, Side::Server) => unheard,
        (Fault::PeerNotReading, _) => {
            own.user_timeout.is_some() || (timeout && peer.interval.is_none())
        }
        _ => true,
    }
}

proptest! {
    #[test]
    fn the_earliest_time_is_never_after_the_latest(world in world()) {
        for (fault, side, outcome) in outcomes(world.plan()) {
            let Some(finding) = outcome.finding() else { continue };
            let ordered = finding.bound.earliest <= finding.bound.latest;
            prop_assert!(ordered, "{} on the {:?}: {:?}", fault, side, finding);
            prop_assert!(finding.can_be_by(finding.by));
            prop_assert!(finding.or_by().all(|other| other != finding.by));
        }
    }

    #[test]
    fn never_is_said_exactly_where_nothing_can_find_it(world in world()) {
        for (fault, side, outcome) in outcomes(world.plan()) {
            if matches!(outcome, Outcome::KeptOpen { .. } | Outcome::NothingDue) {
                continue;
            }
            let found = can_be_found(world, fault, side);
            prop_assert_eq!(outcome.finding().is_some(), found, "{} on the {:?}", fault, side);
        }
    }

    #[test]
    fn a_connection_is_kept_where_something_passes_the_middlebox_in_time(world in world()) {
        let passes = [world.client, world.server].map(|end| {
            let probe = end.keepalive.map(|(idle, ..)| idle * 1_000);
            [end.interval, probe]
        });
        let shortest = passes.into_iter().flatten().flatten().min();
        for (fault, side, outcome) in outcomes(world.plan()) {
            match outcome {
                Outcome::KeptOpen { quiet } => {
                    prop_assert_eq!(fault, Fault::NatForgotten);
                    let nat_timeout = world.nat_timeout.map(ms);
                    prop_assert!(nat_timeout.is_some_and(|nat| quiet < nat), "{:?}", quiet);
                    prop_assert!(shortest.is_some_and(|shortest| ms(shortest) <= quiet));
                }
                Outcome::NothingDue => {
                    let (own, _) = world.ends(side);
                    prop_assert_eq!(fault, Fault::OwnPause);
                    prop_assert!(own.interval.is_none() && own.timeout.is_none());
                }
                Outcome::Found(_) | Outcome::Never(_) => {}
            }
        }
    }

    #[test]
    fn a_shorter_timeout_or_any_at_all_is_never_found_later(
        world in world(),
        side in side(),
        shorter in 2_u64..180_000,
    ) {
        let mut changed = world;
        let timeout = world.ends(side).0.timeout.map_or(shorter, |timeout| timeout.min(shorter));
        changed.end_mut(side).timeout = Some(timeout);
        for ((fault, side, before), (_, _, after)) in
            outcomes(world.plan()).zip(outcomes(changed.plan()))
        {
            if fault != Fault::OwnPause {
                prop_assert!(latest(after) <= latest(before), "{} on the {:?}", fault, side);
            }
        }
    }

    #[test]
    fn a_shorter_user_timeout_or_faster_path_is_never_found_later(
        world in world(),
        side in side(),
        shorter in 1_u64..100_000,
        faster in 0_u64..2_000,
        sooner in 0_u64..500,
    ) {
        let mut changed = world;
        changed.rtt = world.rtt.min(faster);
        let end = changed.end_mut(side);
        end.user_timeout = end.user_timeout.map(|user_timeout| user_timeout.min(shorter));
        end.timer_slack = end.timer_slack.min(sooner);
        for ((fault, side, before), (_, _, after)) in
            outcomes(world.plan()).zip(outcomes(changed.plan()))
        {
            prop_assert!(latest(after) <= latest(before), "{} on the {:?}", fault, side);
        }
    }

    #[test]
    fn silence_agrees_with_the_policy_of_an_end_that_knows_its_peer(
        interval in 1_u64..60_000,
        more in 0_u64..60_000,
        side in side(),
    ) {
        let policy = Policy::builder().timeout(ms(2 * interval + more)).peer_interval(ms(interval));
        let judge = End::new(policy.build().unwrap()).timer_slack(Duration::ZERO);
        let beating = Policy::builder().interval(ms(interval)).build();
        let beating = End::new(beating.unwrap()).timer_slack(Duration::ZERO);
        let (client, server) = match side {
            Side::Client => (judge, beating),
            Side::Server => (beating, judge),
        };
        let plan = Setup::new(client, server).v0().rtt(Duration::ZERO).plan().unwrap();
        for fault in [Fault::PeerFrozen, Fault::MachineGoneIdle, Fault::FirewallDrop] {
            let finding = plan.outcome(fault, side).finding().unwrap();
            prop_assert_eq!(finding.by, Mechanism::Silence);
            prop_assert_eq!(Some(finding.bound), judge.policy.bound_after_fault(Duration::ZERO));
        }
    }

    #[test]
    fn both_ends_find_out_alike_when_their_settings_change_places(world in world()) {
        let swapped = World { client: world.server, server: world.client, ..world };
        for (fault, side, outcome) in outcomes(world.plan()) {
            let other = match side {
                Side::Client => Side::Server,
                Side::Server => Side::Client,
            };
            let mirrored = if fault == Fault::CutToServer {
                Fault::CutToClient
            } else if fault == Fault::CutToClient {
                Fault::CutToServer
            } else {
                fault
            };
            let mirrored = swapped.plan().outcome(mirrored, other);
            prop_assert_eq!(outcome.finding(), mirrored.finding(), "{}", fault);
        }
    }

    #[test]
    fn a_proposal_meets_its_target_and_a_longer_timeout_does_not(
        within in 1_u64..600_000,
        rtt in 0_u64..2_000,
        timer_slack in 0_u64..500,
        nat_timeout in prop::option::of(1_u64..600_000),
        is_v1: bool,
    ) {
        let target = |within| {
            let target = Target::new(within).rtt(ms(rtt)).timer_slack(ms(timer_slack));
            let target = target.nat_timeout(nat_timeout.map(ms));
            if is_v1 { target } else { target.v0() }
        };
        let mut within = ms(within);
        let plan = match target(within).propose() {
            Ok(plan) => plan,
            Err(PlanError::TargetTooShort { within: refused, least, .. }) => {
                prop_assert_eq!(refused, within);
                prop_assert!(least > within, "{:?}", least);
                // What the refusal asks for is possible, and nothing shorter is.
                prop_assert!(target(least.saturating_sub(ms(1))).propose().is_err());
                within = least;
                target(within).propose().unwrap()
            }
            Err(PlanError::NatTooShort { interval }) => {
                prop_assert!(ms(nat_timeout.unwrap()) <= interval + ms(rtt) + ms(timer_slack));
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(plan.is_v1(), is_v1);
        prop_assert!(plan.latest().is_some_and(|latest| latest <= within), "{:?}", plan);
        prop_assert_eq!(plan.warnings().count(), 0);

        let longer = |end: End| {
            let timeout = end.policy.timeout().unwrap() + ms(100);
            let kernel = KernelTimers::new(None, Some(timeout)).unwrap();
            let policy = end.policy.to_builder().timeout(timeout);
            let policy = if is_v1 { policy } else { policy.peer_interval(ms(1)) }.build().unwrap();
            End::new(policy).kernel(kernel).timer_slack(end.timer_slack)
        };
        let [client, server] = SIDES.map(|side| longer(plan.end(side)));
        let longer = Setup::new(client, server).rtt(ms(rtt)).nat_timeout(nat_timeout.map(ms));
        let longer = if is_v1 { longer } else { longer.v0() }.plan();
        prop_assert!(longer.unwrap().latest() > Some(within));
    }

    #[test]
    fn a_beat_costs_something_and_a_longer_one_never_more(
        mut world in world(),
        side in side(),
        interval in 1_u64..60_000,
        more in 1_u64..60_000,
    ) {
        // Probes would take the place of beats.
        (world.client.keepalive, world.server.keepalive) = (None, None);
        world.end_mut(side).echo = false;
        let mut total = |interval| {
            world.end_mut(side).interval = interval;
            let traffic = world.plan().traffic();
            traffic.to_server + traffic.to_client
        };
        let (none, shorter) = (total(None), total(Some(interval)));
        let longer = total(Some(interval + more));
        prop_assert!(none < longer && longer <= shorter, "{} {} {}", none, longer, shorter);
    }

    #[test]
    fn asking_and_answering_costs_less_than_two_ends_that_beat(
        within in 10_000_u64..600_000,
    ) {
        let asking = Target::new(ms(within)).v0().propose().unwrap();
        let beating = End::new(asking.end(Side::Client).policy);
        let both = Setup::new(beating, beating).v0().plan().unwrap();
        let [asking, both] = [asking.traffic(), both.traffic()];
        prop_assert!(asking.to_server + asking.to_client < both.to_server + both.to_client);
    }
}
