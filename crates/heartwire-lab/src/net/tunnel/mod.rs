//! `tunnel`: the real programs of others through an outage, over `heartwire tunnel` and without it.
//!
//! For each fault, servers of ssh, PostgreSQL, Redis and MQTT run in one namespace, and their usual
//! clients in another one with a router between them. Each client works over each carrier at once:
//! plain TCP, socat, autossh, `heartwire tunnel`. Then the fault is made, and in the end each
//! client must have got everything.

mod app;
mod args;
mod carrier;
mod cell;
mod fault;
mod files;
mod process;
mod report;
mod seen;
mod service;
mod trial;

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;

pub use self::args::Args;
use self::args::Format;
use self::files::Files;
use self::report::Report;
use self::trial::Trial;
use super::missing;
use super::namespace::Maker;
use super::report::Machine;
use super::stop::Stop;
use crate::output::{print, say};

/// Runs it.
///
/// # Errors
///
/// When it cannot run, and says what is missing.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let maker = Maker::this()?;
    let packages = service::packages(args);
    missing::nothing_and(maker, &packages)?;
    let heartwire = missing::heartwire(args.bin.as_deref())?;
    let stop = Stop::begin()?;
    let began = Instant::now();
    let files = Files::make(args)?;
    let mut records = Vec::new();
    for (number, fault) in args.faults().into_iter().enumerate() {
        say(format_args!("{}: {}", fault.name(), fault.title(args.down)));
        let trial = Trial { args, fault, files: &files, heartwire: &heartwire, stop: &stop };
        match trial.run(maker, number) {
            Err(_) if stop.is_asked() => return Ok(Stop::exit()),
            record => records.extend(record.with_context(|| fault.name().to_owned())?),
        }
    }
    let report =
        Report { args: args.clone(), machine: Machine::this(), took: began.elapsed(), records };
    match args.format {
        Format::Markdown => print(report.markdown().trim_end())?,
        Format::Json => print(report.object())?,
    }
    if let Some(page) = &args.write {
        fs::write(page, report.markdown())
            .with_context(|| format!("cannot write {}", page.display()))?;
    }
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
