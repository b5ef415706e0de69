//! The runs of a seed: a life, one fault and its plan, and the round trips of a healthy path.

use heartwire_core::Side;

use super::breach::Failure;
use super::broken::Broken;
use super::planned::{self, Held};
use super::round_trips;
use super::trace::Trace;
use super::world::{Summary, World};

/// The results of a seed's runs, if they broke no promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeedSummary {
    /// The life.
    pub life: Summary,
    /// The plan, where the seed's settings have one.
    pub plan: Option<Held>,
    /// How often a beat measured the round trip.
    pub round_trips: u64,
}

/// One of the runs of a seed, and what happened in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traced {
    /// Its name.
    pub run: &'static str,
    /// The breach, if there was one.
    pub failure: Option<Failure>,
    /// What happened, in order.
    pub lines: Vec<String>,
}

/// Runs a seed.
///
/// # Errors
///
/// The first promise that was broken.
pub fn run_seed(seed: u64) -> Result<SeedSummary, Failure> {
    let life = run_life(seed, None)?;
    let plan = run_planned(seed, None)?;
    let round_trips = run_round_trips(seed, None)?;
    Ok(SeedSummary { life, plan, round_trips })
}

/// The same, with a readable log of each run.
pub fn trace_seed(seed: u64) -> [Traced; 3] {
    let mut world = World::new(seed, None, Trace::kept());
    let failure = world.run().err();
    let life = Traced { run: "life", failure, lines: world.into_lines() };
    let (outcome, lines) = planned::run(seed, None, false, Trace::kept());
    let plan = Traced { run: "plan", failure: outcome.err(), lines };
    let (outcome, lines) = round_trips::run(seed, None, Trace::kept());
    [life, plan, Traced { run: "round trips", failure: outcome.err(), lines }]
}

/// Runs the life of a seed, in which anything can go wrong; with `broken`, the driver of that side
/// breaks a rule.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_life(seed: u64, broken: Option<(Side, Broken)>) -> Result<Summary, Failure> {
    World::new(seed, broken, Trace::default()).run()
}

/// Makes one fault on a connection, as the seed decides, and compares the verdicts of both ends
/// with the plan ([`heartwire_plan`]). `None` where the seed's settings have no plan, or
/// where the connection ended before the fault.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_planned(seed: u64, broken: Option<(Side, Broken)>) -> Result<Option<Held>, Failure> {
    planned::run(seed, broken, false, Trace::default()).0
}

/// The same with a plan for timeouts that are a tenth shorter, to test the comparison.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_misplanned(seed: u64) -> Result<Option<Held>, Failure> {
    planned::run(seed, None, true, Trace::default()).0
}

/// Lets beats of protocol v1 measure the round trip of a path, as the seed decides, and compares
/// them. Returns how often they did.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_round_trips(seed: u64, broken: Option<(Side, Broken)>) -> Result<u64, Failure> {
    round_trips::run(seed, broken, Trace::default()).0
}
