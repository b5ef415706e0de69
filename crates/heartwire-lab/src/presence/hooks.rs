//! Hooks to a receiver that fails, hangs, answers late and refuses, while names churn.

use core::time::Duration;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use serde_json::json;

use super::args::{Format, Hooks};
use super::check::{self, Breach};
use super::crowd::Crowd;
use super::draw::{Act, Fault, NODES, Schedule};
use super::node::{Node, Settings, Shared, words};
use super::play::{Setting, few, settle};
use super::receiver::{Mood, Receiver};
use super::redis;
use super::taken;
use super::world::World;
use crate::local::program;
use crate::output;

/// How long a client may be silent.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How long deliveries may take when the receiver works again: the longest pause between two of
/// them, the lease of a node that delivered and was killed, and room for a busy machine.
const ARRIVE_WITHIN: Duration = Duration::from_secs(90);

pub(super) fn run(args: &Hooks) -> anyhow::Result<ExitCode> {
    let mut outcomes = Vec::new();
    for with_redis in [false, true] {
        let (mut breaches, taken) = if with_redis { shared(args)? } else { alone(args)? };
        let kind = if with_redis { "three nodes, Redis" } else { "one node, no Redis" };
        breaches = few(breaches);
        output::say(format_args!("{kind}: {taken} hooks taken, {} breaches", breaches.len()));
        for breach in &breaches {
            output::say(format_args!("{kind} broke {}: {}", breach.promise, breach.seen));
        }
        outcomes.push((kind, taken, breaches));
    }
    if args.common.format == Format::Json {
        let object = |(kind, taken, breaches): &(&str, usize, Vec<Breach>)| {
            let broken = check::objects(breaches);
            json!({ "with": kind, "taken": taken, "broken": broken })
        };
        output::print(json!(outcomes.iter().map(object).collect::<Vec<_>>()))?;
    } else {
        for (kind, taken, breaches) in &outcomes {
            output::print(format_args!("{kind}: {taken} hooks, {} broken", breaches.len()))?;
        }
    }
    let is_fine = outcomes.iter().all(|(_, _, breaches)| breaches.is_empty());
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One node, whose hooks wait in its memory.
fn alone(args: &Hooks) -> anyhow::Result<(Vec<Breach>, usize)> {
    let mut receiver = Receiver::start(|program| Command::new(program))?;
    let settings = Settings {
        program: program(args.common.bin.as_deref())?,
        timeout: TIMEOUT,
        lease: None,
        more: words(&["--hold", "off", "--hook", &receiver.url()]),
    };
    let shared = Arc::<Shared>::default();
    let node = Node::start(&settings, 0, None, &shared)?;
    let mut crowd = Crowd::start(args.names, args.seed, TIMEOUT / 3)?;
    crowd.node(0, Some(node.address))?;
    churn(args, &mut receiver, |act, _| match act {
        // There is no other node: a client that moves comes back to this one.
        Act::Move { permille, .. } | Act::Leave { permille } => {
            crowd.order(&format!("leave {permille}"))?;
            crowd.order(&format!("return {permille}"))
        }
        Act::Return { permille } => crowd.order(&format!("return {permille}")),
        Act::Begin(_) | Act::End(_) => Ok(()),
    })?;
    let answer = crowd.ask()?;
    let wanted = crowd.wanted(&answer);
    let taken = wait(&mut receiver, |taken| taken::leads_to(taken, &wanted).is_empty())?;
    let mut breaches = taken::in_order(&taken);
    breaches.extend(taken::leads_to(&taken, &wanted));
    Ok((breaches, taken.len()))
}

/// Three nodes, of which one delivers, and is killed now and then.
fn shared(args: &Hooks) -> anyhow::Result<(Vec<Breach>, usize)> {
    let mut receiver = Receiver::start(|program| Command::new(program))?;
    let setting = Setting {
        redis: redis::program(&args.common.redis_server)?,
        program: program(args.common.bin.as_deref())?,
        lease: Some(args.lease),
        // This is about hooks.
        slack: ARRIVE_WITHIN,
    };
    let settings = Settings {
        program: setting.program.clone(),
        timeout: TIMEOUT,
        lease: setting.lease,
        more: words(&["--hold", "off", "--hook", &receiver.url()]),
    };
    let schedule = Schedule { seed: args.seed, ..Schedule::calm(args.names, TIMEOUT) };
    let mut world = World::start(&setting.redis, settings, &schedule)?;
    let bound = setting.bound(args.names)?;
    let mut breaches = Vec::new();
    settle(&mut world, bound, "at the start", &mut breaches)?;
    let mut killed = None;
    churn(args, &mut receiver, |act, is_new_mood| {
        world.act(act)?;
        if is_new_mood {
            // The node that delivers is one of three, and each has its turn.
            if let Some(fault) = killed.take() {
                world.act(Act::End(fault))?;
            } else {
                let number = world.delivering()?.unwrap_or_default();
                let fault = Fault::Killed(number);
                world.act(Act::Begin(fault))?;
                killed = Some(fault);
            }
        }
        Ok(())
    })?;
    if let Some(fault) = killed {
        world.act(Act::End(fault))?;
    }
    settle(&mut world, bound, "at the end", &mut breaches)?;
    let stream = world.redis.stream()?;
    let taken = wait(&mut receiver, |taken| taken::misses_nothing(taken, &stream).is_empty())?;
    breaches.extend(taken::in_order(&taken));
    breaches.extend(taken::misses_nothing(&taken, &stream));
    Ok((breaches, taken.len()))
}

/// Lets names churn while the receiver's mood changes. In the end it works.
fn churn(
    args: &Hooks,
    receiver: &mut Receiver,
    mut act: impl FnMut(Act, bool) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(args.seed);
    let began = Instant::now();
    let moods = Mood::ALL.iter().cycle().skip(1);
    for mood in moods {
        receiver.mood(*mood)?;
        let mut is_new = true;
        let since = Instant::now();
        while since.elapsed() < args.mood {
            let permille = rng.u32(5..60);
            let next = match rng.u32(0..4) {
                0 => Act::Leave { permille },
                1 => Act::Return { permille: 500 },
                _ => Act::Move { permille, to: rng.usize(..NODES), keeps: rng.bool() },
            };
            act(next, core::mem::take(&mut is_new))?;
            thread::sleep(Duration::from_millis(rng.u64(10..300)));
        }
        if began.elapsed() >= args.time {
            break;
        }
    }
    receiver.mood(Mood::Works)
}

/// Waits until that is so of what was taken, or too long.
fn wait(
    receiver: &mut Receiver,
    is_so: impl Fn(&[super::receiver::Taken]) -> bool,
) -> anyhow::Result<Vec<super::receiver::Taken>> {
    let began = Instant::now();
    loop {
        let taken = receiver.taken()?;
        if is_so(&taken) || began.elapsed() > ARRIVE_WITHIN {
            return Ok(taken);
        }
        thread::sleep(Duration::from_millis(200));
    }
}
