//! One fault at a time, compared with the plan for it.

use core::time::Duration;

use heartwire_core::backoff::BackoffPolicy;
use heartwire_core::{Protocol, Side};
use heartwire_plan::{End, Fault, Outcome, Plan, Setup};

use super::breach::{Failure, Invariant};
use super::broken::Broken;
use super::draw::{Draw, MS};
use super::link::Ended;
use super::queue::{HostId, SERVER};
use super::scenario::{GIVES_UP_AFTER, SEND_BUFFER, Scenario};
use super::tally::Plans;
use super::time::{Clockwork, WorldTime};
use super::trace::Trace;
use super::trouble::{Planned, Trouble};
use super::world::World;

/// A fault that is never detected is observed for this many of the longest interval.
const NEVER: u32 = 12;

/// How much longer than planned a verdict is waited for.
const OVERDUE: Duration = Duration::from_secs(2);

/// The one client.
const CLIENT: usize = 1;

/// A plan that was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The fault that occurred.
    pub fault: Fault,
    /// Whether both ends spoke protocol v1.
    pub is_v1: bool,
    /// What the ends had to detect.
    pub plans: Plans,
}

/// A fault, and the plan for it.
struct Experiment {
    fault: Fault,
    /// How it is made.
    trouble: Trouble,
    befalls: Side,
    plan: Plan,
}

/// The faults that can be simulated, and how each is made. The others need a kernel's own timers,
/// or end no connection.
const fn faults(host: HostId, resets: bool) -> [(Fault, Trouble); 9] {
    let client = CLIENT;
    [
        (Fault::Close, Trouble::Leave { host }),
        (Fault::Reset, Trouble::Reset { client }),
        (Fault::PeerKilled, Trouble::Crash { host }),
        (Fault::PeerFrozen, Trouble::Freeze { host }),
        (Fault::MachineGoneIdle, Trouble::PowerLoss { host }),
        (Fault::CutToServer, Trouble::Cut { client, from: Some(Side::Client) }),
        (Fault::CutToClient, Trouble::Cut { client, from: Some(Side::Server) }),
        (Fault::FirewallDrop, Trouble::Cut { client, from: None }),
        (Fault::NatForgotten, Trouble::Forget { client, resets }),
    ]
}

/// The faults whose plans are checked.
pub(super) fn all_faults() -> [Fault; 9] {
    faults(CLIENT, false).map(|(fault, _)| fault)
}

/// Makes one fault on a connection on which only beats are sent. A plan that is made `wrongly` is
/// for timeouts that are a tenth shorter.
pub(super) fn run(
    seed: u64,
    broken: Option<(Side, Broken)>,
    wrongly: bool,
    trace: Trace,
) -> (Result<Option<Held>, Failure>, Vec<String>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    // Not those that the life of this seed is drawn from.
    let mut rng = rng.fork().fork();
    let mut scenario = Scenario::draw(&mut rng, broken);
    let draw = &mut Draw { rng: &mut rng, grain: MS };
    let Some(plan) = simplify(draw, &mut scenario, wrongly) else { return (Ok(None), Vec::new()) };
    let (befalls, host) =
        if draw.chance(50) { (Side::Client, CLIENT) } else { (Side::Server, SERVER) };
    let faults = faults(host, draw.chance(50));
    let (fault, trouble) = draw.one(&faults, (Fault::Reset, Trouble::Reset { client: CLIENT }));
    let experiment = Experiment { fault, trouble, befalls, plan };
    experiment.strike(draw, &mut scenario);
    let mut world = World::of(seed, scenario, rng, trace);
    let outcome = world.run().and_then(|_| experiment.check(seed, &world));
    (outcome, world.into_lines())
}

/// Removes what a plan does not cover, and makes one for the rest.
fn simplify(draw: &mut Draw<'_>, scenario: &mut Scenario, wrongly: bool) -> Option<Plan> {
    let Scenario { terms, path, lateness, .. } = scenario;
    path.loss = 0;
    path.is_in_order = true;
    path.nat = None;
    path.gives_up_after = GIVES_UP_AFTER;
    // A beat that finds no room is cut in the middle, and the plan knows of no such frames.
    path.send_buffer = SEND_BUFFER;
    path.delay = path.delay.min(MS * 2_000);
    path.jitter = path.jitter.min(MS * 2_000);
    lateness.held_up = 0;
    // A plan has one tick for all that makes a process late.
    let tick = terms.client.tick.min(terms.server.tick);
    lateness.max_wake = lateness.max_wake.min(tick / 10);
    lateness.max_timer = lateness.max_timer.saturating_sub(lateness.max_wake);
    scenario.writes.client = None;
    scenario.writes.server = None;
    terms.client.data_ahead = Duration::ZERO;
    for terms in [&mut terms.client, &mut terms.server] {
        terms.is_fast = false;
        // A client that comes back takes over from its older connection, before that is found dead.
        terms.has_name = false;
        terms.is_lenient = false;
    }
    terms.server.data_ahead = Duration::ZERO;
    scenario.troubles.clear();
    scenario.clockworks = vec![Clockwork::AllCount, Clockwork::AllCount];
    scenario.backoff = BackoffPolicy::default();
    // There is no plan for bytes without headers.
    if terms.client.protocol == Protocol::Raw || draw.chance(10) {
        terms.client.protocol = Protocol::V0;
        terms.server.protocol = Protocol::V0;
    }
    if terms.client.protocol == Protocol::V0 {
        // Else a client that only answers, and is not asked, is never let in.
        terms.server.protocol = Protocol::V0;
        terms.client.handshake_timeout = None;
    }
    terms.server.handshake_timeout = None;
    // What a server leaves in its kernel is judged by the kernel's jiffies.
    let rounding = if terms.server.mark > 1 { scenario.jiffy * 3 + MS } else { Duration::ZERO };
    let end = |side| {
        let terms = terms.of(side);
        let rounding = if side == Side::Server { rounding } else { Duration::ZERO };
        let policy = terms.policy.timeout().filter(|_| wrongly).map_or(terms.policy, |timeout| {
            terms.policy.to_builder().timeout(timeout / 10 * 9).build().unwrap_or(terms.policy)
        });
        End::new(policy).timer_slack(terms.tick + rounding)
    };
    let setup = Setup::new(end(Side::Client), end(Side::Server)).rtt(path.round_trip());
    let setup = if terms.client.protocol == Protocol::V1 { setup } else { setup.v0() };
    // Settings that end healthy connections may do so before the fault occurs.
    setup.plan().ok().filter(|plan| plan.warnings().next().is_none())
}

impl Experiment {
    /// Plans the fault for some time when the connection has settled and no packet is in flight.
    fn strike(&self, draw: &mut Draw<'_>, scenario: &mut Scenario) {
        let settled = scenario.path.round_trip() * 4 + MS * 1_000;
        let at = settled + draw.part(scenario.length, 30);
        let longest = [Side::Client, Side::Server].map(|side| self.longest(side, scenario));
        let lasts = longest.into_iter().flatten().max().unwrap_or(OVERDUE) + OVERDUE;
        let at_world = WorldTime::START.after(at);
        scenario.troubles.push(Planned {
            at: at_world,
            lasts,
            when_quiet: true,
            trouble: self.trouble,
        });
        // It ends when the trouble does, which may have to wait for its moment.
        scenario.length = (at + lasts) * 2;
    }

    /// How long a side has to be observed.
    fn longest(&self, side: Side, scenario: &Scenario) -> Option<Duration> {
        if !self.is_seen_by(side) {
            return None;
        }
        let policy = scenario.terms.of(side).policy;
        match self.plan.outcome(self.fault, side).finding() {
            Some(finding) => Some(finding.bound.latest),
            None => {
                Some([policy.interval(), policy.timeout()].into_iter().flatten().max()? * NEVER)
            }
        }
    }

    /// Whether the plan covers a side: not the one that has the fault.
    fn is_seen_by(&self, side: Side) -> bool {
        let befalls_one_end =
            [Fault::Close, Fault::PeerKilled, Fault::PeerFrozen, Fault::MachineGoneIdle];
        side != self.befalls || !befalls_one_end.contains(&self.fault)
    }

    fn check(&self, seed: u64, world: &World) -> Result<Option<Held>, Failure> {
        let struck_at = world.struck_at().filter(|_| !world.was_cut_short());
        let Some((at, ends)) = struck_at.zip(world.ends()) else { return Ok(None) };
        let is_over_before = |side| ends.of(side).is_some_and(|ended| ended.at < at);
        if is_over_before(Side::Client) || is_over_before(Side::Server) {
            return Ok(None);
        }
        let mut plans = Plans::default();
        for side in [Side::Client, Side::Server].into_iter().filter(|&side| self.is_seen_by(side)) {
            let outcome = self.plan.outcome(self.fault, side);
            check(outcome, *ends.of(side), at).map_err(|what| Failure {
                seed,
                at,
                side,
                invariant: Invariant::AsPlanned,
                what: format!("{}: {what}", self.fault),
            })?;
            plans.found += u64::from(outcome.finding().is_some());
            plans.never += u64::from(outcome.finding().is_none());
        }
        Ok(Some(Held { fault: self.fault, is_v1: self.plan.is_v1(), plans }))
    }
}

fn check(outcome: Outcome, ended: Option<Ended>, at: WorldTime) -> Result<(), String> {
    match (outcome.finding(), ended) {
        (Some(finding), Some(ended)) => {
            let took = ended.at.since(at);
            if finding.bound.contains(took) && finding.can_be_by(ended.by) {
                return Ok(());
            }
            Err(format!("found after {took:?} by {}, but planned {finding:?}", ended.by))
        }
        (Some(finding), None) => Err(format!("never found, but planned {finding:?}")),
        (None, Some(ended)) => {
            let took = ended.at.since(at);
            Err(format!("found after {took:?} by {}, but planned {outcome:?}", ended.by))
        }
        (None, None) => Ok(()),
    }
}
