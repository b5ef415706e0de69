//! Both ends of a connection over simulated links, on a virtual clock.
//!
//! A run is a life: a client connects, keeps its connection, loses it and connects again, while
//! paths and processes fail in ways that the run's seed decides. The connections are the real ones
//! of `heartwire-core`; everything below them is simulated: sockets and TCP, clocks, timers and
//! stalls. The drivers do what those of the library do, in the same order. After every step the
//! promises are checked ([`Invariant`]) against what the links know.

mod breach;
mod broken;
mod client;
mod command;
mod draw;
mod end;
mod host;
mod kept;
mod ledger;
mod link;
mod many;
mod net;
mod oracle;
mod outbox;
mod packet;
mod pipe;
mod planned;
mod queue;
mod scenario;
mod server;
mod terms;
mod time;
mod trace;
mod trouble;
mod world;

use heartwire_core::Side;

pub use breach::{Failure, Invariant};
pub use broken::Broken;
pub use command::{Args, run};
pub use kept::{Kept, kept};
pub use many::{Totals, run_many};
pub use time::WorldTime;
pub use world::Summary;

use trace::Trace;
use world::World;

/// Runs the scenario of one seed; with `broken`, the driver of that side breaks a rule.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_seed(seed: u64, broken: Option<(Side, Broken)>) -> Result<Summary, Failure> {
    World::new(seed, broken, Trace::default()).run()
}

/// Lets one fault strike a connection, as the seed decides, and holds the verdicts of both ends
/// against the plan ([`heartwire_core::plan`]).
///
/// # Errors
///
/// The promise that was broken.
pub fn run_planned(seed: u64) -> Result<(), Failure> {
    planned::run(seed, false, Trace::default()).0
}

/// The same with a plan for limits that are a tenth shorter, to show that it is looked at.
///
/// # Errors
///
/// The promise that was broken.
pub fn run_misplanned(seed: u64) -> Result<(), Failure> {
    planned::run(seed, true, Trace::default()).0
}

/// The same, with a readable log of it.
pub fn trace_planned(seed: u64) -> (Result<(), Failure>, Vec<String>) {
    planned::run(seed, false, Trace::kept())
}

/// Runs the scenario of one seed, and returns a readable log of it too.
pub fn trace_seed(seed: u64) -> (Result<Summary, Failure>, Vec<String>) {
    let mut world = World::new(seed, None, Trace::kept());
    let outcome = world.run();
    (outcome, world.into_lines())
}
