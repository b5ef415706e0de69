//! What presence costs, and how fast it is: figures against their bars.

use core::time::Duration;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::args::{Figures, Format};
use super::crowd::Crowd;
use super::draw::{Act, Fault, Schedule};
use super::governor::wait_for;
use super::node::{Node, Settings, Shared};
use super::play::{LEASE, Setting, settle};
use super::redis::{self, Redis};
use super::world::World;
use crate::local::program;
use crate::output;
use crate::process::Usage;

/// How long idle nodes are watched: some renewals and looks, and half the time between comparisons.
const IDLE: Duration = Duration::from_secs(60);

/// How long a client may be silent, where all are to stay.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The same, where verdicts are measured, and the interval.
const SHORT: Duration = Duration::from_secs(6);
const INTERVAL: Duration = Duration::from_secs(1);

/// How long all clients may take to connect, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Names announced again must be there within it.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(10);

/// Commands that write.
const WRITES: [&str; 15] = [
    "set", "hset", "hsetnx", "hdel", "hmset", "hincrby", "incr", "zadd", "zrem", "sadd", "srem",
    "xadd", "xtrim", "xdel", "del",
];

pub(super) fn run(args: &Figures) -> anyhow::Result<ExitCode> {
    let setting = Setting {
        redis: redis::program(&args.common.redis_server)?,
        program: program(args.common.bin.as_deref())?,
        lease: None,
        slack: Duration::ZERO,
    };
    let mut figures = serde_json::Map::new();
    let mut is_fine = true;
    let all: [(&str, Figure); 4] =
        [("idle", idle), ("announced", announced), ("killed", killed), ("cost", cost)];
    for (name, figure) in all {
        if args.only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let (object, is_kept) = figure(args, &setting)?;
        output::say(format_args!("{name}: {object}"));
        figures.insert(name.to_owned(), object);
        is_fine &= is_kept;
    }
    match args.common.format {
        Format::Json => output::print(Value::Object(figures))?,
        Format::Text => {
            for (name, object) in figures {
                output::print(format_args!("{name}: {object:#}"))?;
            }
        }
    }
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Figure = fn(&Figures, &Setting) -> anyhow::Result<(Value, bool)>;

fn world(setting: &Setting, names: u32, nodes: usize) -> anyhow::Result<World> {
    let settings = Settings {
        program: setting.program.clone(),
        timeout: TIMEOUT,
        lease: setting.lease,
        more: vec!["--hold".to_owned(), "off".to_owned()],
    };
    let schedule = Schedule::calm(names, TIMEOUT);
    World::start_with(&setting.redis, settings, &schedule, nodes)
}

/// What nodes write to Redis when nothing changes.
fn idle(_: &Figures, setting: &Setting) -> anyhow::Result<(Value, bool)> {
    const NODES: u32 = 3;
    let mut world = world(setting, 300, 3)?;
    settle(&mut world, PATIENCE, "at the start", &mut Vec::new())?;
    thread::sleep(LEASE / 2);
    let before = world.redis.calls()?;
    thread::sleep(IDLE);
    let after = world.redis.calls()?;
    let mut calls = BTreeMap::new();
    for (command, count) in after {
        let count = count - before.get(&command).copied().unwrap_or(0);
        if count > 0 && !["info", "dbsize", "hgetall"].contains(&&*command) {
            calls.insert(command, count);
        }
    }
    let writes: u64 = WRITES.iter().filter_map(|command| calls.get(*command)).copied().sum();
    let scripts = calls.get("evalsha").copied().unwrap_or(0);
    let each = |count: u64| {
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(NODES) / IDLE.as_secs_f64()
    };
    let object = json!({
        "writes_per_node_and_second": each(writes),
        "scripts_per_node_and_second": each(scripts),
        "calls": calls,
    });
    Ok((object, each(writes) <= 1.0))
}

/// Names are announced again after FLUSHALL, as a node of another version would find them: the time
/// has the one in it until the nodes see that Redis was emptied.
fn announced(args: &Figures, setting: &Setting) -> anyhow::Result<(Value, bool)> {
    // As many descriptors as a process has on many systems.
    const PER_NODE: u32 = 17_000;
    let nodes = usize::try_from(args.announced.div_ceil(PER_NODE).max(3))?;
    let mut world = world(setting, args.announced, nodes)?;
    let count = u64::from(args.announced);
    let connected = wait_for("all names in Redis", PATIENCE, || Ok(world.redis.count()? == count))?;
    world.redis.flush()?;
    let began = Instant::now();
    wait_for("the first names again", PATIENCE, || Ok(world.redis.count()? > 0))?;
    let noticed = began.elapsed();
    wait_for("all names again", PATIENCE, || Ok(world.redis.count()? == count))?;
    let took = began.elapsed();
    let differing = {
        let answer = world.crowd.ask()?;
        let wanted = world.crowd.wanted(&answer);
        world.differences(&wanted)?.len()
    };
    let object = json!({
        "names": args.announced,
        "nodes": nodes,
        "first_connected_s": connected.as_secs_f64(),
        "noticed_after_s": noticed.as_secs_f64(),
        "announced_after_s": took.as_secs_f64(),
        "announced_in_s": took.saturating_sub(noticed).as_secs_f64(),
        "differing": differing,
    });
    let is_kept = took.saturating_sub(noticed) <= ANNOUNCED_WITHIN && differing == 0;
    Ok((object, is_kept))
}

/// A node with very many names is killed.
fn killed(args: &Figures, setting: &Setting) -> anyhow::Result<(Value, bool)> {
    let mut world = world(setting, args.killed, 3)?;
    world.only_node(0)?;
    let count = u64::from(args.killed);
    wait_for("all names on one node", PATIENCE, || Ok(world.on_node(0) == count))?;
    wait_for("all names in Redis", PATIENCE, || Ok(world.redis.count()? == count))?;
    let bound = setting.bound(args.killed)?;
    world.act(Act::Begin(Fault::Killed(0)))?;
    let began = Instant::now();
    wait_for("the first name offline", PATIENCE, || Ok(world.redis.count()? < count))?;
    let first = began.elapsed();
    wait_for("all names offline", PATIENCE, || Ok(world.redis.count()? == 0))?;
    let last = began.elapsed();
    let told = world.redis.stream()?;
    let offline = told.iter().rev().take_while(|entry| entry.kind == "offline").count();
    let object = json!({
        "names": args.killed,
        "first_offline_after_s": first.as_secs_f64(),
        "last_offline_after_s": last.as_secs_f64(),
        "bound_s": bound.as_secs_f64(),
        "told_offline": offline,
    });
    Ok((object, last <= bound && u64::try_from(offline)? == count))
}

/// Two nodes side by side, one with presence and one without: CPU of a beat, and late verdicts.
fn cost(args: &Figures, setting: &Setting) -> anyhow::Result<(Value, bool)> {
    let redis = Redis::start(&setting.redis, None)?;
    let path = super::proxy::Proxy::start(redis.socket())?;
    let settings = |with: bool| Settings {
        program: setting.program.clone(),
        timeout: SHORT,
        lease: None,
        more: if with { vec!["--hold".to_owned(), "off".to_owned()] } else { Vec::new() },
    };
    let mut sides = Vec::new();
    for with in [true, false] {
        let shared = Arc::<Shared>::default();
        let node = Node::start(&settings(with), 0, with.then_some(path.address), &shared)?;
        let mut crowd = Crowd::start(args.beating, 1, INTERVAL)?;
        crowd.node(0, Some(node.address))?;
        sides.push((shared, node, crowd));
    }
    let count = usize::try_from(args.beating)?;
    wait_for("all clients online", PATIENCE, || {
        Ok(sides.iter().all(|(shared, ..)| shared.recording().count() == count))
    })?;
    thread::sleep(Duration::from_secs(5));
    let usage = || sides.iter().map(|(_, node, _)| Usage::of(node.pid())).collect::<Vec<_>>();
    let before = usage();
    thread::sleep(args.time);
    let after = usage();
    let beats = f64::from(args.beating) * args.time.as_secs_f64() / INTERVAL.as_secs_f64();
    let mut us_per_beat = Vec::new();
    for (before, after) in before.into_iter().zip(after) {
        let cpu = Duration::from_nanos((after? - before?).cpu_ns);
        us_per_beat.push(cpu.as_secs_f64() * 1e6 / beats);
    }
    for (_, _, crowd) in &mut sides {
        crowd.order("rest")?;
    }
    wait_for("a verdict on each client", PATIENCE, || {
        Ok(sides.iter().all(|(shared, ..)| shared.late_ms().len() >= count))
    })?;
    let late: Vec<Value> = sides.iter().map(|(shared, ..)| late(&shared.late_ms())).collect();
    let object = json!({
        "clients_each": args.beating,
        "interval_s": INTERVAL.as_secs(),
        "us_per_beat": { "with": us_per_beat.first(), "without": us_per_beat.get(1) },
        "verdict_late_ms": { "with": late.first(), "without": late.get(1) },
    });
    // These two are read by a person: a busy machine changes them more than presence does.
    Ok((object, true))
}

fn late(late_ms: &[f64]) -> Value {
    let mut sorted = late_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: usize| sorted.get((sorted.len() * part / 1000).min(sorted.len() - 1)).copied();
    json!({ "p50": at(500), "p99": at(990), "max": at(1000) })
}
