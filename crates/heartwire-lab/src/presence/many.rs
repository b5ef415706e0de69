//! Many random schedules, several at a time.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use super::args::{Format, Schedules};
use super::check;
use super::draw::Schedule;
use super::play::{Outcome, Setting, play};
use super::redis;
use crate::local::program;
use crate::output;

pub(super) fn run(args: &Schedules) -> anyhow::Result<ExitCode> {
    let setting = Setting {
        redis: redis::program(&args.common.redis_server)?,
        program: program(args.common.bin.as_deref())?,
        lease: Some(args.lease),
        slack: args.slack,
    };
    let seeds = args.seed.map_or(args.from..args.from + args.seeds, |seed| seed..seed + 1);
    let total = seeds.end - seeds.start;
    let left = Mutex::new(seeds);
    let outcomes = Mutex::new(Vec::new());
    let work = || -> anyhow::Result<()> {
        loop {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(seed) = next else { return Ok(()) };
            let outcome = play(&setting, &Schedule::draw(seed, args.lease))?;
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            outcomes.push(outcome.clone());
            let done = outcomes.len();
            drop(outcomes);
            tell(&outcome, done, total);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a schedule has panicked")))
        })
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    report(&outcomes, args.common.format)?;
    let is_fine = outcomes.iter().all(|outcome| outcome.breaches.is_empty());
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for each schedule, and one for each promise that it broke.
fn tell(outcome: &Outcome, done: usize, total: u64) {
    let Outcome { seed, names, equal_after, bound, told, .. } = outcome;
    let faults: Vec<&str> = outcome.faults.keys().copied().collect();
    output::say(format_args!(
        "{done}/{total} seed {seed}: {names} names, {told} changes, equal after {:.1} s of \
         {:.1} s; {}",
        equal_after.as_secs_f64(),
        bound.as_secs_f64(),
        faults.join(", ")
    ));
    for breach in &outcome.breaches {
        output::say(format_args!("seed {seed} broke {}: {}", breach.promise, breach.seen));
    }
}

fn report(outcomes: &[Outcome], format: Format) -> anyhow::Result<()> {
    let broken = outcomes.iter().filter(|outcome| !outcome.breaches.is_empty());
    let seeds: Vec<u64> = broken.map(|outcome| outcome.seed).collect();
    let (mut faults, mut byes) = (BTreeMap::new(), BTreeMap::new());
    for outcome in outcomes {
        for (kind, count) in &outcome.faults {
            *faults.entry(*kind).or_insert(0) += count;
        }
        for (code, count) in &outcome.byes {
            *byes.entry(code.clone()).or_insert(0) += count;
        }
    }
    let told: usize = outcomes.iter().map(|outcome| outcome.told).sum();
    let wrong: u32 = outcomes.iter().map(|outcome| outcome.wrong).sum();
    let slowest = outcomes.iter().map(|outcome| outcome.equal_after).max().unwrap_or_default();
    match format {
        Format::Text => {
            output::print(format_args!(
                "{} schedules, {told} changes; presence was equal after {:.1} s at most",
                outcomes.len(),
                slowest.as_secs_f64()
            ))?;
            for (kind, count) in faults {
                output::print(format_args!("{count:7}  {kind}"))?;
            }
            output::print(match &*seeds {
                [] => "every promise was kept".to_owned(),
                seeds => format!("promises were broken in the seeds {seeds:?}"),
            })
        }
        Format::Json => output::print(json!({
            "schedules": outcomes.len(),
            "changes": told,
            "snapshots": outcomes.iter().map(|outcome| outcome.snapshots).sum::<u32>(),
            "slowest_ms": slowest.as_millis(),
            "faults": faults,
            "byes": byes,
            "wrong_order": wrong,
            "broken": outcomes.iter().filter(|it| !it.breaches.is_empty()).map(object)
                .collect::<Vec<_>>(),
        })),
    }
}

fn object(outcome: &Outcome) -> Value {
    let breaches = check::objects(&outcome.breaches);
    json!({ "seed": outcome.seed, "names": outcome.names, "breaches": breaches })
}
