//! One long schedule with each fault once, and very many clients.

use core::time::Duration;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use serde_json::json;

use super::args::{Crowd, Format};
use super::check;
use super::draw::{Act, Schedule};
use super::node::Settings;
use super::play::{Setting, holding, settle};
use super::redis;
use super::world::World;
use crate::local::program;
use crate::output;

/// How long all clients may take to connect.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(args: &Crowd) -> anyhow::Result<ExitCode> {
    let setting = Setting {
        redis: redis::program(&args.common.redis_server)?,
        program: program(args.common.bin.as_deref())?,
        lease: args.lease,
        slack: Duration::ZERO,
    };
    let schedule = Schedule::each_once(args.seed, args.clients, args.lasts);
    let settings = Settings {
        program: setting.program.clone(),
        timeout: schedule.timeout,
        lease: setting.lease,
        more: holding(None),
    };
    // When a node is lost, half of its clients connect to each of the others.
    let bound = setting.bound(args.clients)?;
    let mut world = World::start(&setting.redis, settings, &schedule)?;
    let mut breaches = Vec::new();
    // That many clients take as long as the machine does.
    let after = settle(&mut world, PATIENCE, "at the start", &mut breaches)?;
    output::say(format_args!("{} clients, equal after {:.1} s", args.clients, after.as_secs_f64()));
    let mut figures = Vec::new();
    let (mut began, mut rested) = (Instant::now(), Duration::ZERO);
    for (at, act) in &schedule.acts {
        thread::sleep(at.saturating_sub(rested).saturating_sub(began.elapsed()));
        world.act(*act)?;
        let Act::End(fault) = act else { continue };
        // Nothing moves until presence is equal, so that the time is that of this fault.
        let after = settle(&mut world, bound, fault.kind(), &mut breaches)?;
        output::say(format_args!(
            "{}: equal after {:.1} s of {:.1} s",
            fault.kind(),
            after.as_secs_f64(),
            bound.as_secs_f64()
        ));
        figures.push((fault.kind(), after));
        (began, rested) = (Instant::now(), *at);
    }
    let (broken, told) = world.breaches(bound)?;
    breaches.extend(broken);
    let answer = world.crowd.ask()?;
    for breach in &breaches {
        output::say(format_args!("broke {}: {}", breach.promise, breach.seen));
    }
    match args.common.format {
        Format::Text => {
            output::print(format_args!(
                "{} clients, {told} changes, bound {:.1} s, {} promises broken",
                args.clients,
                bound.as_secs_f64(),
                breaches.len()
            ))?;
            for (kind, after) in &figures {
                output::print(format_args!("{:7.1} s  {kind}", after.as_secs_f64()))?;
            }
        }
        Format::Json => {
            let figures: serde_json::Map<_, _> = figures
                .iter()
                .map(|(kind, after)| ((*kind).to_owned(), json!(after.as_millis())))
                .collect();
            output::print(json!({
                "clients": args.clients,
                "changes": told,
                "bound_ms": bound.as_millis(),
                "equal_after_ms": figures,
                "byes": answer.byes,
                "wrong_order": answer.wrong,
                "broken": check::objects(&breaches),
            }))?;
        }
    }
    Ok(if breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
