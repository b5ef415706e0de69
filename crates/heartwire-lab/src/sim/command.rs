//! `heartwire-lab sim`.

use core::time::Duration;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::Context;

use super::{Totals, kept, run_many, run_seed, trace_planned, trace_seed};
use crate::output;

/// What can be typed after `sim`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  heartwire-lab sim --seeds 1000000
      a million lives, on all processors
  heartwire-lab sim --seed 4711 --trace
      one of them, and what happened in it
  heartwire-lab sim --kept
      those that once found something

Each seed is run twice: as a life, in which anything can go wrong, and with one fault alone, which
both ends have to find when the plan says. The same seed is the same on every machine, until the
simulator changes.

Exit codes: 0 no promise was broken, 1 one was, or something failed, 2 options that make no sense.")]
pub struct Args {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    seeds: u64,

    /// The first of them.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,

    /// Threads [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Run this seed alone.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from", "jobs", "kept"])]
    seed: Option<u64>,

    /// Print what happens in it.
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Run the seeds that once found something.
    #[arg(long, conflicts_with_all = ["seeds", "from", "jobs"])]
    kept: bool,
}

/// How often progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
const PROGRESS_EVERY_LOGGED: Duration = Duration::from_secs(10);

/// Runs it.
///
/// # Errors
///
/// When the output cannot be written, or the seeds asked for do not exist.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(seed) = args.seed {
        return run_one(seed, args.trace);
    }
    if args.kept {
        return run_kept();
    }
    let end = args.from.checked_add(args.seeds).context("there are no seeds above 2^64 - 1")?;
    let jobs = args
        .jobs
        .map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let begun_at = Instant::now();
    let progress = Progress::new(args.seeds);
    let totals = run_many(args.from..end, jobs, |done| progress.report(done));
    progress.clear();
    report(args, &totals, begun_at.elapsed())
}

fn report(args: &Args, totals: &Totals, took: Duration) -> anyhow::Result<ExitCode> {
    for failure in &totals.failures {
        output::print(failure)?;
    }
    let Totals { runs, sum, failures } = totals;
    output::print(format_args!(
        "{runs} seeds from {} on kept every promise: {:.1} days, {} connections, {} verdicts, {} \
         beats, {} things that happened, in {:.1} s ({:.0} seeds a second)",
        args.from,
        sum.time.as_secs_f64() / 86_400.0,
        sum.connections,
        sum.verdicts,
        sum.beats,
        sum.steps,
        took.as_secs_f64(),
        ratio(*runs, took),
    ))?;
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    output::print(format_args!(
        "{} broke one. Keep such a seed in crates/heartwire-lab/seeds/kept.txt",
        failures.len()
    ))?;
    Ok(ExitCode::FAILURE)
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "for people to read")]
fn ratio(runs: u64, took: Duration) -> f64 {
    runs as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn run_one(seed: u64, trace: bool) -> anyhow::Result<ExitCode> {
    let (life, lines) = trace_seed(seed);
    print_lines("life", &lines, trace)?;
    let (planned, lines) = trace_planned(seed);
    print_lines("plan", &lines, trace)?;
    match life.and_then(|summary| planned.map(|()| summary)) {
        Ok(summary) => {
            output::print(format_args!("seed {seed} keeps every promise: {summary:?}"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            output::print(failure)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn print_lines(run: &str, lines: &[String], trace: bool) -> anyhow::Result<()> {
    for line in lines.iter().filter(|_| trace) {
        output::print(format_args!("{run} {line}"))?;
    }
    Ok(())
}

fn run_kept() -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for kept in kept() {
        match run_seed(kept.seed, None) {
            Ok(_) => output::print(format_args!("{:>8}  kept   {}", kept.seed, kept.why))?,
            Err(failure) => {
                output::print(format_args!("{:>8}  BROKEN {}\n{failure}", kept.seed, kept.why))?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// How far it is, on standard error: a line that changes on a terminal, else a line now and then.
struct Progress {
    all: u64,
    is_terminal: bool,
    reported_at: Mutex<Instant>,
}

impl Progress {
    fn new(all: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { all, is_terminal, reported_at: Mutex::new(Instant::now()) }
    }

    fn report(&self, done: u64) {
        let Ok(mut reported_at) = self.reported_at.lock() else { return };
        let every = if self.is_terminal { PROGRESS_EVERY } else { PROGRESS_EVERY_LOGGED };
        if reported_at.elapsed() < every {
            return;
        }
        *reported_at = Instant::now();
        if self.is_terminal {
            output::redraw(format_args!("{done} of {} seeds", self.all));
        } else {
            output::say(format_args!("{done} of {} seeds", self.all));
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            output::redraw("");
        }
    }
}
