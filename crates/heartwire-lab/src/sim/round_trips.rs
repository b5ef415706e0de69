//! Checks the round trips that beats of protocol v1 measure, over a known path.

use core::time::Duration;

use heartwire_core::{Policy, Protocol, Side};

use super::breach::Failure;
use super::broken::Broken;
use super::draw::{Draw, MS};
use super::link::{Both, Path};
use super::scenario::{SEND_BUFFER, Scenario};
use super::time::Clockwork;
use super::trace::Trace;
use super::world::World;

/// A measured round trip may be off by this much.
const MAX_OFF: Duration = Duration::from_millis(5);

/// Both ends stamp what they read when they read it, so that each adds the time that it took to
/// wake up.
const MAX_WAKE: Duration = Duration::from_millis(2);

/// A beat that data follow is known to have come within so long, and is reckoned to the middle. So
/// each end may be off by half of it.
const ARRIVAL_SPAN: Duration = Duration::from_millis(10);

/// Longer data would itself take time on the path.
const MAX_FRAME: usize = 300;

/// Two ends send beats and data over a path with a constant delay. Returns how often a beat
/// measured it.
pub(super) fn run(
    seed: u64,
    broken: Option<(Side, Broken)>,
    trace: Trace,
) -> (Result<u64, Failure>, Vec<String>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    // Not those that the other runs of this seed are drawn from.
    let _ = (rng.fork(), rng.fork());
    let mut rng = rng.fork();
    let mut scenario = Scenario::draw(&mut rng, broken);
    simplify(&mut Draw { rng: &mut rng, grain: MS }, &mut scenario);
    let mut world = World::of(seed, scenario, rng, trace);
    let outcome = world.run().map(|summary| summary.sums.round_trips);
    (outcome, world.into_lines())
}

fn simplify(draw: &mut Draw<'_>, scenario: &mut Scenario) {
    let timeout = draw.time(MS * 1_000, MS * 60_000);
    let interval = timeout / draw.rng.u32(2..=10);
    let policy = Policy::builder().interval(interval).timeout(timeout).build().unwrap_or_default();
    let delay = draw.part(timeout.min(MS * 4_000), 25);
    let mark = draw.one(&[1, 41, 121], 1);
    let sends_data = scenario.writes.client.is_some() || scenario.writes.server.is_some();
    let of_data = if sends_data { ARRIVAL_SPAN } else { Duration::ZERO };
    // A server that leaves beats in its kernel has the time of their arrival from there.
    let of_jiffies = if mark > 1 { scenario.jiffy * 3 / 2 } else { Duration::ZERO };
    let max_off = MAX_OFF + of_data + of_jiffies;
    let Scenario { terms, path, lateness, .. } = scenario;
    *path = Path {
        delay,
        jitter: Duration::ZERO,
        loss: 0,
        nat: None,
        send_buffer: SEND_BUFFER,
        ..*path
    };
    lateness.held_up = 0;
    lateness.max_wake = lateness.max_wake.min(MAX_WAKE);
    for terms in [&mut terms.client, &mut terms.server] {
        terms.policy = policy;
        terms.protocol = Protocol::V1;
        terms.handshake_timeout = Some(MS * 10_000);
        terms.frame = Some(MS * 30_000);
        terms.mark = mark;
        terms.is_fast = false;
        terms.is_lenient = false;
        terms.slack = (path.round_trip() + terms.tick + lateness.max_wake) * 2;
        terms.round_trip_off = Some(max_off);
    }
    terms.server.protocol = Protocol::Any;
    scenario.clockworks = vec![Clockwork::AllCount; 2];
    scenario.writes = Both {
        client: scenario.writes.client.map(|mean| mean.max(timeout / 32)),
        server: scenario.writes.server.map(|mean| mean.max(timeout / 32)),
    };
    scenario.max_frame = scenario.max_frame.min(MAX_FRAME);
    scenario.troubles.clear();
    scenario.length = timeout * 6;
}
