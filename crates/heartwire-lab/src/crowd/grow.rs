//! `crowd --grow`: how the cost of a session changes with their number, as a table and a picture.
//!
//! Interval, timeout and time are the same for all sizes, because what a session costs depends on
//! them: how many beats come at once, how many wait in the kernel, and how often a deadline comes.
//! So a small crowd sends few beats; its CPU time is counted in ns, and needs no more of them.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::Args;
use super::report::Report;
use super::run::{self, Plan};
use crate::bench::{Exit, Format, Protocol};
use crate::net::stop::Stop;
use crate::output::{print, say};
use crate::process::machine;

mod chart;
mod page;

/// The sizes of `--grow`.
pub(super) const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// What was measured, where and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Growth {
    machine: String,
    /// In RFC 3339, UTC.
    time: String,
    /// What does it again.
    command: String,
    protocol: String,
    interval_ms: u64,
    timeout_ms: u64,
    /// From the smallest to the largest.
    sizes: Vec<Report>,
}

/// Measures each size, from the smallest, and writes what was asked for.
pub(super) fn run(args: &Args, stop: &Stop) -> anyhow::Result<Exit> {
    let mut sizes = args.sizes.clone().unwrap_or_else(|| SIZES.to_vec());
    sizes.sort_unstable();
    sizes.dedup();
    let plans: Vec<Plan> =
        sizes.iter().map(|&sessions| Plan::new(args, sessions)).collect::<anyhow::Result<_>>()?;
    // Before minutes were spent on smaller ones.
    for plan in &plans {
        plan.layout()?;
    }
    let mut reports = Vec::new();
    for (plan, number) in plans.iter().zip(1..) {
        say(format_args!("size {number} of {}: {} sessions", plans.len(), plan.sessions));
        reports.push(run::measure(plan, stop)?);
    }
    let growth = Growth::new(args, reports)?;
    match args.format {
        Format::Text => print(page::table(&growth).trim_end())?,
        Format::Json => print(json!(growth))?,
    }
    if let Some(folder) = &args.write {
        growth.write(folder)?;
    }
    Ok(growth.sizes.iter().map(Report::exit).max().unwrap_or(Exit::Fine))
}

impl Growth {
    fn new(args: &Args, sizes: Vec<Report>) -> anyhow::Result<Self> {
        let first = sizes.first().context("no size was measured")?;
        Ok(Self {
            machine: machine(),
            time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: typed(args),
            protocol: first.protocol.clone(),
            interval_ms: first.interval_ms,
            timeout_ms: first.timeout_ms,
            sizes,
        })
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let object = format!("{}\n", serde_json::to_string_pretty(self)?);
        let files = [("json", object), ("md", page::page(self)), ("svg", chart::chart(self))];
        for (ending, text) in files {
            let path = folder.join(format!("growth.{ending}"));
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            say(format_args!("wrote {}", path.display()));
        }
        Ok(())
    }
}

/// The command that does this again; the folder that it writes to is `docs`.
fn typed(args: &Args) -> String {
    let mut typed = "heartwire-lab crowd --grow --write".to_owned();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            typed.push_str(&format!(" --{name} {value}"));
        }
    };
    let time = |time| humantime::format_duration(time).to_string().replace(' ', "");
    let sizes = |sizes: &Vec<u32>| {
        let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
        sizes.join(",")
    };
    add("sizes", args.sizes.as_ref().map(sizes));
    add("interval", Some(time(args.interval)));
    add("timeout", args.timeout.map(time));
    add("time", args.time.map(time));
    add("freeze", Some(args.freeze.typed()).filter(|share| share != "10%"));
    add("coalesce", args.coalesce.map(|beats| beats.to_string()));
    add("protocol", (args.protocol == Protocol::V1).then(|| "v1".to_owned()));
    add("threads", (args.threads > 1).then(|| args.threads.to_string()));
    add("per-process", args.per_process.map(|sessions| sessions.to_string()));
    typed
}

#[cfg(test)]
mod tests;
